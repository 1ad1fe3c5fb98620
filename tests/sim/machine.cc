#include "sim/machine.h"

#include <fmt/format.h>

#include "base/check.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "store/disk_store.h"

namespace weir::sim {

using namespace std::chrono_literals;

Machine::Machine(MachineOptions options, LoopGroup& loops, Internet& internet)
    : options_(std::move(options)),
      loops_(loops),
      internet_(internet),
      pool_random_(options_.seed ^ 0x706f6f6c),
      random_(options_.seed ^ 0x6d616368),
      pool_(loops[0], options_.chance ? &pool_random_ : nullptr, options_.longest_job),
      http_(loops[0], internet),
      files_(options_.seed ^ 0x6469736b),
      metadata_(meta::open_sqlite({.path = ":memory:", .clock = &loops[0].clock()})) {}

Machine::~Machine() {
    check(cache_ == nullptr, "a machine is stopped before it goes");
}

void Machine::boot() {
    check(cache_ == nullptr, "a machine is off before it boots");
    ++boots_;
    Clock& clock = loops_[0].clock();
    mortal_ = std::make_unique<MortalEngine>(*metadata_);
    mortal_->evicted = [this](const oci::Digest& digest) {
        if (on_evicted) on_evicted(digest);
    };
    mortal_->fails = [this] { return cache_ != nullptr && database_fails && database_fails(); };
    const auto usage = metadata_->usage();
    space_ = std::make_unique<store::Space>(
        options_.limits, usage.blob_bytes + usage.staging_bytes,
        [this] { return files_.space(kRoot); }, clock);
    store_ = store::open_disk_store({.root = kRoot, .durable = true}, files_, pool_);
    for (size_t registry = 0; registry < options_.mirrors.size(); ++registry) {
        upstream::Options of = options_.upstream;
        of.name = fmt::format("r{}", registry);
        for (size_t m = 0; m < options_.mirrors[registry]; ++m)
            of.mirrors.push_back({.url = internet_.url(registry, m), .tls = {}});
        upstreams_.push_back(
            std::make_shared<upstream::Upstream>(of, http_, clock, random_, nullptr));
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
    if (options_.tiers)
        cache->start_tiers({.upkeep = mortal_.get(),
                            .eviction = options_.eviction,
                            .collector = options_.collector,
                            .file_system = [this] { return files_.space(kRoot); }});
    cache_ = std::move(cache);
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
    while (pool_.waiting() > 0 || http_.running() > 0) co_await sleep_for(10ms);
    dying_ = false;
}

Task<> Machine::stop(std::function<bool()> idle) {
    co_await end(std::move(idle));
}

Task<> Machine::crash(FaultFiles::Loss loss, std::function<bool()> idle) {
    files_.power_off();
    mortal_->cut_off();
    http_.plug(false);
    co_await end(std::move(idle));
    store_.reset();
    space_.reset();
    files_.power_on(loss);
    http_.plug(true);
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
