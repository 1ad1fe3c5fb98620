// meta/sqlite/victims.h: the statements that name who leaves the disk next. Each walks one index of
// exactly the rows that may go, in the order in which they go, from a place on (a test asks the
// query plan), and reads nothing but that index.
#pragma once

namespace weir::meta {

// Columns: digest, priority. Arguments: in_s3, evictable, the last row's priority and digest,
// limit.
inline constexpr const char* kLowestVictims =
    "SELECT digest, priority FROM blobs INDEXED BY victims "
    "WHERE on_disk = 1 AND in_s3 = ? AND evictable = ? AND (priority, digest) > (?, ?) "
    "ORDER BY priority, digest LIMIT ?";
// Arguments: upstream, then the same.
inline constexpr const char* kLowestVictimsOf =
    "SELECT digest, priority FROM blobs INDEXED BY victims_of "
    "WHERE on_disk = 1 AND upstream = ? AND in_s3 = ? AND evictable = ? "
    "AND (priority, digest) > (?, ?) ORDER BY priority, digest LIMIT ?";
// Columns: digest, accessed. Arguments: upstream, in_s3, evictable, accessed before, the last row's
// accessed and digest, limit.
inline constexpr const char* kOldestVictims =
    "SELECT digest, accessed FROM blobs INDEXED BY victims_by_age "
    "WHERE on_disk = 1 AND upstream = ? AND in_s3 = ? AND evictable = ? AND accessed < ? "
    "AND (accessed, digest) > (?, ?) ORDER BY accessed, digest LIMIT ?";

}  // namespace weir::meta
