// app/verbs_gc.h: `weir gc`: one pass of the collection, now.
#pragma once
#include <iosfwd>

#include "app/verb.h"

namespace weir::app {

// Writes a line for each thing that goes, and why, then what went in total; with `json` one object:
//
//   {"dryRun", "repositories", "tags", "untagged", "links", "manifests", "blobs", "bytes",
//    "s3Objects", "s3Failed", "uploads", "uploadsFailed", "removed": ["tag
//    docker.io/library/debian:old (sha256:...): ..."]}
//
// With `dry_run` nothing changes, and it is all that this pass would take: the tags, and the
// manifests, links and blobs that go with them.
//
// 1 when objects could not be deleted, or left uploads not aborted.
int gc(const VerbArguments&, bool dry_run, std::ostream& out);

}  // namespace weir::app
