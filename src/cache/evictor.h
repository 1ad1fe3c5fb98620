// cache/evictor.h: keeps the disk tier within its bounds.
//
// Above the high watermark (or below the free space to be kept, or over an upstream's quota) it
// evicts, cheapest loss first (meta/upkeep.h), down to the low watermark. What is being read,
// pinned, or nowhere else is never evicted. The row goes first and leaves another that says that
// the file has to go; then the file, and that row with a page of others. Nothing is locked across
// any of it.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "async/pool.h"
#include "async/scope.h"
#include "async/semaphore.h"
#include "cache/blobs.h"
#include "cache/erasures.h"
#include "cache/tiers.h"
#include "meta/metadata.h"
#include "meta/upkeep.h"
#include "store/space.h"

namespace weir::cache {

class Evictor {
public:
    Evictor(EvictionOptions, meta::Metadata&, meta::Upkeep&, Erasures&, store::Space&, Blobs&,
            Pool&, Clock&, Scope&, std::function<DiskSpace()> file_system);
    // `settled`: until all that is on the disk is counted, which it waits for.
    void start(Loop& loop, std::function<Task<>()> settled);
    void stop();
    void set_options(EvictionOptions);
    // Evicts until `bytes` more fit, if that is possible within a moment. One flight at a time, for
    // all who wait then: what they ask for adds up.
    Task<bool> make_room(uint64_t bytes);
    // Look now. Any thread.
    void wake();

private:
    struct Goal {
        uint64_t bytes = 0;  // to get rid of
        std::string upstream;
        std::optional<WallTime> accessed_before;
        const char* reason = "";
    };
    Task<> run(std::function<Task<>()> settled);
    Task<> look();
    Task<> count_others();
    Task<uint64_t> evict(Goal goal);
    Task<uint64_t> make_room_for_all();
    Task<uint64_t> drop_left_overs(uint64_t bytes);
    uint64_t over_watermark(uint64_t wanted) const;
    EvictionOptions options() const;

    mutable std::mutex mutex_;
    EvictionOptions options_;
    meta::Metadata& metadata_;
    meta::Upkeep& upkeep_;
    Erasures& erasures_;
    store::Space& space_;
    Blobs& blobs_;
    Pool& pool_;
    Clock& clock_;
    Scope& scope_;
    std::function<DiskSpace()> file_system_;
    std::atomic<bool> stopping_{false};
    std::optional<Firing> runner_;
    Flight<std::string, uint64_t> rooms_;
    std::atomic<uint64_t> wished_{0};  // by those who wait in make_room()
};

}  // namespace weir::cache
