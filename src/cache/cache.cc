#include "cache/cache.h"

#include <algorithm>

#include "base/log.h"
#include "cache/blobs.h"
#include "cache/collector.h"
#include "cache/erasures.h"
#include "cache/evictor.h"
#include "cache/left_overs.h"
#include "cache/lists.h"
#include "cache/manifests.h"
#include "cache/uploader.h"

namespace weir::cache {

namespace {
// What was removed is let go of so soon.
constexpr Duration kLookInterval = std::chrono::seconds(1);
}  // namespace

struct Cache::Impl {
    Impl(Options o, LoopGroup* l, meta::Metadata& m, store::Store& s, store::Space& sp, Pool& p,
         Clock& c, Random& r)
        : options(o),
          loops(l),
          metadata(m),
          pool(p),
          shares(split_memory(o.memory_bytes, o.manifest_memory_bytes)),
          answers(shares.manifests + shares.lists + shares.answers),
          blobs(options, shares, m, s, sp, p, c, r, scope),
          manifests(options, shares, m, sp, p, c, scope, blobs, answers),
          lists(options, shares, m, sp, p, c, scope, answers),
          store(s),
          space(sp),
          clock(c),
          random(r) {
        if (loops) scope.spawn((*loops)[0], [this] { return keep_up(); });
    }

    // What nobody waits for.
    Task<> keep_up() {
        Signal signal;
        {
            std::lock_guard lock(mutex);
            keeper.emplace(signal);
        }
        Loop& loop = Loop::current();
        TimePoint flush_at = loop.now() + options.touch_interval;
        while (!stopping) {
            co_await signal.wait(std::min(flush_at, loop.now() + kLookInterval));
            co_await forget_removed();
            if (loop.now() < flush_at && !stopping) continue;
            co_await flush_touches();
            flush_at = loop.now() + options.touch_interval;
        }
        std::lock_guard lock(mutex);
        keeper.reset();
    }

    Task<> forget_removed() {
        const uint64_t removals = metadata.removals();
        if (removals == removals_seen) co_return;
        removals_seen = removals;
        co_await pool.run([this] {
            blobs.forget_removed();
            manifests.forget_removed();
        });
    }

    MemoryShares memory() const {
        MemoryShares now;
        now.manifests = manifests.memory_bytes();
        now.tags = manifests.tag_bytes();
        now.links = manifests.link_bytes() + blobs.link_bytes();
        now.index = blobs.index_bytes();
        now.lists = lists.memory_bytes();
        now.negative = manifests.negative_bytes() + blobs.negative_bytes() + lists.quiet_bytes();
        const uint64_t kept = now.manifests + now.lists;
        now.answers = answers.bytes() - std::min(answers.bytes(), kept);
        return now;
    }

    // Access times go to the database in batches; a crash loses the last interval, which only blurs
    // the order of eviction.
    Task<> flush_touches() {
        auto touches = blobs.touches().take();
        if (touches.empty()) co_return;
        try {
            co_await pool.run([this, &touches] { metadata.touch(touches); });
        } catch (const Failure& failure) {
            log::warn("cache", "access times could not be written: {}", failure.what());
        }
    }

    const Options options;
    LoopGroup* loops;
    meta::Metadata& metadata;
    Pool& pool;
    const MemoryShares shares;
    Answers answers;
    Scope scope{"cache"};
    Blobs blobs;
    Manifests manifests;
    Lists lists;
    store::Store& store;
    store::Space& space;
    Clock& clock;
    Random& random;
    TierOptions tiers;
    std::unique_ptr<Uploader> uploader;
    std::unique_ptr<Erasures> erasures;
    std::unique_ptr<LeftOvers> left_overs;
    std::unique_ptr<Evictor> evictor;
    std::unique_ptr<Collector> collector;
    std::atomic<bool> stopping{false};
    std::mutex mutex;
    std::optional<Firing> keeper;  // guarded by the mutex
    uint64_t removals_seen = metadata.removals();
};

Cache::Cache(Options options, LoopGroup* loops, meta::Metadata& metadata, store::Store& store,
             store::Space& space, Pool& pool, Clock& clock, Random& random)
    : impl_(std::make_unique<Impl>(options, loops, metadata, store, space, pool, clock, random)) {}

Cache::~Cache() = default;

void Cache::start_tiers(TierOptions tiers) {
    Impl& i = *impl_;
    check(i.loops != nullptr && tiers.upkeep != nullptr, "tiers need loops and metadata");
    i.tiers = tiers;
    meta::Upkeep& upkeep = *tiers.upkeep;
    upkeep.enable_uploads(tiers.remote != nullptr);
    upkeep.bound_metadata(tiers.eviction.metadata_bytes);
    i.erasures = std::make_unique<Erasures>(upkeep, i.store, &i.space, i.pool);
    i.left_overs =
        std::make_unique<LeftOvers>(i.metadata, *i.erasures, i.blobs.fetches(), i.pool, i.clock);
    i.evictor = std::make_unique<Evictor>(tiers.eviction, i.metadata, upkeep, *i.erasures, i.space,
                                          i.blobs, i.pool, i.clock, i.scope, tiers.file_system);
    i.collector = std::make_unique<Collector>(tiers.collector, i.metadata, upkeep, *i.erasures,
                                              tiers.remote, &i.blobs, i.pool, i.clock);
    Loop& loop = (*i.loops)[i.loops->size() - 1];
    if (tiers.remote) {
        i.uploader = std::make_unique<Uploader>(i.metadata, upkeep, i.store, *tiers.remote, i.pool,
                                                i.clock, i.random, i.scope, tiers.upload_slots);
        i.uploader->start(loop);
    }
    Blobs::Tiers below;
    below.upkeep = tiers.upkeep;
    below.remote = tiers.remote;
    below.admit_min_bytes = tiers.admit_min_bytes;
    below.make_room = [&i](uint64_t bytes) { return i.evictor->make_room(bytes); };
    below.stored = [&i] {
        if (i.uploader) i.uploader->wake();
        i.evictor->wake();
    };
    const auto settled = [&i] { return i.left_overs->settled(); };
    below.settled = settled;
    below.erasures = i.erasures.get();
    i.blobs.set_tiers(std::move(below));
    i.left_overs->start(i.scope, loop);
    i.evictor->start(loop, settled);
    i.collector->start(i.scope, loop);
}

void Cache::set_bounds(EvictionOptions eviction, CollectorOptions collector) {
    if (impl_->tiers.upkeep) impl_->tiers.upkeep->bound_metadata(eviction.metadata_bytes);
    if (impl_->evictor) impl_->evictor->set_options(std::move(eviction));
    if (impl_->collector) impl_->collector->set_options(std::move(collector));
}

Task<std::optional<std::string>> Cache::redirect(TargetPtr target, oci::Digest digest,
                                                 std::chrono::seconds valid) {
    return impl_->blobs.redirect(std::move(target), digest, valid);
}

Task<> Cache::stop() {
    if (impl_->collector) impl_->collector->stop();
    if (impl_->evictor) impl_->evictor->stop();
    if (impl_->uploader) impl_->uploader->stop();
    if (impl_->left_overs) impl_->left_overs->stop();
    co_await impl_->blobs.stop();
    impl_->stopping = true;
    {
        std::lock_guard lock(impl_->mutex);
        if (impl_->keeper) impl_->keeper->fire();
    }
    co_await impl_->scope.join();
}

std::optional<ManifestView> Cache::manifest_now(const TargetPtr& target,
                                                std::string_view reference) {
    return impl_->manifests.manifest_now(target, reference);
}

Task<ManifestView> Cache::manifest(TargetPtr target, oci::Reference reference, bool head) {
    return impl_->manifests.manifest(std::move(target), std::move(reference), head);
}

std::optional<BlobView> Cache::blob_now(const TargetPtr& target, const oci::Digest& digest) {
    return impl_->blobs.blob_now(target, digest);
}

Task<BlobView> Cache::blob(TargetPtr target, oci::Digest digest, std::vector<WantedRange> wanted,
                           bool head) {
    return impl_->blobs.blob(std::move(target), digest, std::move(wanted), head);
}

Task<ListView> Cache::tags(TargetPtr target, std::string query) {
    return impl_->lists.tags(std::move(target), std::move(query));
}

Task<ListView> Cache::referrers(TargetPtr target, oci::Digest digest, std::string query) {
    return impl_->lists.referrers(std::move(target), digest, std::move(query));
}

Task<std::vector<std::string>> Cache::catalog(std::string last, size_t limit) {
    return impl_->lists.catalog(std::move(last), limit);
}

Task<Snapshot> Cache::snapshot() {
    Snapshot snapshot;
    snapshot.fetches = impl_->blobs.fetches().size();
    snapshot.fetches_waiting = impl_->blobs.permits().waiting();
    snapshot.relays = impl_->blobs.relays().running();
    snapshot.manifest_memory_bytes = impl_->manifests.memory_bytes();
    snapshot.memory = impl_->memory();
    snapshot.usage =
        co_await impl_->pool.run([impl = impl_.get()] { return impl->metadata.usage(); });
    if (impl_->tiers.upkeep) {
        snapshot.tiers = co_await impl_->pool.run(
            [impl = impl_.get()] { return impl->tiers.upkeep->tier_usage(); });
        snapshot.metadata_bytes = co_await impl_->pool.run(
            [impl = impl_.get()] { return impl->tiers.upkeep->metadata_bytes(); });
    }
    if (impl_->tiers.remote) {
        snapshot.durable_tier = true;
        snapshot.durable_tier_answers = impl_->tiers.remote->usable();
        snapshot.uploads_running = impl_->uploader->running();
    }
    co_return snapshot;
}

}  // namespace weir::cache
