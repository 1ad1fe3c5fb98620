// app/rebuild_parts.h: the two sources of a rebuild; for the verb's own files.
#pragma once
#include <string>
#include <utility>

#include "app/verbs_rebuild.h"

namespace weir::app {

// One run. One loop.
struct Rebuilding {
    Rooms& rooms;
    const RebuildOptions& options;
    const RebuildHands& hands;
    RebuildReport report;

    void problem(std::string what) {
        ++report.problem_count;
        if (hands.tell) hands.tell(what);
        if (report.problems.size() < kMaxRebuildProblems)
            report.problems.push_back(std::move(what));
    }
    void progress(std::string_view phase, double share) const {
        if (hands.progress) hands.progress(phase, share);
    }
};

Task<> rebuild_from_s3(Rebuilding&);
Task<> rebuild_from_disk(Rebuilding&);

}  // namespace weir::app
