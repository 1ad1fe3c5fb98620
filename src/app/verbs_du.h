// app/verbs_du.h: `weir du`: who takes the room.
#pragma once
#include <iosfwd>
#include <vector>

#include "app/verb.h"

namespace weir::app {

struct DuArguments {
    size_t top = 20;   // repositories, largest first
    bool all = false;  // every repository
};

struct DiskUse {
    meta::TierUsage tiers;
    std::vector<meta::UpstreamUsage> upstreams;               // largest first
    std::vector<meta::Upkeep::RepositoryUsage> repositories;  // largest first, at most `top`
    uint64_t repository_count = 0;
};

// Blocks; a short query for each repository. `progress` gets the share of them, from 0 to 1.
DiskUse disk_use(meta::Engine&, const DuArguments&, const std::function<void(double)>& progress);

// A blob that several repositories link counts in each of them. With `json` one object:
//
//   {"tiers": {"disk": {"blobs", "bytes"}, "s3": {"blobs", "bytes"},
//              "uploads": {"objects", "bytes"}, "doomed": n},
//    "upstreams": [{"name", "blobs", "diskBytes", "s3Bytes"}],
//    "repositories": [{"name", "tags", "blobs", "bytes", "diskBytes", "s3Bytes"}],
//    "repositoryCount": n}
int du(const VerbArguments&, const DuArguments&, std::ostream& out);

}  // namespace weir::app
