#include "meta/sqlite/sqlite_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/failure.h"
#include "base/random.h"
#include "meta/sqlite/connection.h"
#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"
#include "oci/manifest.h"

namespace weir::meta {
namespace {

// Generations are taken from the database in blocks, so that giving one is not a write.
constexpr uint64_t kGenerationBlock = 1000;
// Remembered lists of one repository: every "n=" and "last=" a client thinks of is one.
constexpr uint64_t kMaxListsPerRepository = 1000;

bool delete_staging(Connection& c, const oci::Digest& digest) {
    return Query(c, "DELETE FROM staging WHERE digest = ?", digest).run() != 0;
}

StagingRow staging_row(Connection& c, const Query& q) {
    StagingRow row;
    row.digest = q.digest(0);
    row.generation = q.number(1);
    if (!q.is_null(2)) row.size = q.number(2);
    row.updated = q.time(3);
    const std::string text = q.text(4);
    row.private_of = q.text(5);
    auto extents = Extents::parse(text);
    if (!extents)
        throw Failure(Kind::io, fmt::format("metadata {}: the extents of {} make no sense",
                                            c.path(), row.digest.text()));
    row.extents = std::move(*extents);
    return row;
}

// Where a blob is before it is put.
struct Stored {
    bool on_disk = false;
    bool in_s3 = false;
    uint64_t generation = 0;
};

Stored stored(Connection& c, const oci::Digest& digest) {
    Query q(c, "SELECT on_disk, in_s3, generation FROM blobs WHERE digest = ?", digest);
    if (!q.next()) return {};
    return {q.flag(0), q.flag(1), q.number(2)};
}

void insert_blob(Connection& c, const BlobRow& row) {
    Query(c,
          "INSERT INTO blobs (digest, size, generation, created, accessed, upstream, private_of, "
          "evictable, priority) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
          row.digest, row.size, row.generation, row.created, row.accessed,
          std::string_view(row.upstream), std::string_view(row.private_of), !row.upstream.empty(),
          inflation(c) + loss(row.size))
        .run();
}

// It was used all the time; whether an upstream has it is not said again.
void return_to_disk(Connection& c, const BlobRow& row) {
    Query(c,
          "UPDATE blobs SET on_disk = 1, generation = ?2, size = ?3, "
          "accessed = max(accessed, ?4), uses = uses + 1, priority = ?5 + (uses + 1) * ?6 "
          "WHERE digest = ?1",
          row.digest, row.generation, row.size, row.accessed, inflation(c), loss(row.size))
        .run();
}

std::optional<oci::Digest> digest_of_tag(Connection& c, uint64_t repository, std::string_view tag) {
    Query q(c, "SELECT digest FROM tags WHERE repository = ? AND name = ?", repository, tag);
    if (!q.next()) return std::nullopt;
    return q.digest(0);
}

// The manifest that this one refers to.
std::optional<oci::Digest> subject_of(const ManifestRow& row) {
    const auto parsed = oci::parse_manifest(row.bytes, row.media_type);
    if (!parsed || parsed->subject.empty()) return std::nullopt;
    return parsed->subject[0].digest;
}

// Unless it is known, and right. true: links were dropped that were made before anything was here.
bool insert_manifest(Connection& c, const ManifestRow& row,
                     const std::optional<oci::Digest>& subject, std::string_view repository) {
    const bool known = Query(c, "SELECT 1 FROM manifests WHERE digest = ?", row.digest).next();
    Query(c,
          "INSERT INTO manifests (digest, media_type, bytes, created, accessed, upstream, "
          "private_of, subject, repository) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
          "ON CONFLICT (digest) DO UPDATE SET "
          "media_type = excluded.media_type, bytes = excluded.bytes "
          "WHERE bytes <> excluded.bytes",
          row.digest, std::string_view(row.media_type), Bytes{row.bytes}, row.created, row.accessed,
          std::string_view(row.upstream), std::string_view(row.private_of), subject, repository)
        .run();
    if (row.private_of.empty())
        Query(c, "UPDATE manifests SET private_of = '' WHERE digest = ? AND private_of <> ''",
              row.digest)
            .run();
    return !known && !row.private_of.empty() && drop_links(c, row.digest, repository);
}

}  // namespace

SqliteEngine::SqliteEngine(SqliteOptions options)
    : clock_(*options.clock),
      opening_((system_random().next() >> 2) + 1),
      database_(options),
      removals_(options.path == ":memory:" ? "" : options.path + "-removals") {}

SqliteEngine::SqliteEngine(const SqliteEngine& real, std::unique_ptr<Connection> copy)
    : clock_(real.clock_),
      opening_(real.opening_),
      database_(std::move(copy)),
      removals_(""),
      uploads_(real.uploads_.load()) {}

std::optional<BlobRow> SqliteEngine::find_blob(const oci::Digest& digest) {
    return database_.read([&](Connection& c) -> std::optional<BlobRow> {
        Query q(c,
                "SELECT size, generation, created, accessed, upstream, private_of, on_disk, in_s3 "
                "FROM blobs WHERE digest = ?",
                digest);
        if (!q.next()) return std::nullopt;
        return BlobRow{digest,    q.number(0), q.number(1), q.time(2), q.time(3),
                       q.text(4), q.text(5),   q.flag(6),   q.flag(7)};
    });
}

bool SqliteEngine::put_blob(const BlobRow& row, std::string_view repository) {
    bool unlinked = false;
    const bool fresh = database_.write([&](Connection& c) {
        unlinked = false;
        const Stored before = stored(c, row.digest);
        if (!before.on_disk && !before.in_s3) {
            insert_blob(c, row);
            unlinked = !row.private_of.empty() && drop_links(c, row.digest, repository);
        } else if (!before.on_disk) {
            return_to_disk(c, row);
        } else if (row.upstream.empty()) {
            Query(c, "UPDATE blobs SET evictable = 0 WHERE digest = ? AND evictable = 1",
                  row.digest)
                .run();
        }
        if (row.private_of.empty() && (before.on_disk || before.in_s3))
            Query(c, "UPDATE blobs SET private_of = '' WHERE digest = ? AND private_of <> ''",
                  row.digest)
                .run();
        if (!before.in_s3) {
            if (uploads_)
                queue_blob_upload(c, row.digest, row.size, row.created);
            else
                note_unqueued(c);
        }
        if (before.on_disk && before.generation != row.generation)
            note_erasure(c, row.digest, row.generation);
        if (!repository.empty()) insert_link(c, repository_id(c, repository), row.digest);
        delete_staging(c, row.digest);
        return !before.on_disk;
    });
    if (unlinked) removals_.raise();
    return fresh;
}

bool SqliteEngine::remove_blob(const oci::Digest& digest, uint64_t generation) {
    return lost_on_disk(digest, generation);
}

std::optional<ManifestRow> SqliteEngine::find_manifest(const oci::Digest& digest) {
    return database_.read([&](Connection& c) -> std::optional<ManifestRow> {
        Query q(c,
                "SELECT media_type, bytes, created, accessed, upstream, private_of FROM manifests "
                "WHERE digest = ?",
                digest);
        if (!q.next()) return std::nullopt;
        return ManifestRow{digest,    q.text(0), q.text(1), q.time(2),
                           q.time(3), q.text(4), q.text(5)};
    });
}

void SqliteEngine::put_manifest(const ManifestRow& row, std::string_view repository,
                                std::span<const oci::Digest> references, std::string_view tag) {
    if (row.bytes.size() + kWeighedRowBytes > repository_manifest_bound(metadata_bytes_))
        throw Failure(Kind::no_space,
                      "a manifest of more than a repository's share "
                      "(weir.cache.metadataBytes)");
    const auto subject = subject_of(row);
    std::vector<oci::Digest> unpinned;
    bool unlinked = false;
    database_.write([&](Connection& c) {
        unlinked = insert_manifest(c, row, subject, repository);
        trim_manifests(c, row, repository);
        uint64_t manifest = 0;
        bool in_s3 = false;
        {
            Query q(c, "SELECT id, in_s3 FROM manifests WHERE digest = ?", row.digest);
            q.next();
            manifest = q.number(0);
            in_s3 = q.flag(1);
        }
        if (!in_s3) {
            if (uploads_)
                queue_manifest_upload(c, row.digest, row.bytes.size(), row.created);
            else
                note_unqueued(c);
        }
        for (const auto& digest : references) insert_reference(c, manifest, digest);
        if (repository.empty()) return;
        const uint64_t id = repository_id(c, repository);
        insert_link(c, id, row.digest);
        if (!tag.empty())
            unpinned =
                set_tag(c, id, repository, tag, TagRow{row.digest, row.created, row.upstream});
    });
    if (unlinked) removals_.raise();
    pins_.forget(unpinned);
}

bool SqliteEngine::remove_manifest(const oci::Digest& digest) {
    const bool removed =
        database_.write([&](Connection& c) { return delete_manifest(c, digest, wall()); });
    if (removed) removals_.raise();
    return removed;
}

std::vector<oci::Digest> SqliteEngine::unpinned_by(Connection& c, std::string_view repository,
                                                   std::string_view tag,
                                                   const std::optional<oci::Digest>& before) {
    if (!before || !pins_.keeps(repository, tag)) return {};
    return named_by(c, *before);
}

// A job row is only for what changes: that the upstream confirmed it again is not worth an upload.
std::vector<oci::Digest> SqliteEngine::set_tag(Connection& c, uint64_t id,
                                               std::string_view repository, std::string_view tag,
                                               const TagRow& row) {
    const auto before = digest_of_tag(c, id, tag);
    Query(c,
          "INSERT INTO tags (repository, name, digest, checked, upstream, created) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?4) ON CONFLICT DO UPDATE SET "
          "created = iif(digest = excluded.digest, created, excluded.created), "
          "in_s3 = in_s3 AND digest = excluded.digest, digest = excluded.digest, "
          "checked = excluded.checked, upstream = excluded.upstream",
          id, tag, row.digest, row.checked, std::string_view(row.upstream))
        .run();
    if (before == row.digest) return {};
    if (uploads_)
        queue_tag_upload(c, repository, tag, row.checked);
    else
        note_unqueued(c);
    return unpinned_by(c, repository, tag, before);
}

std::optional<TagRow> SqliteEngine::find_tag(std::string_view repository, std::string_view tag) {
    return database_.read([&](Connection& c) -> std::optional<TagRow> {
        Query q(c,
                "SELECT digest, checked, upstream FROM tags WHERE name = ?2 AND "
                "repository = (SELECT id FROM repositories WHERE name = ?1)",
                repository, tag);
        if (!q.next()) return std::nullopt;
        return TagRow{q.digest(0), q.time(1), q.text(2)};
    });
}

void SqliteEngine::put_tag(std::string_view repository, std::string_view tag, const TagRow& row) {
    pins_.forget(database_.write([&](Connection& c) {
        return set_tag(c, repository_id(c, repository), repository, tag, row);
    }));
}

bool SqliteEngine::remove_tag(std::string_view repository, std::string_view tag) {
    return delete_tag(repository, tag, std::nullopt);
}

bool SqliteEngine::delete_tag(std::string_view repository, std::string_view tag,
                              const std::optional<oci::Digest>& expected) {
    std::vector<oci::Digest> unpinned;
    const bool deleted = database_.write([&](Connection& c) {
        const auto id = find_repository(c, repository);
        if (!id) return false;
        const auto before = digest_of_tag(c, *id, tag);
        if (!before || (expected && *before != *expected)) return false;
        Query(c, "DELETE FROM tags WHERE repository = ? AND name = ?", *id, tag).run();
        if (uploads_) queue_tag_upload(c, repository, tag, wall());
        unpinned = unpinned_by(c, repository, tag, before);
        return true;
    });
    pins_.forget(unpinned);
    if (deleted) removals_.raise();
    return deleted;
}

std::vector<std::string> SqliteEngine::tags(std::string_view repository, std::string_view last,
                                            size_t limit) {
    return database_.read([&](Connection& c) {
        Query q(c,
                "SELECT name FROM tags WHERE repository = (SELECT id FROM repositories WHERE "
                "name = ?1) AND name > ?2 ORDER BY name LIMIT ?3",
                repository, last, row_limit(limit));
        std::vector<std::string> names;
        while (q.next()) names.push_back(q.text(0));
        return names;
    });
}

std::vector<std::string> SqliteEngine::repositories(std::string_view last, size_t limit) {
    return database_.read([&](Connection& c) {
        Query q(c, "SELECT name FROM repositories WHERE name > ? ORDER BY name LIMIT ?", last,
                row_limit(limit));
        std::vector<std::string> names;
        while (q.next()) names.push_back(q.text(0));
        return names;
    });
}

std::optional<ListRow> SqliteEngine::find_list(std::string_view repository, std::string_view kind,
                                               std::string_view query) {
    return database_.read([&](Connection& c) -> std::optional<ListRow> {
        Query q(c,
                "SELECT body, content_type, next_query, filters_applied, fetched FROM lists "
                "WHERE repository = ? AND kind = ? AND query = ?",
                repository, kind, query);
        if (!q.next()) return std::nullopt;
        return ListRow{q.text(0), q.text(1), q.text(2), q.number(3) != 0, q.time(4)};
    });
}

void SqliteEngine::put_list(std::string_view repository, std::string_view kind,
                            std::string_view query, const ListRow& row) {
    database_.write([&](Connection& c) {
        // Not an upsert: the row may be another upstream's word now.
        Query(c, "DELETE FROM lists WHERE repository = ? AND kind = ? AND query = ?", repository,
              kind, query)
            .run();
        if (row.body.size() + kWeighedRowBytes > repository_list_bound(metadata_bytes_)) return;
        Query(c,
              "INSERT INTO lists (repository, kind, query, body, content_type, next_query, "
              "filters_applied, fetched, upstream) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
              repository, kind, query, Bytes{row.body}, std::string_view(row.content_type),
              std::string_view(row.next_query), row.filters_applied, row.fetched,
              std::string_view(row.upstream))
            .run();
        trim_lists(c, repository, row.upstream, metadata_bytes_);
        Query(c,
              "DELETE FROM lists WHERE id IN (SELECT id FROM lists WHERE repository = ? "
              "ORDER BY fetched DESC, id DESC LIMIT -1 OFFSET ?)",
              repository, kMaxListsPerRepository)
            .run();
    });
}

std::optional<StagingRow> SqliteEngine::find_staging(const oci::Digest& digest) {
    return database_.read([&](Connection& c) -> std::optional<StagingRow> {
        Query q(c,
                "SELECT digest, generation, size, updated, extents, private_of FROM staging WHERE "
                "digest = ?",
                digest);
        if (!q.next()) return std::nullopt;
        return staging_row(c, q);
    });
}

void SqliteEngine::put_staging(const StagingRow& row) {
    database_.write([&](Connection& c) {
        Query(c,
              "INSERT INTO staging (digest, generation, size, updated, extents, extent_bytes, "
              "private_of) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
              "generation = excluded.generation, size = excluded.size, updated = excluded.updated, "
              "extents = excluded.extents, extent_bytes = excluded.extent_bytes, "
              "private_of = excluded.private_of",
              row.digest, row.generation, row.size, row.updated,
              std::string_view(row.extents.text()), row.extents.total(),
              std::string_view(row.private_of))
            .run();
    });
}

bool SqliteEngine::remove_staging(const oci::Digest& digest) {
    return database_.write([&](Connection& c) { return delete_staging(c, digest); });
}

std::vector<StagingRow> SqliteEngine::stagings(size_t limit) {
    return database_.read([&](Connection& c) {
        Query q(c,
                "SELECT digest, generation, size, updated, extents, private_of FROM staging "
                "ORDER BY updated, digest LIMIT ?",
                row_limit(limit));
        std::vector<StagingRow> rows;
        while (q.next()) rows.push_back(staging_row(c, q));
        return rows;
    });
}

std::vector<StagingRow> SqliteEngine::stagings_after(std::optional<oci::Digest> after,
                                                     size_t limit) {
    return database_.read([&](Connection& c) {
        const std::string key = key_after(after);
        Query q(c,
                "SELECT digest, generation, size, updated, extents, private_of FROM staging "
                "WHERE digest > ? ORDER BY digest LIMIT ?",
                Bytes{key}, row_limit(limit));
        std::vector<StagingRow> rows;
        while (q.next()) rows.push_back(staging_row(c, q));
        return rows;
    });
}

uint64_t SqliteEngine::next_generation() {
    std::lock_guard lock(generation_mutex_);
    if (generation_ == generation_end_) {
        // Durable before the first is given: a power cut must not bring back a number that a file
        // on the disk bears.
        const uint64_t end = database_.write_durably([](Connection& c) {
            Query q(c, "UPDATE counters SET generation = generation + ? RETURNING generation",
                    kGenerationBlock);
            if (!q.next()) counters_are_gone(c);
            return q.number(0);
        });
        generation_ = end - kGenerationBlock;
        generation_end_ = end;
    }
    return generation_++;
}

void SqliteEngine::touch(std::span<const Touch> touches) {
    if (touches.empty()) return;
    database_.write([&](Connection& c) {
        const double l = inflation(c);
        // What was accessed in the future was so when the calendar was wrong: it counts no more.
        const WallTime now = std::max(wall(), touches.back().accessed);
        // A later access that was flushed first stays.
        for (const auto& touch : touches) {
            Query(c,
                  "UPDATE blobs SET accessed = ?2, uses = uses + 1, "
                  "priority = ?3 + (uses + 1) * (?4 / max(size, 1) + ?5) "
                  "WHERE digest = ?1 AND (accessed < ?2 OR accessed > ?6)",
                  touch.digest, touch.accessed, l, kRequestSeconds, kSecondsPerByte, now)
                .run();
            Query(c,
                  "UPDATE manifests SET accessed = ?2 WHERE digest = ?1 "
                  "AND (accessed < ?2 OR accessed > ?3)",
                  touch.digest, touch.accessed, now)
                .run();
        }
    });
}

Usage SqliteEngine::usage() {
    return database_.read([](Connection& c) {
        Query q(c,
                "SELECT blobs, blob_bytes, manifests, repositories, tags, staging_bytes "
                "FROM counters");
        if (!q.next()) counters_are_gone(c);
        return Usage{q.number(0), q.number(1), q.number(2), q.number(3), q.number(4), q.number(5)};
    });
}

std::unique_ptr<Engine> open_sqlite(SqliteOptions options) {
    return std::make_unique<SqliteEngine>(std::move(options));
}

}  // namespace weir::meta
