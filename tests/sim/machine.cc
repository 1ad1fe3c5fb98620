#include "sim/machine.h"

#include <fmt/format.h>

#include "base/check.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "store/disk_store.h"
#include "store/s3_remote.h"

namespace weir::sim {

using namespace std::chrono_literals;

Machine::Machine(MachineOptions options, LoopGroup& loops, Internet& internet, Depot* depot)
    : options_(std::move(options)),
      loops_(loops),
      internet_(internet),
      pool_random_(options_.seed ^ 0x706f6f6c),
      random_(options_.seed ^ 0x6d616368),
      pool_(loops[0], options_.chance ? &pool_random_ : nullptr, options_.longest_job),
      http_(loops[0], internet),
      depot_(depot),
      files_(options_.seed ^ 0x6469736b) {
    // A database in memory is quicker, but can't be opened again.
    const std::filesystem::path memory = "/dev/shm";
    if (options_.tiers)
        directory_.emplace(
            std::filesystem::exists(memory) ? memory : std::filesystem::temp_directory_path());
    open_metadata();
    if (depot_) s3_http_.emplace(loops[0], *depot_);
    pool_.after_job = [this] {
        if (on_job) on_job();
    };
}

Machine::~Machine() {
    check(cache_ == nullptr, "a machine is stopped before it goes");
}

void Machine::open_metadata() {
    mortal_.reset();
    metadata_.reset();
    metadata_ = meta::open_sqlite({.path = directory_ ? *directory_ / "weir.db" : ":memory:",
                                   .readers = 1,
                                   .clock = &loops_[0].clock()});
}

void Machine::boot() {
    check(cache_ == nullptr, "a machine is off before it boots");
    ++boots_;
    if (directory_) open_metadata();
    Clock& clock = loops_[0].clock();
    mortal_ = std::make_unique<MortalEngine>(*metadata_);
    mortal_->evicted = on_evicted;
    mortal_->swept = on_swept;
    mortal_->stored = on_stored;
    mortal_->uploaded = on_uploaded;
    mortal_->tag_removed = on_tag_removed;
    mortal_->fails = [this] { return cache_ != nullptr && database_fails && database_fails(); };
    const auto usage = metadata_->usage();
    space_ = std::make_unique<store::Space>(
        options_.limits, metadata_->tier_usage().disk_bytes + usage.staging_bytes,
        [this] { return files_.space(kRoot); }, clock);
    store_ = store::open_disk_store({.root = kRoot, .durable = true}, files_, pool_);
    for (size_t registry = 0; registry < options_.mirrors.size(); ++registry) {
        upstream::Options of = options_.upstream;
        of.name = fmt::format("r{}", registry);
        for (size_t m = 0; m < options_.mirrors[registry]; ++m)
            of.mirrors.push_back({.url = internet_.url(registry, m), .tls = {}});
        upstream::Credentials login;
        if (options_.logins.contains(registry))
            login = [](std::string_view, std::string_view) {
                return upstream::Credential{"robot", Secret("password"), {}};
            };
        upstreams_.push_back(
            std::make_shared<upstream::Upstream>(of, http_, clock, random_, std::move(login)));
    }
    const auto freshness = std::make_shared<const cache::Freshness>(options_.freshness);
    for (const Route& route : options_.routes) {
        auto target = std::make_shared<cache::Target>();
        target->repository = route.local;
        target->freshness = freshness;
        for (const auto& [registry, name] : route.candidates)
            target->candidates.push_back({upstreams_[registry], name, options_.fetch});
        target->upstream_name = std::make_shared<const std::string>(
            route.candidates.empty() ? "" : fmt::format("r{}", route.candidates.front().first));
        targets_.push_back(std::move(target));
    }
    auto cache = std::make_unique<cache::Cache>(options_.cache, &loops_, *mortal_, *store_, *space_,
                                                pool_, clock, random_);
    if (depot_) open_remote();
    if (options_.tiers)
        cache->start_tiers({.upkeep = mortal_.get(),
                            .remote = remote_.get(),
                            .eviction = options_.eviction,
                            .collector = options_.collector,
                            .file_system = [this] { return files_.space(kRoot); }});
    cache_ = std::move(cache);
}

void Machine::open_remote() {
    s3_scope_ = std::make_unique<Scope>("s3");
    s3::CredentialOptions credentials;
    credentials.configured =
        s3::Credentials{"AKID", Secret("SECRET"), {}, s3::Credentials::kNoExpiry};
    Clock& clock = loops_[0].clock();
    credentials_ =
        std::make_unique<s3::CredentialChain>(credentials, *s3_http_, pool_, clock, *s3_scope_);
    s3::BucketOptions bucket;
    bucket.bucket = Depot::kBucket;
    bucket.endpoint = Depot::kUrl;
    bucket.path_style = true;
    bucket.single_put_bytes = options_.single_put_bytes;
    bucket.timeouts.response = std::chrono::milliseconds(2000);
    bucket.timeouts.stall = std::chrono::seconds(5);
    bucket_ = std::make_unique<s3::Bucket>(bucket, *s3_http_, *credentials_, pool_, clock, random_);
    remote_ = store::make_s3_remote(*bucket_, clock);
}

Task<> Machine::push(oci::Digest digest, std::string bytes, std::string repository) {
    meta::BlobRow row;
    row.digest = digest;
    row.size = bytes.size();
    row.generation = metadata_->next_generation();
    row.created = row.accessed = loops_[0].clock().wall();
    auto staging = co_await store_->stage(digest, row.generation, row.size);
    staging->file->write_at(0, std::as_bytes(std::span(bytes)));
    co_await store_->commit(staging);
    check(mortal_->put_blob(row, repository), "a blob is pushed once");
    space_->add(row.size);
}

const cache::TargetPtr& Machine::target(const std::string& local) const {
    for (const auto& target : targets_)
        if (target->repository == local) return target;
    check(false, "a route of that name");
    std::unreachable();
}

Task<> Machine::end(std::function<bool()> idle) {
    dying_ = true;
    co_await cache_->stop();
    while (!idle()) co_await sleep_for(10ms);
    co_await cache_->stop();
    targets_.clear();
    cache_.reset();
    upstreams_.clear();
    // What ended may still hold transfers and jobs for a moment.
    while (pool_.waiting() > 0 || http_.running() > 0 || (s3_http_ && s3_http_->running() > 0))
        co_await sleep_for(10ms);
    if (s3_scope_) co_await s3_scope_->join();
    remote_.reset();
    bucket_.reset();
    credentials_.reset();
    s3_scope_.reset();
    dying_ = false;
}

Task<> Machine::stop(std::function<bool()> idle) {
    co_await end(std::move(idle));
}

Task<> Machine::crash(FaultFiles::Loss loss, std::function<bool()> idle) {
    files_.power_off();
    mortal_->cut_off();
    http_.plug(false);
    if (s3_http_) s3_http_->plug(false);
    co_await end(std::move(idle));
    store_.reset();
    space_.reset();
    files_.power_on(loss);
    http_.plug(true);
    if (s3_http_) s3_http_->plug(true);
}

bool run_until(LoopGroup& loops, ManualClock& clock, const std::function<bool()>& done,
               TimePoint limit) {
    Loop& loop = loops[0];
    for (;;) {
        loop.run_ready();
        if (done()) return true;
        const TimePoint next = loop.next_timer();
        if (next == kNever || next > limit) return false;
        if (next > clock.now()) clock.set(next);
    }
}

}  // namespace weir::sim
