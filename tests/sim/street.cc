#include "sim/street.h"

#include <fmt/format.h>

#include <cstdio>

#include "crypto/hasher.h"

namespace weir::sim {

using namespace std::chrono_literals;

constexpr Duration kStreetTime = 60s;  // in which the script begins
// Room for more than all that is honest and what an evil upstream may have; or so little that
// nearly everything is relayed.
constexpr uint64_t kDisk = 24 << 20, kFullDisk = 10'000;

std::string Errand::text() const {
    static constexpr const char* kNames[] = {
        "GET manifest", "HEAD manifest", "GET blob", "HEAD blob", "range of", "tags", "referrers"};
    return fmt::format("{} {} on route {} at {} ms", kNames[static_cast<size_t>(kind)], reference,
                       route, at / 1ms);
}

Street::Street(uint64_t seed, bool with_neighbour, bool verbose)
    : with_neighbour_(with_neighbour),
      verbose_(verbose),
      random_(seed * 0x9e3779b97f4a7c15 + 7),
      evil_random_(seed ^ 0x6576696c),
      seed_(seed) {
    internet_.on_wrong = [this](const std::string& what) { wrong(what); };
    internet_.on_ask = [this](const Ask& ask) {
        note(fmt::format("  #{} {} {} {} {} {}{} -> {}", ask.id, ask.method, what_name(ask.what),
                         ask.host, ask.repository, ask.reference,
                         ask.ranged ? fmt::format(" from {}", ask.first) : "", ask.status));
    };
    internet_.on_end = [this](const Ask& ask) {
        if (evil_) evil_->ended(ask);
        note(fmt::format("  #{} {} after {} bytes", ask.id, client::end_name(ask.end), ask.bytes));
    };
    internet_.other = [this](Ask& ask, const client::Call& call) -> std::optional<Serving> {
        if (ask.repository.starts_with("odd")) {
            // One of the honest registries, and a request that it does not like.
            static constexpr int kOdd[] = {400, 401, 403, 404, 405, 406, 409, 410,
                                           412, 413, 414, 415, 416, 418, 422, 451};
            Serving serving;
            serving.status =
                kOdd[crypto::digest_of(oci::Digest::Algorithm::sha256, ask.reference).hex()[0] %
                     std::size(kOdd)];
            if (serving.status == 401)
                serving.fields.list.emplace_back("WWW-Authenticate", R"(Basic realm="x")");
            serving.content_length = 0;
            return serving;
        }
        return evil_ ? evil_->answer(ask, call) : std::nullopt;
    };
}

Street::~Street() = default;

Duration Street::between(Random& random, Duration low, Duration high) {
    return low + Duration(random.below(static_cast<uint64_t>((high - low).count()) + 1));
}

void Street::note(const std::string& what) {
    const auto mix = [this](std::string_view text) {
        for (const char c : text) trace_ = (trace_ ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    };
    const int64_t at = now().time_since_epoch().count();
    mix(what);
    mix(std::string_view(reinterpret_cast<const char*>(&at), sizeof at));
    if (verbose_) fmt::print("{:12.6f} {}\n", static_cast<double>(at) / 1e9, what);
}

void Street::wrong(const std::string& what) {
    note("WRONG: " + what);
    broken_.push_back(fmt::format(
        "{:.6f}: {}", static_cast<double>(now().time_since_epoch().count()) / 1e9, what));
}

// ---- what there is

void Street::add_image(size_t registry, const std::string& repository, const std::string& tag) {
    std::vector<oci::Digest> layers;
    for (uint64_t i = 2 + random_.below(3); i > 0; --i) {
        const bool shared =
            !content_.blobs.empty() && random_.unit() < 0.2 && !(closed_ && registry == 0);
        std::vector<oci::Digest> public_blobs;
        if (shared)
            for (const auto& [digest, text] : content_.blobs)
                if (!private_.contains(digest)) public_blobs.push_back(digest);
        layers.push_back(
            public_blobs.empty()
                ? content_.make_blob(random_, 1 + random_.below(i == 1 ? 200'000 : 40'000))
                : public_blobs[random_.below(public_blobs.size())]);
        if (closed_ && registry == 0) private_.insert(layers.back());
    }
    auto top = content_.make_manifest(layers);
    if (closed_ && registry == 0) private_.insert(top);
    if (random_.unit() < 0.3) {
        top = content_.make_index({top});
        if (closed_ && registry == 0) private_.insert(top);
    }
    content_.tag(registry, repository, tag, top, now());
}

void Street::furnish() {
    registries_ = 1 + random_.below(3);
    closed_ = random_.unit() < 0.5;
    for (size_t registry = 0; registry < registries_; ++registry) {
        for (uint64_t r = 1 + random_.below(2); r > 0; --r) {
            const std::string name = fmt::format("lib/app{}", r - 1);
            add_image(registry, name, "v0");
            if (random_.unit() < 0.5) add_image(registry, name, "v1");
            routes_.push_back({fmt::format("r{}/{}", registry, name), {{registry, name}}});
        }
    }
    honest_routes_ = routes_.size();
    write_script();
    MachineOptions made = options();
    for (size_t registry = 0; registry < registries_; ++registry) {
        Mirror& mirror = internet_.mirror(registry, 0);
        mirror.latency = between(random_, 1ms, 80ms);
        mirror.bytes_per_second = 200'000ull << random_.below(5);
        mirror.closed = closed_ && registry == 0;
        mirror.asks_for_token = mirror.closed || random_.unit() < 0.4;
        mirror.redirects = random_.unit() < 0.25;
        mirror.has_referrers = random_.unit() < 0.5;
    }
    // The evil one is configured in both runs; only in one does anybody ask for it.
    for (size_t i = 0; i < 6; ++i)
        routes_.push_back({fmt::format("evil/x{}", i), {{registries_, fmt::format("x{}", i)}}});
    for (size_t registry = 0; registry < registries_; ++registry)
        routes_.push_back({fmt::format("r{}/odd", registry), {{registry, "odd"}}});
    made.routes = routes_;
    if (with_neighbour_) {
        evil_ = std::make_unique<Evil>(content_, registries_, seed_ ^ 0x656e656d79);
        for (const auto& [digest, text] : content_.blobs) evil_->others.push_back(digest);
        for (const auto& [digest, document] : content_.manifests) evil_->others.push_back(digest);
        for (const auto& digest : evil_->others)
            if (evil_random_.unit() < 0.3) evil_->knows.insert(digest);
    }
    machine_ = std::make_unique<Machine>(std::move(made), loops_, internet_, nullptr);
    machine_->boot();
}

MachineOptions Street::options() {
    MachineOptions options;
    options.cache.chunk_bytes = 4096;
    options.cache.range_ahead_bytes = 16384;
    options.cache.record_bytes = 16384;
    options.cache.relay_buffer_bytes = 16384;
    options.cache.max_fetches = 64;
    options.freshness.ttl = between(random_, 1s, 30s);
    options.freshness.negative_ttl = 5s;
    options.fetch.segments = random_.unit() < 0.3 ? static_cast<uint32_t>(2 + random_.below(3)) : 1;
    options.fetch.segment_bytes = 16384;
    options.fetch.segment_min_bytes = 32768;
    options.upstream.max_concurrent = 64;
    options.upstream.timeouts.stall = 5s;
    options.limits.max_bytes = random_.unit() < 0.2 ? kFullDisk : kDisk;
    options.mirrors.assign(registries_ + 1, 1);
    if (closed_) options.logins.insert(0);
    options.seed = seed_;
    options.chance = false;
    return options;
}

void Street::write_script() {
    for (uint64_t i = 20 + random_.below(30); i > 0; --i) {
        Errand errand;
        errand.kind = static_cast<Errand::Kind>(random_.below(7));
        errand.at = between(random_, 0s, kStreetTime);
        errand.route = random_.below(honest_routes_);
        const auto& [registry, name] = routes_[errand.route].candidates.front();
        const Repository& repo = content_.repository(registry, name);
        using enum Errand::Kind;
        if (errand.kind == manifest || errand.kind == manifest_head || errand.kind == referrers) {
            errand.reference =
                random_.unit() < 0.1
                    ? "absent"
                    : std::next(repo.tags.begin(),
                                static_cast<ptrdiff_t>(random_.below(repo.tags.size())))
                          ->first;
            if (errand.kind == referrers || random_.unit() < 0.4)
                errand.reference =
                    std::next(repo.manifests.begin(),
                              static_cast<ptrdiff_t>(random_.below(repo.manifests.size())))
                        ->text();
        } else if (errand.kind != tags) {
            const auto digest = *std::next(
                repo.blobs.begin(), static_cast<ptrdiff_t>(random_.below(repo.blobs.size())));
            const uint64_t size = content_.bytes(digest).size();
            errand.reference = digest.text();
            errand.first = random_.below(size);
            errand.length = 1 + random_.below(size - errand.first);
        }
        script_.push_back(errand);
    }
    told_.resize(script_.size());
}

// ---- who asks honestly

Task<std::string> Street::read(const cache::BlobView& view, uint64_t first, uint64_t length) {
    const auto reader = view.reader(first, length);
    std::string all, buffer;
    while (const auto bytes = co_await reader->next(65536)) {
        if (const auto* file = std::get_if<cache::FileBytes>(&*bytes)) {
            buffer.resize(file->length);
            file->file->read_at(file->offset, std::as_writable_bytes(std::span(buffer)));
            all += buffer;
        } else {
            const auto& span = std::get<std::span<const std::byte>>(*bytes);
            all.append(reinterpret_cast<const char*>(span.data()), span.size());
        }
    }
    co_return all;
}

Task<std::string> Street::ask(const Errand& errand) {
    using enum Errand::Kind;
    auto& cache = machine_->cache();
    const auto& target = machine_->target(errand.route);
    switch (errand.kind) {
        case manifest:
        case manifest_head: {
            const auto digest = oci::Digest::parse(errand.reference);
            const oci::Reference reference =
                digest ? oci::Reference(*digest) : oci::Reference(errand.reference);
            const auto view =
                co_await cache.manifest(target, reference, errand.kind == manifest_head);
            if (errand.kind == manifest && view.manifest->bytes &&
                crypto::digest_of(oci::Digest::Algorithm::sha256, *view.manifest->bytes) !=
                    view.manifest->digest)
                co_return "wrong bytes";
            co_return fmt::format("{} {} {}", view.manifest->digest_text, view.manifest->media_type,
                                  view.manifest->size);
        }
        case blob_head: {
            const auto view =
                co_await cache.blob(target, *oci::Digest::parse(errand.reference), {}, true);
            co_return fmt::format("{} bytes", view.size);
        }
        case blob:
        case range: {
            const auto digest = *oci::Digest::parse(errand.reference);
            std::vector<cache::WantedRange> wanted;
            if (errand.kind == range)
                wanted.push_back({errand.first, errand.first + errand.length - 1});
            const auto view = co_await cache.blob(target, digest, wanted, false);
            const bool part = errand.kind == range;
            const std::string bytes =
                co_await read(view, part ? errand.first : 0, part ? errand.length : view.size);
            const std::string& whole = content_.bytes(digest);
            const bool right = bytes == (part ? whole.substr(errand.first, errand.length) : whole);
            co_return fmt::format("{} bytes, {}", bytes.size(), right ? "right" : "wrong");
        }
        case tags: {
            const auto view = co_await cache.tags(target, "");
            co_return std::string(view.text());
        }
        case referrers: {
            const auto view =
                co_await cache.referrers(target, *oci::Digest::parse(errand.reference), "");
            co_return std::string(view.text());
        }
    }
    std::unreachable();
}

Task<> Street::errand(size_t number) {
    const Errand& errand = script_[number];
    co_await sleep_for(errand.at);
    const TimePoint began = now();
    note("errand " + errand.text());
    Told& told = told_[number];
    try {
        told.answer = co_await ask(errand);
    } catch (const Failure& failure) {
        told.answer = kind_name(failure.kind());
        note(failure.what());
    }
    told.took = now() - began;
    told.done = true;
    note(fmt::format("errand {} took {} ms: {}", errand.text(), told.took / 1ms, told.answer));
    --running_;
}

// ---- the run

bool Street::await(const char* what, const std::function<bool()>& done, Duration within) {
    if (run_until(loops_, clock_, done, now() + within)) return true;
    wrong(fmt::format("{} did not end: {} errands and {} visitors are left", what, running_,
                      visitors_));
    hung_ = true;
    return false;
}

void Street::run() {
    loops_[0].run_ready();
    furnish();
    running_ = script_.size();
    for (size_t i = 0; i < script_.size(); ++i)
        scope_.spawn(loops_[0], [this, i] { return errand(i); });
    if (with_neighbour_) {
        visitors_ = 10 + evil_random_.below(100);
        for (size_t i = visitors_; i > 0; --i)
            scope_.spawn(loops_[0], [this] { return visitor(); });
    }
    if (!await("the script", [this] { return running_ == 0; }, 1h)) return;
    over_ = true;
    if (!await("the neighbour", [this] { return visitors_ == 0; }, 1h)) return;
    bool done = false;
    scope_.spawn(loops_[0], [this, &done]() -> Task<> {
        // Whoever has left is forgotten, and so is what was begun for them; a blob without end
        // ends with the disk.
        co_await sleep_for(10min);
        const auto snapshot = co_await machine_->cache().snapshot();
        if (snapshot.fetches + snapshot.fetches_waiting + snapshot.relays + snapshot.readers > 0)
            wrong(fmt::format("{} fetches, {} waiting, {} relays and {} readers are left",
                              snapshot.fetches, snapshot.fetches_waiting, snapshot.relays,
                              snapshot.readers));
        for (size_t registry = 0; registry <= registries_; ++registry) {
            const auto status = machine_->upstream(registry).status();
            if (status.in_use + status.waiting > 0)
                wrong(fmt::format("{} requests to registry {} run and {} wait", status.in_use,
                                  registry, status.waiting));
        }
        co_await machine_->stop([] { return true; });
        done = true;
    });
    await("the end", [&] { return done; }, 1h);
}

}  // namespace weir::sim
