// registry/registry.h: the OCI distribution API (distribution-spec 1.1, pull) over the cache.
//
// The handler of everything under /v2. Writes are refused. Each serving loop has its own memo of
// what was asked lately, so that a hot manifest costs one look-up here and one in the cache, and
// nothing is formatted.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/loop.h"
#include "cache/cache.h"
#include "http/message.h"
#include "registry/access_log.h"
#include "registry/fields.h"
#include "registry/recent.h"
#include "registry/request_metrics.h"
#include "registry/route.h"
#include "registry/targets.h"

namespace weir::registry {

// Bytes of the memos of all loops together, unless the configuration says otherwise; a quarter of
// them is for names that were resolved.
inline constexpr uint64_t kMemoBytes = 16ull << 20;
// A longer host and request target, or host and repository, is understood anew each time.
inline constexpr size_t kMaxMemoKeyBytes = 1024;
inline constexpr size_t kMaxCatalogEntries = 1000;  // repositories in one answer

class Registry : public http::Handler {
public:
    // Requests come on `loops` only. `cache` outlives the registry, the registry outlives the
    // loops' running.
    Registry(log::Format access_format, const std::vector<Loop*>& loops, cache::Cache& cache,
             std::shared_ptr<const Targets> targets, uint64_t memo_bytes = kMemoBytes);
    ~Registry() override;

    // Any thread; requests that begin later see the new ones.
    void set_targets(std::shared_ptr<const Targets> targets);
    // When the loops have stopped: the last access lines.
    void flush();

    Task<http::Response> handle(http::Request& request) override;
    std::optional<http::Response> handle_now(http::Request& request) override;
    http::Response failed(const http::Request* request, std::exception_ptr error) override;
    void finished(const http::Request& request, const http::Response& response,
                  const http::Outcome& outcome) override;

private:
    // What a request target, as sent, was found to mean, and the fields of its answer.
    struct Hot {
        RouteKind kind{};
        cache::TargetPtr target;
        std::string ns;
        std::string reference;  // of a manifest
        oci::Digest digest;     // of a blob
        ManifestFields manifest;
        BlobFields blob;
    };
    // One loop's state; no other thread touches it.
    struct Place {
        Place(Loop& on, log::Format format, uint64_t memo_bytes)
            : loop(&on), hot(memo_bytes / 4 * 3), resolved(memo_bytes / 4), access(on, format) {}
        Loop* loop;
        uint64_t generation = 0;
        std::shared_ptr<const Targets> targets;
        Recent<Hot> hot;
        Recent<Resolved> resolved;
        uint64_t gauged_bytes = 0;  // of both, as the gauge has them
        AccessBuffer access;
    };
    // A request that was understood: a valid name, routed.
    struct Asked {
        Route route;
        cache::TargetPtr target;
        cache::TargetPtr otherwise;  // asked when `target` has no such thing
        std::string ns;
        std::string buffer;  // what route's views may point into
    };

    Place& here();
    static void gauge_memos(Place& place);
    std::optional<http::Response> answer_hot(http::Request& request, Hot& hot);
    // Throws what is wrong with the request.
    std::unique_ptr<Asked> understand(Place& place, const http::Request& request);
    Resolved resolve(Place& place, const http::Request& request, const Asked& asked);
    Task<http::Response> answer(Place& place, http::Request& request, const Asked& asked);

    Task<http::Response> manifest(http::Request& request, const Asked& asked);
    Task<http::Response> blob(http::Request& request, const Asked& asked);
    bool may_redirect(const http::Request& request);
    Task<std::optional<http::Response>> redirect(const Asked& asked, oci::Digest digest);
    Task<http::Response> tags(http::Request& request, const Asked& asked);
    Task<http::Response> referrers(http::Request& request, const Asked& asked);
    Task<http::Response> catalog(http::Request& request);

    cache::Cache& cache_;
    std::vector<std::unique_ptr<Place>> places_;
    std::mutex mutex_;
    std::shared_ptr<const Targets> targets_;  // under mutex_
    std::atomic<uint64_t> generation_{1};
    RequestMetrics metrics_;
};

}  // namespace weir::registry
