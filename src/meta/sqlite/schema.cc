#include "meta/sqlite/schema.h"

#include <fmt/format.h>

#include <array>

#include "base/failure.h"
#include "base/log.h"
#include "meta/sqlite/steps.h"

namespace weir::meta {
namespace {

constexpr int64_t kApplicationId = 0x77656972;  // "weir"

// kSteps[v] brings a file from version v to v + 1.
constexpr std::array kSteps = {first_step, second_step, third_step, fourth_step, fifth_step};

// The file's version; 0 is a new file.
int64_t checked_version(Connection& connection) {
    // One view of all three: another process may be making the tables just now.
    connection.execute("SAVEPOINT version");
    const int64_t application = connection.number("PRAGMA application_id");
    const int64_t version = connection.number("PRAGMA user_version");
    const int64_t objects = connection.number("SELECT count(*) FROM sqlite_schema");
    connection.execute("RELEASE version");
    if (application == 0 && version == 0 && objects == 0) return 0;
    if (application != kApplicationId || version < 1)
        throw Failure(Kind::io,
                      fmt::format("metadata {}: an SQLite database, but not weir's: move it "
                                  "away, or set another path",
                                  connection.path()));
    if (version > newest_schema())
        throw Failure(
            Kind::io,
            fmt::format("metadata {}: written by a newer weir (schema {}, this one knows {}): "
                        "run that version, or set another path",
                        connection.path(), version, newest_schema()));
    return version;
}

void migrate(Connection& connection) {
    Transaction transaction(connection);
    // Another process may have been faster.
    const int64_t from = checked_version(connection);
    if (from > 0 && from < newest_schema())
        log::info("meta", "{}: bringing schema {} to {}", connection.path(), from, newest_schema());
    for (auto version = static_cast<size_t>(from); version < kSteps.size(); ++version)
        kSteps[version](connection);
    connection.execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}",
                                   kApplicationId, newest_schema()));
    transaction.commit();
}

}  // namespace

int64_t newest_schema() {
    return static_cast<int64_t>(kSteps.size());
}

void prepare_schema(Connection& connection, bool durable) {
    // What is not ours is not touched, so this comes before the journal mode is set.
    const int64_t version = checked_version(connection);
    if (sqlite3_db_readonly(connection.handle(), "main") == 1) connection.fail(SQLITE_READONLY);
    const std::string mode = connection.switch_to_log();
    if (mode != "wal" && mode != "memory")
        throw Failure(Kind::io,
                      fmt::format("metadata {}: no write-ahead log is possible there (journal "
                                  "mode {}): use a local file system",
                                  connection.path(), mode));
    connection.execute(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    if (version < newest_schema()) migrate(connection);
    if (connection.number("SELECT count(*) FROM counters") != 1)
        throw Failure(Kind::io,
                      fmt::format("metadata {}: the counters are missing, the database is damaged: "
                                  "restore a copy",
                                  connection.path()));
}

}  // namespace weir::meta
