#include "meta/sqlite/rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/failure.h"

namespace weir::meta {
namespace {

void queue_upload(Connection& c, UploadRow::What what, std::string_view key, std::string_view name,
                  uint64_t size, WallTime due) {
    Query(c,
          "INSERT OR IGNORE INTO uploads (what, digest, name, size, not_before) "
          "VALUES (?, ?, ?, ?, ?)",
          static_cast<uint64_t>(what), Bytes{key}, name, size, due)
        .run();
}

}  // namespace

void counters_are_gone(const Connection& c) {
    throw Failure(Kind::io, fmt::format("metadata {}: the counters are gone", c.path()));
}

double inflation(Connection& c) {
    Query q(c, "SELECT inflation FROM counters");
    if (!q.next()) counters_are_gone(c);
    return q.real(0);
}

uint64_t row_limit(size_t limit) {
    return std::min<uint64_t>(limit, std::numeric_limits<int64_t>::max());
}

std::string key_after(const std::optional<oci::Digest>& after) {
    return after ? digest_key(*after) : std::string();
}

std::optional<uint64_t> find_repository(Connection& c, std::string_view name) {
    Query found(c, "SELECT id FROM repositories WHERE name = ?", name);
    if (!found.next()) return std::nullopt;
    return found.number(0);
}

uint64_t repository_id(Connection& c, std::string_view name) {
    if (const auto id = find_repository(c, name)) return *id;
    Query(c, "INSERT INTO repositories (name) VALUES (?)", name).run();
    return static_cast<uint64_t>(sqlite3_last_insert_rowid(c.handle()));
}

void insert_link(Connection& c, uint64_t repository, const oci::Digest& digest) {
    Query(c, "INSERT OR IGNORE INTO links (repository, digest) VALUES (?, ?)", repository, digest)
        .run();
}

bool drop_links(Connection& c, const oci::Digest& digest, std::string_view except) {
    return Query(c,
                 "DELETE FROM links WHERE digest = ? AND repository NOT IN "
                 "(SELECT id FROM repositories WHERE name = ?)",
                 digest, except)
               .run() != 0;
}

void insert_reference(Connection& c, uint64_t manifest, const oci::Digest& digest) {
    Query(c, "INSERT OR IGNORE INTO refs (manifest, digest) VALUES (?, ?)", manifest, digest).run();
}

std::vector<oci::Digest> named_by(Connection& c, const oci::Digest& manifest) {
    std::vector<oci::Digest> named;
    Query q(c,
            "SELECT f.digest FROM manifests AS m CROSS JOIN refs AS f ON f.manifest = m.id "
            "WHERE m.digest = ?1 UNION ALL "
            "SELECT g.digest FROM manifests AS m CROSS JOIN refs AS f ON f.manifest = m.id "
            "CROSS JOIN manifests AS child ON child.digest = f.digest "
            "CROSS JOIN refs AS g ON g.manifest = child.id WHERE m.digest = ?1",
            manifest);
    while (q.next()) named.push_back(q.digest(0));
    return named;
}

void queue_blob_upload(Connection& c, const oci::Digest& digest, uint64_t size, WallTime due) {
    queue_upload(c, UploadRow::What::blob, digest_key(digest), "", size, due);
}

void queue_manifest_upload(Connection& c, const oci::Digest& digest, uint64_t size, WallTime due) {
    queue_upload(c, UploadRow::What::manifest, digest_key(digest), "", size, due);
}

void queue_tag_upload(Connection& c, std::string_view repository, std::string_view tag,
                      WallTime due) {
    queue_upload(c, UploadRow::What::tag, "", fmt::format("{}\n{}", repository, tag), 0, due);
}

bool upload_started(Connection& c, UploadRow::What what, const oci::Digest& digest) {
    return Query(c,
                 "SELECT 1 FROM uploads WHERE what = ? AND digest = ? AND name = '' AND "
                 "started = 1",
                 static_cast<uint64_t>(what), digest)
        .next();
}

bool upload_under_way(Connection& c, UploadRow::What what, const oci::Digest& digest,
                      uint64_t opening) {
    return Query(c,
                 "SELECT 1 FROM uploads WHERE what = ? AND digest = ? AND name = '' AND "
                 "(lessee = ? OR upload_id <> '')",
                 static_cast<uint64_t>(what), digest, opening)
        .next();
}

void doom(Connection& c, const oci::Digest& digest, WallTime now) {
    Query(c,
          "INSERT INTO doomed (digest, since) VALUES (?, ?) "
          "ON CONFLICT DO UPDATE SET since = excluded.since, again = claimant <> 0",
          digest, now)
        .run();
}

bool deletion_claimed(Connection& c, const oci::Digest& digest, WallTime now) {
    return Query(c, "SELECT 1 FROM doomed WHERE digest = ? AND claimant <> 0 AND claimed > ?",
                 digest, now - Upkeep::kClaimTime)
        .next();
}

void note_unqueued(Connection& c) {
    Query(c, "UPDATE counters SET all_queued = 0 WHERE all_queued <> 0").run();
}

void note_erasure(Connection& c, const oci::Digest& digest, uint64_t generation) {
    Query(c, "INSERT OR IGNORE INTO erasures (digest, generation) VALUES (?, ?)", digest,
          generation)
        .run();
}

void forget_blob(Connection& c, const oci::Digest& digest, WallTime now) {
    if (upload_started(c, UploadRow::What::blob, digest)) doom(c, digest, now);
    Query(c, "DELETE FROM blobs WHERE digest = ?", digest).run();
}

bool delete_manifest(Connection& c, const oci::Digest& digest, WallTime now) {
    const bool may_be_in_s3 =
        Query(c, "SELECT 1 FROM manifests WHERE digest = ? AND in_s3 = 1", digest).next() ||
        upload_started(c, UploadRow::What::manifest, digest);
    const bool deleted = Query(c, "DELETE FROM manifests WHERE digest = ?", digest).run() != 0;
    if (deleted && may_be_in_s3) doom(c, digest, now);
    return deleted;
}

}  // namespace weir::meta
