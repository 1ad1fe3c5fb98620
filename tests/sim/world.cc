#include "sim/world.h"

#include <fmt/format.h>

#include <cstdio>

namespace weir::sim {

using namespace std::chrono_literals;

std::string Troubles::text() const {
    std::string text;
    const std::pair<bool, const char*> all[] = {{breaks, "breaks"},      {damage, "damage"},
                                                {moods, "moods"},        {full, "full"},
                                                {bounds, "bounds"},      {errors, "errors"},
                                                {database, "database"},  {crashes, "crashes"},
                                                {restarts, "restarts"},  {s3, "s3"},
                                                {s3_moods, "s3 moods"},  {s3_breaks, "s3 breaks"},
                                                {retention, "retention"}};
    for (const auto& [is, name] : all)
        if (is) text += (text.empty() ? "" : "+") + std::string(name);
    return text.empty() ? "calm" : text;
}

World::World(uint64_t seed, bool verbose)
    : seed_(seed),
      verbose_(verbose),
      random_(seed * 0x9e3779b97f4a7c15 + 1),
      content_random_(seed ^ 0x636f6e74),
      fault_random_(seed ^ 0x66617574) {
    troubles_.s3 = chance(0.3);
    if (!chance(0.15)) {
        troubles_.breaks = chance(0.5);
        troubles_.damage = chance(0.3);
        troubles_.moods = chance(0.4);
        troubles_.full = chance(0.25);
        troubles_.errors = chance(0.15);
        troubles_.database = chance(0.1);
        troubles_.crashes = chance(0.3);
        troubles_.restarts = chance(0.25);
        troubles_.bounds = chance(troubles_.s3 ? 0.6 : 0.15);
        troubles_.s3_moods = troubles_.s3 && chance(0.5);
        troubles_.s3_breaks = troubles_.s3 && chance(0.5);
        troubles_.retention = troubles_.tiers() && chance(0.4);
    }
    internet_.on_wrong = [this](const std::string& what) { wrong(what); };
    internet_.on_ask = [this](const Ask& ask) { check_ask(ask); };
    internet_.on_end = [this](const Ask& ask) {
        if (ask.what == What::manifest && ask.method == "HEAD")
            --heads_[fmt::format("{} {} {}", ask.registry, ask.repository, ask.reference)];
        note(fmt::format("  #{} {} after {} bytes", ask.id, client::end_name(ask.end), ask.bytes));
    };
    internet_.fault = [this](const Ask& ask, uint64_t length) { return pick_fault(ask, length); };
    depot_.fault = [this](const Visit& visit, uint64_t length) {
        return pick_depot_fault(visit, length);
    };
    depot_.on_visit = [this](const Visit& visit) {
        note(fmt::format("  S3 #{} {} {}?{} {} -> {}", visit.id, visit.method, visit.key,
                         visit.query, visit.range, visit.status));
    };
    depot_.on_damage = [this](const oci::Digest& digest) {
        internet_.given(digest).damaged = true;
    };
}

World::~World() = default;

Duration World::between(Duration low, Duration high) {
    return low + Duration(random_.below(static_cast<uint64_t>((high - low).count()) + 1));
}

void World::note(const std::string& what) {
    const auto mix = [this](std::string_view text) {
        for (const char c : text) trace_ = (trace_ ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    };
    const int64_t at = now().time_since_epoch().count();
    mix(what);
    mix(std::string_view(reinterpret_cast<const char*>(&at), sizeof at));
    if (verbose_) fmt::print("{:12.6f} {}\n", static_cast<double>(at) / 1e9, what);
}

void World::wrong(const std::string& what) {
    note("WRONG: " + what);
    broken_.push_back(fmt::format(
        "{:.6f}: {}", static_cast<double>(now().time_since_epoch().count()) / 1e9, what));
}

// ---- what there is

void World::make_images(size_t registry, const std::string& name) {
    const auto any_blob = [this](uint64_t largest) {
        // Most are small; sizes at the edges of a chunk are where the errors are.
        uint64_t size = 1 + random_.below(random_.below(3) == 0 ? largest : largest / 8);
        if (chance(0.15)) size = 4096 * (1 + random_.below(16)) + random_.below(3) - 1;
        if (chance(0.03)) size = 0;
        // Layers are shared between images, repositories and registries.
        if (!content_.blobs.empty() && chance(0.25)) return any_of(content_.blobs).first;
        return content_.make_blob(
            content_random_, size,
            chance(0.1) ? oci::Digest::Algorithm::sha512 : oci::Digest::Algorithm::sha256);
    };
    const size_t tags = 1 + random_.below(2);
    for (size_t tag = 0; tag < tags; ++tag) {
        std::vector<oci::Digest> children;
        const size_t platforms = chance(0.3) ? 2 + random_.below(2) : 1;
        for (size_t p = 0; p < platforms; ++p) {
            std::vector<oci::Digest> layers{any_blob(2000)};
            const size_t count = 1 + random_.below(3);
            for (size_t i = 0; i < count; ++i)
                layers.push_back(any_blob(chance(0.3) ? 262144 : 65536));
            children.push_back(content_.make_manifest(layers));
        }
        const auto top = platforms == 1 ? children[0] : content_.make_index(children);
        content_.tag(registry, name, fmt::format("v{}", tag), top, now());
    }
}

void World::make_routes() {
    const size_t registries = 1 + random_.below(3);
    for (size_t registry = 0; registry < registries; ++registry) {
        const size_t repositories = 1 + random_.below(3);
        for (size_t r = 0; r < repositories; ++r) {
            const std::string name = fmt::format("lib/app{}", r);
            make_images(registry, name);
            routes_.push_back({fmt::format("r{}/{}", registry, name), {{registry, name}}});
        }
    }
    // One name that two registries may serve, in order.
    if (registries > 1 && chance(0.4)) {
        make_images(0, "both");
        if (chance(0.5)) make_images(1, "both");
        routes_.push_back({"both", {{0, "both"}, {1, "both"}}});
    }
    // One that has nothing of what the others have.
    const auto own = content_.make_blob(content_random_, 1000);
    content_.tag(0, "poor", "v0", content_.make_manifest({own, own}), now());
    routes_.push_back({"r0/poor", {{0, "poor"}}});
}

void World::tier_options(MachineOptions& options) {
    options.tiers = true;
    if (troubles_.bounds) options.limits.max_bytes = 50'000 + random_.below(600'000);
    options.eviction.max_bytes = options.limits.max_bytes;
    options.eviction.min_free_bytes = 0;
    options.eviction.durable_tier = troubles_.s3;
    options.collector.interval = 40s;
    options.collector.delay = 5s;
    options.collector.untagged_age = 30s;
    if (chance(0.5)) options.single_put_bytes = 10'000;
    if (!troubles_.retention) return;
    cache::RetentionPolicy policy;
    policy.repositories.push_back(*Glob::parse("r*/**"));
    policy.has_keep_tags = true;
    cache::KeepRule rule;
    rule.pulled_within = between(5s, 60s);
    policy.keep_tags.push_back(rule);
    options.collector.retention.policies.push_back(std::move(policy));
    options.collector.retention.delay = 5s;
}

// As a client's push leaves it: no upstream has any of it.
Task<> World::push_image() {
    std::vector<oci::Digest> layers;
    const size_t count = 1 + random_.below(4);
    for (size_t i = 0; i < count; ++i) {
        const auto digest = content_.make_blob(content_random_, 1 + content_random_.below(12'000));
        layers.push_back(digest);
        pushed_.insert(digest);
        co_await machine_->push(digest, content_.bytes(digest), "own");
    }
    const Document& document = content_.manifests.at(content_.make_manifest(layers));
    meta::ManifestRow row;
    row.digest = document.digest;
    row.media_type = document.media_type;
    row.bytes = *document.bytes;
    row.created = row.accessed = clock_.wall();
    machine_->metadata().put_manifest(row, "own", layers, "v0");
}

MachineOptions World::machine_options() {
    MachineOptions options;
    options.cache.chunk_bytes = 4096;
    options.cache.space_step_bytes = 4096;
    options.cache.range_ahead_bytes = 16384;
    options.cache.record_bytes = 16384;
    options.cache.no_progress_timeout = 10s;
    options.cache.relay_buffer_bytes = 16384;
    options.cache.max_fetches = !troubles_.calm() && chance(0.2) ? 2 : 64;
    options.cache.touch_interval = 5s;
    options.freshness.ttl = chance(0.1) ? Duration{} : between(1s, 30s);
    options.freshness.negative_ttl = between(1s, 10s);
    options.fetch.segments = chance(0.3) ? static_cast<uint32_t>(2 + random_.below(3)) : 1;
    options.fetch.segment_bytes = 16384;
    options.fetch.segment_min_bytes = 32768;
    options.fetch.rest = chance(0.2);
    options.upstream.max_concurrent = !troubles_.calm() && chance(0.2) ? 2 : 64;
    options.upstream.use_head = !chance(0.1);
    options.upstream.max_retries = static_cast<uint32_t>(random_.below(2));
    options.upstream.retry_delay = 100ms;
    options.upstream.timeouts.stall = 5s;
    if (troubles_.tiers()) tier_options(options);
    // A bounded tier has its bound already: one that the image pushed at the start fits in.
    if (troubles_.full && chance(0.5) && !troubles_.bounds)
        options.limits.max_bytes = 20'000 + random_.below(400'000);
    for (size_t registry = 0; registry < content_.registries.size(); ++registry)
        options.mirrors.resize(registry + 1, 1 + random_.below(3));
    options.routes = routes_;
    if (troubles_.tiers()) options.routes.push_back({"own", {}});
    options.seed = seed_;
    options.chance = true;
    options.longest_job = chance(0.2) ? 5ms : 500us;
    return options;
}

void World::furnish() {
    make_routes();
    auto options = machine_options();
    for (size_t registry = 0; registry < options.mirrors.size(); ++registry) {
        const bool token = chance(0.4);
        for (size_t m = 0; m < options.mirrors[registry]; ++m) {
            Mirror& mirror = internet_.mirror(registry, m);
            mirror.latency = between(1ms, 80ms);
            mirror.bytes_per_second = 20'000ull << random_.below(9);
            mirror.piece_bytes = 512 + random_.below(7680);
            mirror.asks_for_token = token;
            mirror.redirects = chance(0.25);
            mirror.has_referrers = chance(0.5);
            if (m == 0 || !chance(0.3)) continue;
            for (const auto& [digest, text] : content_.blobs)
                if (chance(0.2)) mirror.lacks.insert(digest);
        }
    }
    depot_.latency = between(1ms, 60ms);
    depot_.bytes_per_second = 100'000ull << random_.below(8);
    machine_ = std::make_unique<Machine>(std::move(options), loops_, internet_,
                                         troubles_.s3 ? &depot_ : nullptr);
    if (troubles_.tiers()) watch_tiers();
    machine_->database_fails = [this] {
        return troubles_.database && stormy_ && furnished_ && fault_random_.unit() < 0.03;
    };
    machine_->boot();
    if (!troubles_.tiers() || chance(0.3)) return;
    bool pushed = false;
    scope_.spawn(loops_[0], [this, &pushed]() -> Task<> {
        co_await push_image();
        pushed = true;
    });
    await("the push", [&] { return pushed; }, 1min);
}

// ---- the run

void World::await(const char* what, const std::function<bool()>& done, Duration within) {
    const TimePoint limit = now() + within;
    if (run_until(loops_, clock_, done, limit)) return;
    wrong(
        fmt::format("{} did not end: {} clients and {} requests are left", what, clients_, busy_));
    throw Hung();
}

std::vector<std::string> World::run() {
    loops_[0].run_ready();
    try {
        furnish();
        furnished_ = true;
    } catch (const Hung&) {
        hung_ = true;
        return broken_;
    }
    const size_t clients = 2 + random_.below(8);
    clients_ = clients;
    for (size_t i = 0; i < clients; ++i) scope_.spawn(loops_[0], [this, i]() { return client(i); });
    bool weather_over = false;
    scope_.spawn(loops_[0], [this, &weather_over]() -> Task<> {
        co_await weather();
        weather_over = true;
    });
    try {
        await("the clients", [this] { return clients_ == 0; }, 2h);
        over_ = true;
        await("the weather", [&] { return weather_over; }, 10min);
        heal();
        bool done = false;
        scope_.spawn(loops_[0], [this, &done]() -> Task<> {
            // Breakers, negative answers and bad marks end.
            co_await sleep_for(20min);
            co_await aftermath();
            done = true;
        });
        await("the aftermath", [&] { return done; }, 3h);
    } catch (const Hung&) {
        hung_ = true;
    }
    note(fmt::format("the end: {} requests to upstreams", internet_.asks().size()));
    return broken_;
}

}  // namespace weir::sim
