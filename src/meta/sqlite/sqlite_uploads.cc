// What has to go up to S3.
#include <algorithm>

#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"

namespace weir::meta {
namespace {

std::string upload_key(const UploadRow& row) {
    return row.what == UploadRow::What::tag ? std::string() : digest_key(row.digest);
}

void delete_upload(Connection& c, const UploadRow& row) {
    Query(c, "DELETE FROM uploads WHERE what = ? AND digest = ? AND name = ?",
          static_cast<uint64_t>(row.what), Bytes{upload_key(row)}, std::string_view(row.name))
        .run();
}

void make_due(Connection& c, const UploadRow& row, WallTime now) {
    Query(c,
          "UPDATE uploads SET not_before = ?4, lessee = 0, upload_id = '' "
          "WHERE what = ?1 AND digest = ?2 AND name = ?3",
          static_cast<uint64_t>(row.what), Bytes{upload_key(row)}, std::string_view(row.name), now)
        .run();
}

// What the tag points at now.
std::optional<oci::Digest> digest_of_tag(Connection& c, std::string_view name) {
    const size_t line = name.find('\n');
    Query q(c,
            "SELECT digest FROM tags WHERE name = ?2 AND "
            "repository = (SELECT id FROM repositories WHERE name = ?1)",
            name.substr(0, line), name.substr(line + 1));
    if (!q.next()) return std::nullopt;
    return q.digest(0);
}

struct Due {
    uint64_t id = 0;
    UploadRow row;
};

std::vector<Due> due_uploads(Connection& c, WallTime now, size_t limit) {
    std::vector<Due> due;
    Query q(c,
            "SELECT id, what, digest, name, size, attempts, upload_id FROM uploads AS u "
            "WHERE not_before <= ?1 AND NOT EXISTS (SELECT 1 FROM doomed AS d "
            "WHERE d.digest = u.digest AND d.claimant <> 0 AND d.claimed > ?2) "
            "ORDER BY not_before, id LIMIT ?3",
            now, now - Upkeep::kClaimTime, row_limit(limit));
    while (q.next()) {
        Due one;
        one.id = q.number(0);
        one.row.what = static_cast<UploadRow::What>(q.number(1));
        if (one.row.what != UploadRow::What::tag) one.row.digest = q.digest(2);
        one.row.name = q.text(3);
        one.row.size = q.number(4);
        one.row.attempts = static_cast<uint32_t>(q.number(5));
        one.row.upload_id = q.text(6);
        due.push_back(std::move(one));
    }
    return due;
}

// What only the object's own row knows; false when there is nothing to bring up.
bool complete(Connection& c, UploadRow& row) {
    if (row.what == UploadRow::What::manifest) return true;
    if (row.what == UploadRow::What::tag) {
        const auto digest = digest_of_tag(c, row.name);
        row.gone = !digest;
        if (digest) row.digest = *digest;
        return true;
    }
    Query q(c, "SELECT generation, size FROM blobs WHERE digest = ? AND on_disk = 1", row.digest);
    if (!q.next()) return false;
    row.generation = q.number(0);
    row.size = q.number(1);
    return true;
}

bool tag_done(Connection& c, const UploadRow& row) {
    const auto now = digest_of_tag(c, row.name);
    if (row.gone ? now.has_value() : now != row.digest) return false;
    const size_t line = row.name.find('\n');
    Query(c,
          "UPDATE tags SET in_s3 = 1 WHERE name = ?2 AND "
          "repository = (SELECT id FROM repositories WHERE name = ?1)",
          std::string_view(row.name).substr(0, line), std::string_view(row.name).substr(line + 1))
        .run();
    return true;
}

bool object_done(Connection& c, const UploadRow& row, WallTime now) {
    const bool claimed = deletion_claimed(c, row.digest, now);
    const bool blob = row.what == UploadRow::What::blob;
    const bool known =
        blob ? Query(c, "SELECT 1 FROM blobs WHERE digest = ?", row.digest).next()
             : Query(c, "SELECT 1 FROM manifests WHERE digest = ?", row.digest).next();
    if (!known) {
        doom(c, row.digest, now);
        return true;
    }
    // The deletion that is under way may have hit this object.
    if (claimed) return false;
    if (blob)
        Query(c, "UPDATE blobs SET in_s3 = 1 WHERE digest = ?", row.digest).run();
    else
        Query(c, "UPDATE manifests SET in_s3 = 1 WHERE digest = ?", row.digest).run();
    Query(c, "DELETE FROM doomed WHERE digest = ?", row.digest).run();
    return true;
}

// A page of what is not in S3, in digest order over blobs and manifests.
struct Missing {
    std::vector<std::pair<oci::Digest, UploadRow::What>> found;
    std::optional<oci::Digest> last;
};

// Reads up to `limit` rows; returns the last when there may be more.
std::optional<oci::Digest> scan_missing(Query& q, size_t limit, UploadRow::What what,
                                        Missing& page) {
    std::optional<oci::Digest> last;
    size_t looked = 0;
    for (; looked < limit && q.next(); ++looked) {
        last = q.digest(0);
        if (!page.last || *page.last < *last) page.last = last;
        if (q.flag(1)) page.found.emplace_back(*last, what);
    }
    return looked == limit ? last : std::nullopt;
}

Missing find_missing(Connection& c, const std::optional<oci::Digest>& after, size_t limit) {
    Missing page;
    const std::string key = key_after(after);
    Query blobs(c,
                "SELECT digest, on_disk = 1 AND in_s3 = 0 FROM blobs WHERE digest > ? "
                "ORDER BY digest LIMIT ?",
                Bytes{key}, row_limit(limit));
    const auto blobs_end = scan_missing(blobs, limit, UploadRow::What::blob, page);
    Query manifests(c,
                    "SELECT digest, in_s3 = 0 OR EXISTS (SELECT 1 FROM tags AS t "
                    "WHERE t.digest = m.digest AND t.in_s3 = 0) FROM manifests AS m "
                    "WHERE digest > ? ORDER BY digest LIMIT ?",
                    Bytes{key}, row_limit(limit));
    const auto manifests_end = scan_missing(manifests, limit, UploadRow::What::manifest, page);
    // Where one of the two goes on, the page ends.
    for (const auto& end : {blobs_end, manifests_end}) {
        if (!end || *page.last <= *end) continue;
        page.last = end;
        std::erase_if(page.found, [&](const auto& one) { return *end < one.first; });
    }
    return page;
}

void queue_missing_manifest(Connection& c, const oci::Digest& digest) {
    Query q(c, "SELECT length(bytes), created FROM manifests WHERE digest = ? AND in_s3 = 0",
            digest);
    if (q.next()) queue_manifest_upload(c, digest, q.number(0), q.time(1));
    Query tags(c,
               "SELECT r.name, t.name, t.checked FROM tags AS t CROSS JOIN repositories AS r "
               "ON r.id = t.repository WHERE t.digest = ? AND t.in_s3 = 0",
               digest);
    while (tags.next()) queue_tag_upload(c, tags.text(0), tags.text(1), tags.time(2));
}

}  // namespace

void SqliteEngine::enable_uploads(bool on) {
    uploads_ = on;
}

std::vector<UploadRow> SqliteEngine::claim_uploads(size_t limit, WallTime now, WallTime lease_end) {
    // Asked every moment: without work it is a read.
    if (leases_ended_ && database_.read([&](Connection& c) {
            return !Query(c, "SELECT 1 FROM uploads WHERE not_before <= ? LIMIT 1", now).next();
        }))
        return {};
    auto rows = database_.write([&](Connection& c) {
        if (!leases_ended_)
            Query(c,
                  "UPDATE uploads SET not_before = min(not_before, ?), lessee = 0 "
                  "WHERE lessee <> 0 AND lessee <> ?",
                  now, opening_)
                .run();
        std::vector<UploadRow> claimed;
        for (auto& due : due_uploads(c, now, limit)) {
            if (!complete(c, due.row)) {
                delete_upload(c, due.row);
                continue;
            }
            Query(c, "UPDATE uploads SET not_before = ?, lessee = ?, started = 1 WHERE id = ?",
                  lease_end, opening_, due.id)
                .run();
            claimed.push_back(std::move(due.row));
        }
        return claimed;
    });
    leases_ended_ = true;
    return rows;
}

void SqliteEngine::note_upload_id(const UploadRow& row, std::string_view upload_id) {
    database_.write([&](Connection& c) {
        Query(c, "UPDATE uploads SET upload_id = ?4 WHERE what = ?1 AND digest = ?2 AND name = ?3",
              static_cast<uint64_t>(row.what), Bytes{upload_key(row)}, std::string_view(row.name),
              upload_id)
            .run();
    });
}

bool SqliteEngine::upload_id_known(const oci::Digest& digest, std::string_view upload_id) {
    return database_.read([&](Connection& c) {
        return Query(c, "SELECT 1 FROM uploads WHERE what = 0 AND digest = ? AND upload_id = ?",
                     digest, upload_id)
            .next();
    });
}

void SqliteEngine::upload_done(const UploadRow& row) {
    database_.write([&](Connection& c) {
        const WallTime now = wall();
        const bool done =
            row.what == UploadRow::What::tag ? tag_done(c, row) : object_done(c, row, now);
        if (done)
            delete_upload(c, row);
        else
            make_due(c, row, now);
    });
}

void SqliteEngine::upload_failed(const UploadRow& row, WallTime not_before) {
    database_.write([&](Connection& c) {
        Query(c,
              "UPDATE uploads SET not_before = ?4, lessee = 0, attempts = attempts + 1 "
              "WHERE what = ?1 AND digest = ?2 AND name = ?3",
              static_cast<uint64_t>(row.what), Bytes{upload_key(row)}, std::string_view(row.name),
              not_before)
            .run();
    });
}

std::optional<oci::Digest> SqliteEngine::queue_missing_uploads(std::optional<oci::Digest> after,
                                                               size_t limit) {
    if (limit == 0) return after;
    if (!after && !begin_walk()) return std::nullopt;
    const Missing page =
        database_.read([&](Connection& c) { return find_missing(c, after, limit); });
    if (page.found.empty() && page.last) return page.last;
    database_.write([&](Connection& c) {
        for (const auto& [digest, what] : page.found) {
            if (what == UploadRow::What::manifest) {
                queue_missing_manifest(c, digest);
                continue;
            }
            Query q(c,
                    "SELECT size, created FROM blobs WHERE digest = ? AND on_disk = 1 AND "
                    "in_s3 = 0",
                    digest);
            if (q.next()) queue_blob_upload(c, digest, q.number(0), q.time(1));
        }
        // Unless something was stored without a job row meanwhile.
        if (!page.last && uploads_)
            Query(c, "UPDATE counters SET all_queued = 1 WHERE all_queued = 2").run();
    });
    return page.last;
}

// false: there is nothing to walk for.
bool SqliteEngine::begin_walk() {
    if (!uploads_) return true;
    if (database_.read([](Connection& c) {
            return Query(c, "SELECT 1 FROM counters WHERE all_queued = 1").next();
        }))
        return false;
    database_.write([](Connection& c) { Query(c, "UPDATE counters SET all_queued = 2").run(); });
    return true;
}

}  // namespace weir::meta
