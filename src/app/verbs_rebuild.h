// app/verbs_rebuild.h: `weir rebuild`: the database anew, from the objects. The one verb that lists
// S3.
//
// From S3: tags, the manifests that they reach, those that refer to one of these, and blobs. From
// the disk: blobs, which are all that it has; without S3 their manifests come from the upstreams
// when they are asked for, and blobs that no pull has linked within storage.gcDelay are collected.
//
// A repository gets back the links to what its tags, and no other repository's, lead to
// (Upkeep::link_reached); for the rest its upstream is asked again (cache/gate.h). How bytes came
// is not known any more: where logins are configured, all counts as private of its upstream.
#pragma once
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "app/verb.h"

namespace weir::app {

struct RebuildOptions {
    bool trust_names = false;  // files on the disk have the digest that their names say
};

struct RebuildReport {
    uint64_t tags = 0, manifests = 0, repositories = 0;
    uint64_t s3_blobs = 0, s3_bytes = 0;
    uint64_t disk_blobs = 0, disk_bytes = 0;
    uint64_t left_overs = 0;  // staging files and second copies, taken away
    uint64_t problem_count = 0;
    std::vector<std::string> problems;  // at most kMaxRebuildProblems
};
inline constexpr size_t kMaxRebuildProblems = 10'000;

struct RebuildHands {
    Resolve resolve;                               // whose a repository is; may be empty
    bool logins = true;                            // some are configured
    std::function<void(const std::string&)> tell;  // may be empty
    std::function<void(std::string_view phase, double share)> progress;  // may be empty
};

// Into an empty database; nobody else may use the store. On the current loop. Failure{io} when S3
// can't be listed.
Task<RebuildReport> rebuild(Rooms&, const RebuildOptions&, const RebuildHands&);

// Nothing is stored according to it.
bool is_empty(meta::Engine&);

// Refuses a database that has something, unless `force`, which moves its files aside
// ("weir.db.old"). With `json` one object:
//
//   {"repositories", "tags", "manifests", "disk": {"blobs", "bytes"}, "s3": {"blobs", "bytes"},
//    "leftOvers", "problems": [...]}
//
// 1 when something could not be read or was wrong.
int rebuild(const VerbArguments&, const RebuildOptions&, bool force, std::ostream& out);

}  // namespace weir::app
