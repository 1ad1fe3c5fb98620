// app/left_uploads.h: uploads in parts that S3 keeps for nobody: the process died, or the answer
// was lost, before the id was in a row.
#pragma once
#include <chrono>
#include <functional>
#include <string>

#include "app/verb.h"

namespace weir::app {

struct LeftUploads {
    uint64_t aborted = 0;  // or, in a dry run, would be
    uint64_t failed = 0;
};

// Lists what is under our prefix and aborts what was begun longer than `grace` ago and no row
// names. Of another process on the same bucket no rows are known here: `grace` is what keeps its
// uploads; one that takes longer and is hit begins anew. `tell` gets a line for each. Nothing
// without a durable tier.
Task<LeftUploads> abort_left_uploads(Rooms&, Duration grace, bool dry_run,
                                     std::function<void(const std::string&)> tell);

}  // namespace weir::app
