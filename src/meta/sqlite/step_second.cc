#include "meta/sqlite/rows.h"
#include "meta/sqlite/steps.h"
#include "oci/manifest.h"

namespace weir::meta {
namespace {

// As many manifests are in memory at once.
constexpr uint64_t kBackfillPage = 64;

constexpr const char* kColumns = R"sql(
ALTER TABLE counters ADD COLUMN inflation    REAL NOT NULL DEFAULT 0;  -- GDSF's L
ALTER TABLE counters ADD COLUMN disk_blobs   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN disk_bytes   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN s3_blobs     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN s3_bytes     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN uploads      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN upload_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE counters ADD COLUMN doomed       INTEGER NOT NULL DEFAULT 0;

ALTER TABLE blobs ADD COLUMN on_disk   INTEGER NOT NULL DEFAULT 1 CHECK (on_disk OR in_s3);
ALTER TABLE blobs ADD COLUMN evictable INTEGER NOT NULL DEFAULT 1;  -- an upstream has it
ALTER TABLE blobs ADD COLUMN uses      INTEGER NOT NULL DEFAULT 1;
ALTER TABLE blobs ADD COLUMN priority  REAL NOT NULL DEFAULT 0;     -- as of the last use

ALTER TABLE manifests ADD COLUMN subject BLOB;

ALTER TABLE tags ADD COLUMN created INTEGER NOT NULL DEFAULT 0;  -- since when this digest
ALTER TABLE tags ADD COLUMN in_s3   INTEGER NOT NULL DEFAULT 0;  -- as it is now

-- What a manifest names: config, layers, an index's children; not its subject.
CREATE TABLE refs (
    manifest INTEGER NOT NULL REFERENCES manifests,
    digest   BLOB NOT NULL,
    PRIMARY KEY (manifest, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE uploads (
    id         INTEGER PRIMARY KEY,
    what       INTEGER NOT NULL,            -- 0 blob, 1 manifest, 2 tag
    digest     BLOB NOT NULL,               -- empty of a tag
    name       TEXT NOT NULL,               -- "repository\ntag" of a tag, else empty
    size       INTEGER NOT NULL,
    not_before INTEGER NOT NULL,            -- due, or the end of the lease
    lessee     INTEGER NOT NULL DEFAULT 0,  -- an opening of the database
    started    INTEGER NOT NULL DEFAULT 0,  -- the object may be in S3
    attempts   INTEGER NOT NULL DEFAULT 0,
    upload_id  TEXT NOT NULL DEFAULT '',
    UNIQUE (what, digest, name)
) STRICT;
CREATE INDEX uploads_due ON uploads (not_before);
CREATE INDEX uploads_leased ON uploads (lessee) WHERE lessee <> 0;

-- Objects in S3 that are to be deleted.
CREATE TABLE doomed (
    digest   BLOB PRIMARY KEY,
    since    INTEGER NOT NULL,
    claimant INTEGER NOT NULL DEFAULT 0,  -- an opening of the database; 0: nobody
    claimed  INTEGER NOT NULL DEFAULT 0,  -- when
    again    INTEGER NOT NULL DEFAULT 0   -- an upload ended after the claim
) STRICT, WITHOUT ROWID;
CREATE INDEX doomed_by_age ON doomed (since);

CREATE TABLE pins (
    repository TEXT NOT NULL,
    tag        TEXT NOT NULL,
    PRIMARY KEY (repository, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE upstream_usage (
    upstream   TEXT PRIMARY KEY,
    blobs      INTEGER NOT NULL DEFAULT 0,
    disk_bytes INTEGER NOT NULL DEFAULT 0,
    s3_bytes   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Kept by triggers, so that a collection need not look for them: manifests that no repository
-- links, and repositories without links and tags.
CREATE TABLE unlinked_manifests (
    digest BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE TABLE empty_repositories (
    repository INTEGER PRIMARY KEY
) STRICT;
)sql";

constexpr const char* kValues = R"sql(
UPDATE tags SET created = checked;
UPDATE counters SET disk_blobs = blobs, disk_bytes = blob_bytes;
INSERT INTO upstream_usage (upstream, blobs, disk_bytes)
    SELECT upstream, count(*), sum(size) FROM blobs GROUP BY upstream;
)sql";

// The last column of each victims index is the order in which they go; on_disk, always 1 there, is
// a column so that the index alone answers.
constexpr const char* kIndices = R"sql(
CREATE INDEX victims ON blobs (on_disk, in_s3, evictable, priority) WHERE on_disk = 1;
CREATE INDEX victims_of ON blobs (on_disk, upstream, in_s3, evictable, priority)
    WHERE on_disk = 1;
CREATE INDEX victims_by_age ON blobs (on_disk, upstream, in_s3, evictable, accessed)
    WHERE on_disk = 1;
CREATE INDEX links_by_digest ON links (digest);
CREATE INDEX tags_by_digest ON tags (digest);
CREATE INDEX refs_by_digest ON refs (digest);

INSERT INTO unlinked_manifests (digest)
    SELECT digest FROM manifests AS m
    WHERE NOT EXISTS (SELECT 1 FROM links WHERE digest = m.digest);
INSERT INTO empty_repositories (repository)
    SELECT id FROM repositories AS r
    WHERE NOT EXISTS (SELECT 1 FROM links WHERE repository = r.id)
    AND NOT EXISTS (SELECT 1 FROM tags WHERE repository = r.id);
)sql";

// Only the columns named fire blob_moved: the access time and priority of a blob change often.
constexpr const char* kTriggers = R"sql(
DROP TRIGGER blob_added;
DROP TRIGGER blob_removed;
CREATE TRIGGER blob_added AFTER INSERT ON blobs BEGIN
    UPDATE counters SET blobs = blobs + 1, blob_bytes = blob_bytes + new.size,
        disk_blobs = disk_blobs + new.on_disk, disk_bytes = disk_bytes + new.on_disk * new.size,
        s3_blobs = s3_blobs + new.in_s3, s3_bytes = s3_bytes + new.in_s3 * new.size;
    INSERT OR IGNORE INTO upstream_usage (upstream) VALUES (new.upstream);
    UPDATE upstream_usage SET blobs = blobs + 1, disk_bytes = disk_bytes + new.on_disk * new.size,
        s3_bytes = s3_bytes + new.in_s3 * new.size WHERE upstream = new.upstream;
END;
CREATE TRIGGER blob_moved AFTER UPDATE OF size, on_disk, in_s3 ON blobs BEGIN
    UPDATE counters SET blob_bytes = blob_bytes + new.size - old.size,
        disk_blobs = disk_blobs + new.on_disk - old.on_disk,
        disk_bytes = disk_bytes + new.on_disk * new.size - old.on_disk * old.size,
        s3_blobs = s3_blobs + new.in_s3 - old.in_s3,
        s3_bytes = s3_bytes + new.in_s3 * new.size - old.in_s3 * old.size;
    UPDATE upstream_usage SET
        disk_bytes = disk_bytes + new.on_disk * new.size - old.on_disk * old.size,
        s3_bytes = s3_bytes + new.in_s3 * new.size - old.in_s3 * old.size
        WHERE upstream = new.upstream;
END;
CREATE TRIGGER blob_removed AFTER DELETE ON blobs BEGIN
    UPDATE counters SET blobs = blobs - 1, blob_bytes = blob_bytes - old.size,
        disk_blobs = disk_blobs - old.on_disk, disk_bytes = disk_bytes - old.on_disk * old.size,
        s3_blobs = s3_blobs - old.in_s3, s3_bytes = s3_bytes - old.in_s3 * old.size;
    UPDATE upstream_usage SET blobs = blobs - 1, disk_bytes = disk_bytes - old.on_disk * old.size,
        s3_bytes = s3_bytes - old.in_s3 * old.size WHERE upstream = old.upstream;
    DELETE FROM uploads WHERE what = 0 AND digest = old.digest AND name = '';
END;
CREATE TRIGGER manifest_forgotten AFTER DELETE ON manifests BEGIN
    DELETE FROM refs WHERE manifest = old.id;
    DELETE FROM uploads WHERE what = 1 AND digest = old.digest AND name = '';
    DELETE FROM unlinked_manifests WHERE digest = old.digest;
END;
CREATE TRIGGER link_added AFTER INSERT ON links BEGIN
    DELETE FROM unlinked_manifests WHERE digest = new.digest;
    DELETE FROM empty_repositories WHERE repository = new.repository;
END;
CREATE TRIGGER link_removed AFTER DELETE ON links BEGIN
    INSERT OR IGNORE INTO unlinked_manifests (digest)
        SELECT digest FROM manifests WHERE digest = old.digest
        AND NOT EXISTS (SELECT 1 FROM links WHERE digest = old.digest);
    INSERT OR IGNORE INTO empty_repositories (repository)
        SELECT old.repository
        WHERE NOT EXISTS (SELECT 1 FROM links WHERE repository = old.repository)
        AND NOT EXISTS (SELECT 1 FROM tags WHERE repository = old.repository);
END;
CREATE TRIGGER tag_fills AFTER INSERT ON tags BEGIN
    DELETE FROM empty_repositories WHERE repository = new.repository;
END;
CREATE TRIGGER tag_empties AFTER DELETE ON tags BEGIN
    INSERT OR IGNORE INTO empty_repositories (repository)
        SELECT old.repository
        WHERE NOT EXISTS (SELECT 1 FROM links WHERE repository = old.repository)
        AND NOT EXISTS (SELECT 1 FROM tags WHERE repository = old.repository);
END;
CREATE TRIGGER upload_added AFTER INSERT ON uploads BEGIN
    UPDATE counters SET uploads = uploads + 1, upload_bytes = upload_bytes + new.size;
END;
CREATE TRIGGER upload_removed AFTER DELETE ON uploads BEGIN
    UPDATE counters SET uploads = uploads - 1, upload_bytes = upload_bytes - old.size;
END;
CREATE TRIGGER doomed_added AFTER INSERT ON doomed BEGIN
    UPDATE counters SET doomed = doomed + 1;
END;
CREATE TRIGGER doomed_removed AFTER DELETE ON doomed BEGIN
    UPDATE counters SET doomed = doomed - 1;
END;
)sql";

// What the stored manifests name. One that does not parse, which none that was stored is, names
// nothing.
void backfill_references(Connection& c) {
    struct Stored {
        uint64_t id;
        std::string media_type;
        std::string bytes;
    };
    uint64_t last = 0;
    std::vector<Stored> page;
    do {
        page.clear();
        Query q(c, "SELECT id, media_type, bytes FROM manifests WHERE id > ? ORDER BY id LIMIT ?",
                last, kBackfillPage);
        while (q.next()) page.push_back({q.number(0), q.text(1), q.text(2)});
        for (const auto& manifest : page) {
            last = manifest.id;
            const auto parsed = oci::parse_manifest(manifest.bytes, manifest.media_type);
            if (!parsed) continue;
            for (const auto* list : {&parsed->blobs, &parsed->manifests})
                for (const auto& descriptor : *list)
                    insert_reference(c, manifest.id, descriptor.digest);
            if (!parsed->subject.empty())
                Query(c, "UPDATE manifests SET subject = ? WHERE id = ?", parsed->subject[0].digest,
                      manifest.id)
                    .run();
        }
    } while (!page.empty());
}

}  // namespace

void second_step(Connection& c) {
    c.execute(kColumns);
    c.execute(kValues);
    Query(c, "UPDATE blobs SET evictable = upstream <> '', priority = ? / max(size, 1) + ?",
          kRequestSeconds, kSecondsPerByte)
        .run();
    backfill_references(c);
    c.execute(kIndices);
    c.execute(kTriggers);
}

}  // namespace weir::meta
