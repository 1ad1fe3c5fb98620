// cache/tiers.h: what the cache is told of its tiers: the bounds of the disk, the durable tier
// behind it, collection.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "cache/retention.h"
#include "meta/upkeep.h"
#include "store/remote.h"

namespace weir::cache {

// The bounds of the disk tier.
struct EvictionOptions {
    uint64_t max_bytes = UINT64_MAX;
    double high = 0.95, low = 0.85;  // of max_bytes: evict above, down to
    uint64_t min_free_bytes = 256ull << 20;
    Duration max_age{};                              // not read for so long; 0: no bound
    std::map<std::string, uint64_t> quotas;          // by upstream
    uint64_t metadata_bytes = meta::Upkeep::kBytes;  // of manifests and lists in the database
    bool durable_tier = false;                       // only what is there may leave the disk
};

// When and how garbage is collected (collector.h).
struct CollectorOptions {
    bool enabled = true;
    Duration interval = std::chrono::hours(1);
    Duration delay =
        std::chrono::hours(1);  // gcDelay: younger garbage stays; also the grace of S3 deletes
    Duration untagged_age =
        std::chrono::hours(168);  // untagged and loose: not accessed for so long
    // Minutes of the day (UTC) between which a pass may begin; unset: always.
    std::optional<std::pair<int, int>> window;
    Retention retention;
};

// Everything named here outlives the cache.
struct TierOptions {
    meta::Upkeep* upkeep = nullptr;   // never null
    store::Remote* remote = nullptr;  // null: the disk is the store
    EvictionOptions eviction;
    CollectorOptions collector;
    size_t upload_slots = 4;
    uint64_t admit_min_bytes = 0;  // > 0: a blob of that size is kept from its second request on
    std::function<DiskSpace()> file_system;
};

}  // namespace weir::cache
