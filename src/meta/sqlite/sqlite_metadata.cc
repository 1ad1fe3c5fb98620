#include "meta/sqlite/sqlite_metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/failure.h"
#include "meta/sqlite/connection.h"
#include "meta/sqlite/database.h"

namespace weir::meta {
namespace {

// Generations are taken from the database in blocks, so that giving one is not a write.
constexpr uint64_t kGenerationBlock = 1000;
// Remembered lists of one repository: every "n=" and "last=" a client thinks of is one.
constexpr uint64_t kMaxListsPerRepository = 1000;

uint64_t row_limit(size_t limit) {
    return std::min<uint64_t>(limit, std::numeric_limits<int64_t>::max());
}

uint64_t repository_id(Connection& c, std::string_view name) {
    {
        Query found(c, "SELECT id FROM repositories WHERE name = ?", name);
        if (found.next()) return found.number(0);
    }
    Query(c, "INSERT INTO repositories (name) VALUES (?)", name).run();
    return static_cast<uint64_t>(sqlite3_last_insert_rowid(c.handle()));
}

void insert_link(Connection& c, uint64_t repository, const oci::Digest& digest) {
    Query(c, "INSERT OR IGNORE INTO links (repository, digest) VALUES (?, ?)", repository, digest)
        .run();
}

void upsert_tag(Connection& c, uint64_t repository, std::string_view tag, const TagRow& row) {
    Query(c,
          "INSERT INTO tags (repository, name, digest, checked, upstream) VALUES (?, ?, ?, ?, ?) "
          "ON CONFLICT DO UPDATE SET digest = excluded.digest, checked = excluded.checked, "
          "upstream = excluded.upstream",
          repository, tag, row.digest, row.checked, std::string_view(row.upstream))
        .run();
}

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
    auto extents = Extents::parse(text);
    if (!extents)
        throw Failure(Kind::io, fmt::format("metadata {}: the extents of {} make no sense",
                                            c.path(), row.digest.text()));
    row.extents = std::move(*extents);
    return row;
}

// One class, in the order of metadata.h; every member is one read or one transaction.
class SqliteMetadata : public Metadata {
public:
    explicit SqliteMetadata(SqliteOptions options) : database_(std::move(options)) {}

    std::optional<BlobRow> find_blob(const oci::Digest&) override;
    bool put_blob(const BlobRow&, std::string_view repository) override;
    bool remove_blob(const oci::Digest&, uint64_t generation) override;

    std::optional<ManifestRow> find_manifest(const oci::Digest&) override;
    void put_manifest(const ManifestRow&, std::string_view repository,
                      std::span<const oci::Digest> references, std::string_view tag) override;
    bool remove_manifest(const oci::Digest&) override;

    std::optional<TagRow> find_tag(std::string_view repository, std::string_view tag) override;
    void put_tag(std::string_view repository, std::string_view tag, const TagRow&) override;
    bool remove_tag(std::string_view repository, std::string_view tag) override;
    std::vector<std::string> tags(std::string_view repository, std::string_view last,
                                  size_t limit) override;

    bool linked(std::string_view repository, const oci::Digest&) override;
    void link(std::string_view repository, const oci::Digest&) override;
    std::vector<std::string> repositories(std::string_view last, size_t limit) override;

    std::optional<ListRow> find_list(std::string_view repository, std::string_view kind,
                                     std::string_view query) override;
    void put_list(std::string_view repository, std::string_view kind, std::string_view query,
                  const ListRow&) override;

    std::optional<StagingRow> find_staging(const oci::Digest&) override;
    void put_staging(const StagingRow&) override;
    bool remove_staging(const oci::Digest&) override;
    std::vector<StagingRow> stagings(size_t limit) override;

    uint64_t next_generation() override;
    void touch(std::span<const Touch>) override;
    Usage usage() override;

private:
    Database database_;
    std::mutex generation_mutex_;
    uint64_t generation_ = 0;
    uint64_t generation_end_ = 0;
};

std::optional<BlobRow> SqliteMetadata::find_blob(const oci::Digest& digest) {
    return database_.read([&](Connection& c) -> std::optional<BlobRow> {
        Query q(c,
                "SELECT size, generation, created, accessed, upstream FROM blobs WHERE digest = ?",
                digest);
        if (!q.next()) return std::nullopt;
        return BlobRow{digest, q.number(0), q.number(1), q.time(2), q.time(3), q.text(4)};
    });
}

bool SqliteMetadata::put_blob(const BlobRow& row, std::string_view repository) {
    return database_.write([&](Connection& c) {
        const bool inserted =
            Query(c,
                  "INSERT OR IGNORE INTO blobs (digest, size, generation, created, accessed, "
                  "upstream) VALUES (?, ?, ?, ?, ?, ?)",
                  row.digest, row.size, row.generation, row.created, row.accessed,
                  std::string_view(row.upstream))
                .run() != 0;
        if (!repository.empty()) insert_link(c, repository_id(c, repository), row.digest);
        delete_staging(c, row.digest);
        return inserted;
    });
}

bool SqliteMetadata::remove_blob(const oci::Digest& digest, uint64_t generation) {
    return database_.write([&](Connection& c) {
        return Query(c, "DELETE FROM blobs WHERE digest = ? AND generation = ?", digest, generation)
                   .run() != 0;
    });
}

std::optional<ManifestRow> SqliteMetadata::find_manifest(const oci::Digest& digest) {
    return database_.read([&](Connection& c) -> std::optional<ManifestRow> {
        Query q(c,
                "SELECT media_type, bytes, created, accessed, upstream FROM manifests "
                "WHERE digest = ?",
                digest);
        if (!q.next()) return std::nullopt;
        return ManifestRow{digest, q.text(0), q.text(1), q.time(2), q.time(3), q.text(4)};
    });
}

void SqliteMetadata::put_manifest(const ManifestRow& row, std::string_view repository,
                                  std::span<const oci::Digest> references, std::string_view tag) {
    database_.write([&](Connection& c) {
        Query(c,
              "INSERT OR IGNORE INTO manifests (digest, media_type, bytes, created, accessed, "
              "upstream) VALUES (?, ?, ?, ?, ?, ?)",
              row.digest, std::string_view(row.media_type), Bytes{row.bytes}, row.created,
              row.accessed, std::string_view(row.upstream))
            .run();
        const uint64_t id = repository_id(c, repository);
        insert_link(c, id, row.digest);
        for (const auto& digest : references) insert_link(c, id, digest);
        if (!tag.empty()) upsert_tag(c, id, tag, TagRow{row.digest, row.created, row.upstream});
    });
}

bool SqliteMetadata::remove_manifest(const oci::Digest& digest) {
    return database_.write([&](Connection& c) {
        return Query(c, "DELETE FROM manifests WHERE digest = ?", digest).run() != 0;
    });
}

std::optional<TagRow> SqliteMetadata::find_tag(std::string_view repository, std::string_view tag) {
    return database_.read([&](Connection& c) -> std::optional<TagRow> {
        Query q(c,
                "SELECT digest, checked, upstream FROM tags WHERE name = ?2 AND "
                "repository = (SELECT id FROM repositories WHERE name = ?1)",
                repository, tag);
        if (!q.next()) return std::nullopt;
        return TagRow{q.digest(0), q.time(1), q.text(2)};
    });
}

void SqliteMetadata::put_tag(std::string_view repository, std::string_view tag, const TagRow& row) {
    database_.write([&](Connection& c) { upsert_tag(c, repository_id(c, repository), tag, row); });
}

bool SqliteMetadata::remove_tag(std::string_view repository, std::string_view tag) {
    return database_.write([&](Connection& c) {
        return Query(c,
                     "DELETE FROM tags WHERE name = ?2 AND "
                     "repository = (SELECT id FROM repositories WHERE name = ?1)",
                     repository, tag)
                   .run() != 0;
    });
}

std::vector<std::string> SqliteMetadata::tags(std::string_view repository, std::string_view last,
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

bool SqliteMetadata::linked(std::string_view repository, const oci::Digest& digest) {
    return database_.read([&](Connection& c) {
        return Query(c,
                     "SELECT 1 FROM links WHERE digest = ?2 AND "
                     "repository = (SELECT id FROM repositories WHERE name = ?1)",
                     repository, digest)
            .next();
    });
}

void SqliteMetadata::link(std::string_view repository, const oci::Digest& digest) {
    database_.write([&](Connection& c) { insert_link(c, repository_id(c, repository), digest); });
}

std::vector<std::string> SqliteMetadata::repositories(std::string_view last, size_t limit) {
    return database_.read([&](Connection& c) {
        Query q(c, "SELECT name FROM repositories WHERE name > ? ORDER BY name LIMIT ?", last,
                row_limit(limit));
        std::vector<std::string> names;
        while (q.next()) names.push_back(q.text(0));
        return names;
    });
}

std::optional<ListRow> SqliteMetadata::find_list(std::string_view repository, std::string_view kind,
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

void SqliteMetadata::put_list(std::string_view repository, std::string_view kind,
                              std::string_view query, const ListRow& row) {
    database_.write([&](Connection& c) {
        Query(c,
              "INSERT INTO lists (repository, kind, query, body, content_type, next_query, "
              "filters_applied, fetched) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
              "ON CONFLICT DO UPDATE SET body = excluded.body, "
              "content_type = excluded.content_type, next_query = excluded.next_query, "
              "filters_applied = excluded.filters_applied, fetched = excluded.fetched",
              repository, kind, query, Bytes{row.body}, std::string_view(row.content_type),
              std::string_view(row.next_query), row.filters_applied, row.fetched)
            .run();
        Query(c,
              "DELETE FROM lists WHERE id IN (SELECT id FROM lists WHERE repository = ? "
              "ORDER BY fetched DESC, id DESC LIMIT -1 OFFSET ?)",
              repository, kMaxListsPerRepository)
            .run();
    });
}

std::optional<StagingRow> SqliteMetadata::find_staging(const oci::Digest& digest) {
    return database_.read([&](Connection& c) -> std::optional<StagingRow> {
        Query q(c,
                "SELECT digest, generation, size, updated, extents FROM staging WHERE digest = ?",
                digest);
        if (!q.next()) return std::nullopt;
        return staging_row(c, q);
    });
}

void SqliteMetadata::put_staging(const StagingRow& row) {
    database_.write([&](Connection& c) {
        Query(c,
              "INSERT INTO staging (digest, generation, size, updated, extents, extent_bytes) "
              "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
              "generation = excluded.generation, size = excluded.size, updated = excluded.updated, "
              "extents = excluded.extents, extent_bytes = excluded.extent_bytes",
              row.digest, row.generation, row.size, row.updated,
              std::string_view(row.extents.text()), row.extents.total())
            .run();
    });
}

bool SqliteMetadata::remove_staging(const oci::Digest& digest) {
    return database_.write([&](Connection& c) { return delete_staging(c, digest); });
}

std::vector<StagingRow> SqliteMetadata::stagings(size_t limit) {
    return database_.read([&](Connection& c) {
        Query q(c,
                "SELECT digest, generation, size, updated, extents FROM staging "
                "ORDER BY updated, digest LIMIT ?",
                row_limit(limit));
        std::vector<StagingRow> rows;
        while (q.next()) rows.push_back(staging_row(c, q));
        return rows;
    });
}

uint64_t SqliteMetadata::next_generation() {
    std::lock_guard lock(generation_mutex_);
    if (generation_ == generation_end_) {
        // Durable before the first is given: a power cut must not bring back a number that a file
        // on the disk bears.
        const uint64_t end = database_.write_durably([](Connection& c) {
            Query q(c, "UPDATE counters SET generation = generation + ? RETURNING generation",
                    kGenerationBlock);
            if (!q.next())
                throw Failure(Kind::io,
                              fmt::format("metadata {}: the counters are gone", c.path()));
            return q.number(0);
        });
        generation_ = end - kGenerationBlock;
        generation_end_ = end;
    }
    return generation_++;
}

void SqliteMetadata::touch(std::span<const Touch> touches) {
    if (touches.empty()) return;
    database_.write([&](Connection& c) {
        // A later access that was flushed first stays.
        for (const auto& touch : touches) {
            Query(c, "UPDATE blobs SET accessed = ?2 WHERE digest = ?1 AND accessed < ?2",
                  touch.digest, touch.accessed)
                .run();
            Query(c, "UPDATE manifests SET accessed = ?2 WHERE digest = ?1 AND accessed < ?2",
                  touch.digest, touch.accessed)
                .run();
        }
    });
}

Usage SqliteMetadata::usage() {
    return database_.read([](Connection& c) {
        Query q(c,
                "SELECT blobs, blob_bytes, manifests, repositories, tags, staging_bytes "
                "FROM counters");
        if (!q.next())
            throw Failure(Kind::io, fmt::format("metadata {}: the counters are gone", c.path()));
        return Usage{q.number(0), q.number(1), q.number(2), q.number(3), q.number(4), q.number(5)};
    });
}

}  // namespace

std::unique_ptr<Metadata> open_sqlite(SqliteOptions options) {
    return std::make_unique<SqliteMetadata>(std::move(options));
}

}  // namespace weir::meta
