// cache/erasures.h: files whose rows have gone, and the rows that say so (meta::Upkeep::erasures).
//
// A file counts as used until it is off the disk. Of one that a process before left nobody knows
// the size any more: it is erased before anything is promised (left_overs.h).
#pragma once
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "async/pool.h"
#include "async/task.h"
#include "meta/upkeep.h"
#include "store/space.h"
#include "store/store.h"

namespace weir::cache {

struct GoneFile {
    oci::Digest digest;
    uint64_t generation = 0;
    uint64_t size = 0;  // that Space counts
};

// Any loop.
class Erasures {
public:
    // `space` is null in a verb beside a server, which counts for itself.
    Erasures(meta::Upkeep&, store::Store&, store::Space*, Pool&);

    // The row of this file has just gone. One that the disk does not give up counts on and is tried
    // again by retry(); the Failure is thrown.
    Task<> erase(GoneFile);
    // Tells the database of what was erased since the last report; once for a page of files.
    Task<> report();
    Task<> retry();
    // How many files the disk has not given up.
    size_t stuck() const;
    // Erases what the rows name, page by page, until `stopping`. Returns how many files were still
    // there. One that can't be erased keeps its row for the next time.
    Task<size_t> erase_left_over(const std::atomic<bool>& stopping);

private:
    void done(const oci::Digest&, uint64_t generation, uint64_t size);

    meta::Upkeep& upkeep_;
    store::Store& store_;
    store::Space* space_;
    Pool& pool_;
    mutable std::mutex mutex_;
    // By generation, which no two files share.
    std::unordered_map<uint64_t, GoneFile> stuck_;
    std::vector<meta::Erasure> unreported_;
};

}  // namespace weir::cache
