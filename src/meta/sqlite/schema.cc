#include "meta/sqlite/schema.h"

#include <fmt/format.h>

#include <array>

#include "base/failure.h"
#include "base/log.h"

namespace weir::meta {
namespace {

constexpr int64_t kApplicationId = 0x77656972;  // "weir"

// Times are microseconds since 1970, digests what digest_key() makes. The counters are kept by
// triggers, so that no statement can forget them; an upsert fires the UPDATE trigger, a row that
// INSERT OR IGNORE leaves out fires none.
constexpr const char* kFirst = R"sql(
CREATE TABLE counters (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    generation    INTEGER NOT NULL,  -- the first that nobody has been given
    blobs         INTEGER NOT NULL DEFAULT 0,
    blob_bytes    INTEGER NOT NULL DEFAULT 0,
    manifests     INTEGER NOT NULL DEFAULT 0,
    repositories  INTEGER NOT NULL DEFAULT 0,
    tags          INTEGER NOT NULL DEFAULT 0,
    staging_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO counters (id, generation) VALUES (1, 1);

CREATE TABLE repositories (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE blobs (
    digest     BLOB PRIMARY KEY,
    size       INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    accessed   INTEGER NOT NULL,
    upstream   TEXT NOT NULL,
    in_s3      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE manifests (
    id         INTEGER PRIMARY KEY,
    digest     BLOB NOT NULL UNIQUE,
    created    INTEGER NOT NULL,
    accessed   INTEGER NOT NULL,
    in_s3      INTEGER NOT NULL DEFAULT 0,
    upstream   TEXT NOT NULL,
    media_type TEXT NOT NULL,
    bytes      BLOB NOT NULL
) STRICT;

CREATE TABLE tags (
    repository INTEGER NOT NULL REFERENCES repositories,
    name       TEXT NOT NULL,
    digest     BLOB NOT NULL,
    checked    INTEGER NOT NULL,
    upstream   TEXT NOT NULL,
    PRIMARY KEY (repository, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE links (
    repository INTEGER NOT NULL REFERENCES repositories,
    digest     BLOB NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE lists (
    id              INTEGER PRIMARY KEY,
    repository      TEXT NOT NULL,  -- by name: a list that is remembered does not make a repository
    kind            TEXT NOT NULL,
    query           TEXT NOT NULL,
    fetched         INTEGER NOT NULL,
    filters_applied INTEGER NOT NULL,
    next_query      TEXT NOT NULL,
    content_type    TEXT NOT NULL,
    body            BLOB NOT NULL,
    UNIQUE (repository, kind, query)
) STRICT;
CREATE INDEX lists_by_age ON lists (repository, fetched);

CREATE TABLE staging (
    digest       BLOB PRIMARY KEY,
    generation   INTEGER NOT NULL,
    size         INTEGER,
    updated      INTEGER NOT NULL,
    extent_bytes INTEGER NOT NULL,
    extents      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX staging_by_age ON staging (updated);

CREATE TRIGGER blob_added AFTER INSERT ON blobs BEGIN
    UPDATE counters SET blobs = blobs + 1, blob_bytes = blob_bytes + new.size;
END;
CREATE TRIGGER blob_removed AFTER DELETE ON blobs BEGIN
    UPDATE counters SET blobs = blobs - 1, blob_bytes = blob_bytes - old.size;
END;
CREATE TRIGGER manifest_added AFTER INSERT ON manifests BEGIN
    UPDATE counters SET manifests = manifests + 1;
END;
CREATE TRIGGER manifest_removed AFTER DELETE ON manifests BEGIN
    UPDATE counters SET manifests = manifests - 1;
END;
CREATE TRIGGER repository_added AFTER INSERT ON repositories BEGIN
    UPDATE counters SET repositories = repositories + 1;
END;
CREATE TRIGGER repository_removed AFTER DELETE ON repositories BEGIN
    UPDATE counters SET repositories = repositories - 1;
END;
CREATE TRIGGER tag_added AFTER INSERT ON tags BEGIN
    UPDATE counters SET tags = tags + 1;
END;
CREATE TRIGGER tag_removed AFTER DELETE ON tags BEGIN
    UPDATE counters SET tags = tags - 1;
END;
CREATE TRIGGER staging_added AFTER INSERT ON staging BEGIN
    UPDATE counters SET staging_bytes = staging_bytes + new.extent_bytes;
END;
CREATE TRIGGER staging_grown AFTER UPDATE ON staging BEGIN
    UPDATE counters SET staging_bytes = staging_bytes + new.extent_bytes - old.extent_bytes;
END;
CREATE TRIGGER staging_removed AFTER DELETE ON staging BEGIN
    UPDATE counters SET staging_bytes = staging_bytes - old.extent_bytes;
END;
)sql";

// kSteps[v] brings a file from version v to v + 1.
constexpr std::array kSteps = {kFirst};

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
        connection.execute(kSteps[version]);
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
    const std::string mode = connection.text("PRAGMA journal_mode = WAL");
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
