// cache/erasures.h: files whose rows have gone, and the rows that say so (meta::Upkeep::erasures).
#pragma once
#include <atomic>
#include <vector>

#include "async/pool.h"
#include "async/task.h"
#include "meta/upkeep.h"
#include "store/store.h"

namespace weir::cache {

// These files are not on the disk any more; leaves the list empty.
Task<> report_erased(meta::Upkeep&, Pool&, std::vector<meta::Erasure>& files);

// Erases what a crash or a failing disk left, page by page, until `stopping`. Returns how many
// files were still there. One that can't be erased keeps its row for the next time.
Task<size_t> erase_left_over(meta::Upkeep&, store::Store&, Pool&,
                             const std::atomic<bool>& stopping);

}  // namespace weir::cache
