// meta/sqlite/schema.h: the tables, and how an older file gets them.
//
// PRAGMA application_id says that a file is weir's, PRAGMA user_version which steps it has seen. A
// step is never changed once released; the next one is added behind it.
#pragma once
#include "meta/sqlite/connection.h"

namespace weir::meta {

// Checks that the file is weir's (or new), and brings it to the newest schema in one transaction.
// Failure{io} when it is something else, newer, or can't be written. Constant time on a file that
// is up to date.
void prepare_schema(Connection&, bool durable);

// The version this program writes.
int64_t newest_schema();

}  // namespace weir::meta
