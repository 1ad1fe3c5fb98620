// app/verbs_scrub.h: `weir scrub`: is what the database says there is really there, and right?
//
// Each manifest in the database is compared with its digest. Each blob's file is read and its
// digest compared, at a bounded rate; each object in S3 is asked for its size, and read too unless
// `quick`. A wrong copy goes, so that it comes again from the other tier or an upstream; with
// `repair` it comes at once. What the disk holds without a row goes too, when it is old enough not
// to be in the making.
#pragma once
#include <iosfwd>
#include <string>
#include <vector>

#include "app/verb.h"

namespace weir::app {

inline constexpr size_t kMaxProblemsTold = 10'000;

struct ScrubOptions {
    uint64_t bytes_per_second = 0;  // of what is read; 0: no bound
    bool quick = false;             // objects in S3: their sizes only
    bool repair = false;
    // Younger files and rows without their other half may be in the making.
    std::chrono::microseconds grace = std::chrono::minutes(10);
};

struct ScrubProblem {
    std::string digest;      // "" when it isn't about a blob or manifest
    const char* where = "";  // "disk", "s3" or "database"
    std::string what;        // "has another digest"
    std::string outcome;     // "repaired from s3", "comes again from its upstream"
};

struct ScrubReport {
    uint64_t manifests = 0, bad_manifests = 0;  // in the database
    uint64_t blobs = 0;
    uint64_t disk_files = 0, disk_bytes = 0;  // read
    uint64_t s3_objects = 0, s3_bytes = 0;    // asked for; read
    uint64_t bad_on_disk = 0, bad_in_s3 = 0;  // wrong or missing copies
    uint64_t repaired = 0;                    // of those, right again
    uint64_t unchecked = 0;                   // no answer, or not readable
    uint64_t orphans = 0, orphan_bytes = 0;   // files without a row, taken away
    uint64_t stale_stagings = 0;              // rows without a file, taken away
    std::vector<ScrubProblem> problems;       // at most kMaxProblemsTold
    bool clean() const { return bad_manifests + bad_on_disk + bad_in_s3 + unchecked == 0; }
};

struct ScrubHands {
    Resolve resolve;  // for repair from an upstream; may be empty
    // When the file last changed (also its name); nullopt: gone.
    std::function<std::optional<WallTime>(const std::string& path)> changed;
    std::function<void(const ScrubProblem&)> tell;  // each problem; may be empty
    std::function<void(std::string_view phase, double share)> progress;  // may be empty
};

// On the current loop.
Task<ScrubReport> scrub(Rooms&, const ScrubOptions&, const ScrubHands&);

// A line for each problem, then a summary; with `json` one object:
//
//   {"clean", "database": {"manifests", "bad"}, "blobs", "disk": {"files", "bytes", "bad"},
//    "s3": {"objects", "bytes", "bad"},
//    "repaired", "unchecked", "orphans", "orphanBytes", "staleStagings",
//    "problems": [{"digest", "where", "what", "outcome"}]}
int scrub(const VerbArguments&, const ScrubOptions&, std::ostream& out);

}  // namespace weir::app
