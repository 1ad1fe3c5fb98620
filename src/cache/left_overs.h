// cache/left_overs.h: what a process before left on the disk and nothing counts: what had come of a
// blob since its extents were last recorded, the rest that its file was allocated, and files whose
// rows have gone.
//
// One pass at the start: each staging file is cut to what its row counts, and files that have to go
// are erased. A fetch begins after it, so that nothing is promised that is taken already; but no
// later than kPatience, on a slow disk or after very many partial pulls.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "async/pool.h"
#include "async/scope.h"
#include "async/signal.h"
#include "base/clock.h"
#include "cache/erasures.h"
#include "cache/fetch_table.h"
#include "meta/metadata.h"

namespace weir::cache {

class LeftOvers {
public:
    static constexpr Duration kPatience = std::chrono::seconds(3);

    LeftOvers(meta::Metadata&, Erasures&, FetchTable&, Pool&, Clock&);
    // The pass, in `scope` on `loop`; before the first fetch.
    void start(Scope& scope, Loop& loop);
    // Nobody waits any more.
    void stop();
    // Until a fetch may begin. Any loop.
    Task<> settled();

private:
    Task<> pass();
    Task<> cut_stagings();
    Task<> cut(oci::Digest);
    // `over`: fetches may begin, unless a row is worked at.
    void open_if(bool over);

    meta::Metadata& metadata_;
    Erasures& erasures_;
    FetchTable& fetches_;
    Pool& pool_;
    Clock& clock_;
    std::atomic<bool> stopping_{false};
    std::mutex mutex_;  // of all below
    bool open_ = false;
    bool at_a_row_ = false;  // of a fetch that may be waiting here
    TimePoint latest_{};
    std::vector<Firing> waiters_;
};

}  // namespace weir::cache
