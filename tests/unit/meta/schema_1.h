// tests/unit/meta/schema_1.h: what a file of schema 1 was made with.
#pragma once

namespace weir::meta {

inline constexpr const char* kSchema1 = R"sql(
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

}  // namespace weir::meta
