// meta/sqlite/sqlite_metadata.h: Metadata and Upkeep in one SQLite file (WAL), in the process.
//
// One writer connection behind a mutex, a few readers. Opening is constant time: nothing is
// scanned, the schema version is checked and migrated forward in a transaction.
#pragma once
#include <memory>
#include <string>

#include "base/clock.h"
#include "meta/engine.h"

namespace weir::meta {

struct SqliteOptions {
    std::string path;  // ":memory:" for tests: one connection
    bool durable =
        false;  // synchronous=FULL: a commit survives a power cut; else NORMAL: it survives a kill
    size_t readers = 4;
    // By which objects are doomed and their deletion is claimed; outlives the engine.
    const Clock* clock = &system_clock();
};

// Failure{io} when the file is not a database or of a newer schema (the message says what to do).
std::unique_ptr<Engine> open_sqlite(SqliteOptions);

}  // namespace weir::meta
