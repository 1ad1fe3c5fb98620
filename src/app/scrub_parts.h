// app/scrub_parts.h: the parts of a scrub; for the verb's own files.
#pragma once
#include <string>
#include <utility>

#include "app/pace.h"
#include "app/verbs_scrub.h"

namespace weir::app {

// One run. One loop.
struct Scrubbing {
    Rooms& rooms;
    const ScrubOptions& options;
    const ScrubHands& hands;
    Pace pace;
    ScrubReport report;
    uint32_t silences = 0;  // of S3, in a row

    void problem(ScrubProblem problem) {
        if (hands.tell) hands.tell(problem);
        if (report.problems.size() < kMaxProblemsTold)
            report.problems.push_back(std::move(problem));
    }
    void progress(std::string_view phase, double share) const {
        if (hands.progress) hands.progress(phase, share);
    }
};

// Rows: are their copies there, and right?
Task<> scrub_blobs(Scrubbing&);
// Manifests: are their bytes in the database right?
Task<> scrub_manifests(Scrubbing&);
// Files without a row, and staging rows without a file.
Task<> scrub_left_overs(Scrubbing&);

}  // namespace weir::app
