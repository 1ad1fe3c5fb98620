// app/refetch.h: a blob brought to the disk again, outside of any request: for repairs.
#pragma once
#include <string>
#include <vector>

#include "app/verb.h"
#include "cache/origin.h"

namespace weir::app {

// From the first of `origins` that gives the right bytes: staged, verified, committed, and put into
// the database under `upstream` (nullopt: the origin's). Returns the origin's
// key, or "" when none had it. Failure{io, no_space} of the disk.
Task<std::string> refetch(Rooms&, oci::Digest, uint64_t size, std::optional<std::string> upstream,
                          cache::Origins origins);

}  // namespace weir::app
