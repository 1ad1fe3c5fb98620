#include "cache/cache.h"

#include "base/log.h"
#include "cache/blobs.h"
#include "cache/lists.h"
#include "cache/manifests.h"

namespace weir::cache {

struct Cache::Impl {
    Impl(Options o, LoopGroup* l, meta::Metadata& m, store::Store& s, store::Space& space, Pool& p,
         Clock& clock, Random& random)
        : options(o),
          loops(l),
          metadata(m),
          pool(p),
          blobs(options, m, s, space, p, clock, random, scope),
          manifests(options, m, p, clock, scope, blobs),
          lists(options, m, p, clock, scope, manifests) {
        if (loops) scope.spawn((*loops)[0], [this] { return flush_touches(); });
    }

    // Access times go to the database in batches; a crash loses the last interval, which only blurs
    // the order of eviction.
    Task<> flush_touches() {
        stop_signal.emplace();
        while (!stopping) {
            co_await stop_signal->wait(Loop::current().now() + options.touch_interval);
            auto touches = blobs.touches().take();
            if (touches.empty()) continue;
            try {
                co_await pool.run([this, &touches] { metadata.touch(touches); });
            } catch (const Failure& failure) {
                log::warn("cache", "access times could not be written: {}", failure.what());
            }
        }
        stop_signal.reset();
    }

    const Options options;
    LoopGroup* loops;
    meta::Metadata& metadata;
    Pool& pool;
    Scope scope{"cache"};
    Blobs blobs;
    Manifests manifests;
    Lists lists;
    std::atomic<bool> stopping{false};
    std::optional<Signal> stop_signal;  // of the flusher, on loop 0
};

Cache::Cache(Options options, LoopGroup* loops, meta::Metadata& metadata, store::Store& store,
             store::Space& space, Pool& pool, Clock& clock, Random& random)
    : impl_(std::make_unique<Impl>(options, loops, metadata, store, space, pool, clock, random)) {}

Cache::~Cache() = default;

Task<> Cache::stop() {
    co_await impl_->blobs.stop();
    impl_->stopping = true;
    if (impl_->loops) {
        (*impl_->loops)[0].post([impl = impl_.get()] {
            if (impl->stop_signal) impl->stop_signal->fire();
        });
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
    snapshot.usage =
        co_await impl_->pool.run([impl = impl_.get()] { return impl->metadata.usage(); });
    co_return snapshot;
}

}  // namespace weir::cache
