// meta/sqlite/victims.h: the statements that name who leaves the disk next. Each walks one index of
// exactly the rows that may go, in the order in which they go (a test asks the query plan).
#pragma once

namespace weir::meta {

// Columns: digest, generation, size, upstream, priority. Arguments: in_s3, evictable.
inline constexpr const char* kLowestVictims =
    "SELECT digest, generation, size, upstream, priority FROM blobs INDEXED BY victims "
    "WHERE on_disk = 1 AND in_s3 = ? AND evictable = ? ORDER BY priority";
// Arguments: upstream, in_s3, evictable.
inline constexpr const char* kLowestVictimsOf =
    "SELECT digest, generation, size, upstream, priority FROM blobs INDEXED BY victims_of "
    "WHERE on_disk = 1 AND upstream = ? AND in_s3 = ? AND evictable = ? ORDER BY priority";
// Arguments: upstream, in_s3, evictable, accessed before.
inline constexpr const char* kOldestVictims =
    "SELECT digest, generation, size, upstream, priority FROM blobs INDEXED BY victims_by_age "
    "WHERE on_disk = 1 AND upstream = ? AND in_s3 = ? AND evictable = ? AND accessed < ? "
    "ORDER BY accessed";

}  // namespace weir::meta
