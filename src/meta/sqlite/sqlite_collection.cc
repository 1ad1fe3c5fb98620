// Pins, and what nothing names any more.
#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"

namespace weir::meta {
namespace {

struct Looked {
    std::vector<Doomed> unlinked;
    std::optional<oci::Digest> next;
};

// Of the blobs from the key `from` on, at most `limit`: those that no repository links, that no
// manifest names, that were not read lately, and that nobody is in the middle of bringing up.
Looked look_for_unlinked(Connection& c, const std::string& from, WallTime accessed_before,
                         uint64_t opening, size_t limit) {
    Looked looked;
    Query q(c,
            "SELECT digest, iif(on_disk, generation, 0), size, in_s3, "
            "accessed < ?2 AND NOT EXISTS (SELECT 1 FROM links AS l WHERE l.digest = b.digest) "
            "AND NOT EXISTS (SELECT 1 FROM refs AS f WHERE f.digest = b.digest) "
            "AND NOT EXISTS (SELECT 1 FROM uploads AS u WHERE u.what = 0 AND u.digest = b.digest "
            "AND u.name = '' AND (u.lessee = ?4 OR u.upload_id <> '')) FROM blobs AS b "
            "WHERE digest >= ?1 ORDER BY digest LIMIT ?3",
            Bytes{from}, accessed_before, row_limit(limit), opening);
    size_t count = 0;
    for (; q.next(); ++count) {
        looked.next = q.digest(0);
        if (q.flag(4))
            looked.unlinked.push_back({q.digest(0), q.number(1), q.number(2), q.flag(3)});
    }
    if (count < limit) looked.next.reset();
    return looked;
}

// The same rules as untagged() and loose_links() have, for one digest; by what names it, which is
// little but for a layer that many share.
constexpr const char* kUnlink =
    "DELETE FROM links WHERE repository = ?1 AND digest = ?2 "
    "AND NOT EXISTS (SELECT 1 FROM refs AS f CROSS JOIN manifests AS m ON m.id = f.manifest "
    "CROSS JOIN links AS l ON l.repository = ?1 AND l.digest = m.digest WHERE f.digest = ?2) "
    "AND CASE WHEN EXISTS (SELECT 1 FROM manifests WHERE digest = ?2) "
    "THEN NOT EXISTS (SELECT 1 FROM tags AS t WHERE t.digest = ?2 AND t.repository = ?1) "
    "AND NOT EXISTS (SELECT 1 FROM manifests AS m WHERE m.digest = ?2 AND (m.accessed >= ?3 "
    "OR (m.subject IS NOT NULL AND EXISTS (SELECT 1 FROM manifests AS s "
    "WHERE s.digest = m.subject) AND EXISTS (SELECT 1 FROM links AS s "
    "WHERE s.repository = ?1 AND s.digest = m.subject)))) "
    "ELSE NOT EXISTS (SELECT 1 FROM blobs AS b WHERE b.digest = ?2 AND b.accessed >= ?3) "
    "AND NOT EXISTS (SELECT 1 FROM staging AS s WHERE s.digest = ?2) END";

// The key behind that of `after`: digests of an algorithm are of one length.
std::string first_key(const std::optional<oci::Digest>& after) {
    return after ? digest_key(*after) + '\0' : std::string();
}

// Manifests that nothing keeps: neither a link nor a tag nor an index.
constexpr const char* kUnkept =
    "SELECT u.digest FROM unlinked_manifests AS u "
    "CROSS JOIN manifests AS m ON m.digest = u.digest WHERE m.accessed < ?1 "
    "AND NOT EXISTS (SELECT 1 FROM tags AS k WHERE k.digest = m.digest) "
    "AND NOT EXISTS (SELECT 1 FROM refs AS k WHERE k.digest = m.digest) LIMIT ?2";
// The same, of one.
constexpr const char* kStillUnkept =
    "SELECT 1 FROM unlinked_manifests AS u "
    "CROSS JOIN manifests AS m ON m.digest = u.digest WHERE u.digest = ?2 AND m.accessed < ?1 "
    "AND NOT EXISTS (SELECT 1 FROM tags AS k WHERE k.digest = m.digest) "
    "AND NOT EXISTS (SELECT 1 FROM refs AS k WHERE k.digest = m.digest)";

}  // namespace

void SqliteEngine::put_pin(const Pin& pin) {
    database_.write([&](Connection& c) {
        Query(c, "INSERT OR IGNORE INTO pins (repository, tag) VALUES (?, ?)",
              std::string_view(pin.repository), std::string_view(pin.tag))
            .run();
    });
}

bool SqliteEngine::remove_pin(const Pin& pin) {
    return database_.write([&](Connection& c) {
        return Query(c, "DELETE FROM pins WHERE repository = ? AND tag = ?",
                     std::string_view(pin.repository), std::string_view(pin.tag))
                   .run() != 0;
    });
}

std::vector<Pin> SqliteEngine::pins() {
    return database_.read([](Connection& c) { return Pins::stored(c); });
}

void SqliteEngine::set_configured_pins(std::vector<Pin> pins) {
    pins_.configure(std::move(pins));
}

std::vector<TagInfo> SqliteEngine::tag_infos(std::string_view repository) {
    return database_.read([&](Connection& c) {
        std::vector<TagInfo> infos;
        Query q(c,
                "SELECT t.name, t.digest, t.created, coalesce(m.accessed, t.created) "
                "FROM tags AS t LEFT JOIN manifests AS m ON m.digest = t.digest "
                "WHERE t.repository = (SELECT id FROM repositories WHERE name = ?) "
                "ORDER BY t.name",
                repository);
        while (q.next()) infos.push_back({q.text(0), q.digest(1), q.time(2), q.time(3)});
        return infos;
    });
}

bool SqliteEngine::remove_tag_if(std::string_view repository, std::string_view tag,
                                 const oci::Digest& expected) {
    return delete_tag(repository, tag, expected);
}

// Driven by the repository's own manifests: a layer that thousands of manifests elsewhere share
// costs nothing.
std::vector<ManifestInfo> SqliteEngine::untagged(std::string_view repository,
                                                 WallTime accessed_before, size_t limit,
                                                 std::optional<oci::Digest> after) {
    return database_.read([&](Connection& c) {
        std::vector<ManifestInfo> infos;
        const auto id = find_repository(c, repository);
        if (!id) return infos;
        const std::string key = key_after(after);
        Query q(c,
                "WITH held AS MATERIALIZED (SELECT f.digest FROM links AS l "
                "CROSS JOIN manifests AS m ON m.digest = l.digest "
                "CROSS JOIN refs AS f ON f.manifest = m.id WHERE l.repository = ?1) "
                "SELECT m.digest, m.media_type, m.created, m.accessed, m.subject FROM links AS l "
                "CROSS JOIN manifests AS m ON m.digest = l.digest "
                "WHERE l.repository = ?1 AND l.digest > ?3 AND m.accessed < ?2 "
                "AND NOT EXISTS (SELECT 1 FROM tags AS t WHERE t.digest = l.digest "
                "AND t.repository = ?1) AND l.digest NOT IN held "
                "AND NOT (m.subject IS NOT NULL AND EXISTS (SELECT 1 FROM manifests AS s "
                "WHERE s.digest = m.subject) AND EXISTS (SELECT 1 FROM links AS s "
                "WHERE s.repository = ?1 AND s.digest = m.subject)) "
                "ORDER BY l.digest LIMIT ?4",
                *id, accessed_before, Bytes{key}, row_limit(limit));
        while (q.next()) {
            ManifestInfo info{q.digest(0), q.text(1), q.time(2), q.time(3), std::nullopt};
            if (!q.is_null(4)) info.subject = q.digest(4);
            infos.push_back(std::move(info));
        }
        return infos;
    });
}

std::vector<oci::Digest> SqliteEngine::loose_links(std::string_view repository,
                                                   WallTime accessed_before, size_t limit) {
    return database_.read([&](Connection& c) {
        std::vector<oci::Digest> loose;
        const auto id = find_repository(c, repository);
        if (!id) return loose;
        Query q(c,
                "WITH held AS MATERIALIZED (SELECT f.digest FROM links AS l "
                "CROSS JOIN manifests AS m ON m.digest = l.digest "
                "CROSS JOIN refs AS f ON f.manifest = m.id WHERE l.repository = ?1) "
                "SELECT l.digest FROM links AS l WHERE l.repository = ?1 "
                "AND l.digest NOT IN held "
                "AND NOT EXISTS (SELECT 1 FROM manifests AS m WHERE m.digest = l.digest) "
                "AND NOT EXISTS (SELECT 1 FROM blobs AS b WHERE b.digest = l.digest "
                "AND b.accessed >= ?2) "
                "AND NOT EXISTS (SELECT 1 FROM staging AS s WHERE s.digest = l.digest) "
                "ORDER BY l.digest LIMIT ?3",
                *id, accessed_before, row_limit(limit));
        while (q.next()) loose.push_back(q.digest(0));
        return loose;
    });
}

std::vector<oci::Digest> SqliteEngine::unlink(std::string_view repository, WallTime accessed_before,
                                              std::span<const oci::Digest> digests) {
    if (digests.empty()) return {};
    const bool pinned = pins_.keeps(repository);
    std::vector<oci::Digest> unpinned;
    auto gone = database_.write([&](Connection& c) {
        unpinned.clear();
        std::vector<oci::Digest> unlinked;
        const auto id = find_repository(c, repository);
        if (!id) return unlinked;
        for (const auto& digest : digests) {
            if (Query(c, kUnlink, *id, digest, accessed_before).run() == 0) continue;
            unlinked.push_back(digest);
            if (!pinned) continue;
            unpinned.push_back(digest);
            for (const auto& named : named_by(c, digest)) unpinned.push_back(named);
        }
        return unlinked;
    });
    if (gone.empty()) return gone;
    pins_.forget(unpinned);
    removals_.raise();
    return gone;
}

std::vector<oci::Digest> SqliteEngine::sweep_manifests(WallTime accessed_before, size_t limit) {
    const auto old = database_.read([&](Connection& c) {
        std::vector<oci::Digest> digests;
        Query q(c, kUnkept, accessed_before, row_limit(limit));
        while (q.next()) digests.push_back(q.digest(0));
        return digests;
    });
    if (old.empty()) return {};
    auto gone = database_.write([&](Connection& c) {
        std::vector<oci::Digest> deleted;
        for (const auto& digest : old) {
            const bool still = Query(c, kStillUnkept, accessed_before, digest).next();
            if (upload_under_way(c, UploadRow::What::manifest, digest, opening_)) continue;
            if (!still) continue;
            if (delete_manifest(c, digest, wall())) deleted.push_back(digest);
        }
        return deleted;
    });
    if (!gone.empty()) removals_.raise();
    return gone;
}

std::vector<Doomed> SqliteEngine::sweep_blobs(std::optional<oci::Digest> after,
                                              WallTime accessed_before, size_t limit,
                                              std::optional<oci::Digest>* next) {
    Looked looked = database_.read([&](Connection& c) {
        return look_for_unlinked(c, first_key(after), accessed_before, opening_, limit);
    });
    *next = looked.next;
    if (looked.unlinked.empty()) return {};
    auto gone = database_.write([&](Connection& c) {
        std::vector<Doomed> taken;
        for (const auto& found : looked.unlinked) {
            // It may have been linked or read since it was looked at.
            const Looked now =
                look_for_unlinked(c, digest_key(found.digest), accessed_before, opening_, 1);
            if (now.unlinked.empty() || now.unlinked[0].digest != found.digest) continue;
            taken.push_back(now.unlinked[0]);
            if (taken.back().in_s3) doom(c, found.digest, wall());
            forget_blob(c, found.digest, wall());
            if (taken.back().generation != 0)
                note_erasure(c, found.digest, taken.back().generation);
        }
        return taken;
    });
    if (!gone.empty()) removals_.raise();
    return gone;
}

std::unique_ptr<Engine> SqliteEngine::rehearsal() {
    return std::unique_ptr<Engine>(new SqliteEngine(*this, database_.copy()));
}

size_t SqliteEngine::remove_empty_repositories(size_t limit) {
    if (database_.read([](Connection& c) {
            return !Query(c, "SELECT 1 FROM empty_repositories LIMIT 1").next();
        }))
        return 0;
    return database_.write([&](Connection& c) {
        std::vector<std::pair<uint64_t, std::string>> empty;
        {
            Query q(c,
                    "SELECT r.id, r.name FROM empty_repositories AS e "
                    "CROSS JOIN repositories AS r ON r.id = e.repository LIMIT ?",
                    row_limit(limit));
            while (q.next()) empty.emplace_back(q.number(0), q.text(1));
        }
        for (const auto& [id, name] : empty) {
            Query(c, "DELETE FROM lists WHERE repository = ?", std::string_view(name)).run();
            Query(c, "DELETE FROM repositories WHERE id = ?", id).run();
            Query(c, "DELETE FROM empty_repositories WHERE repository = ?", id).run();
        }
        return empty.size();
    });
}

std::vector<oci::Digest> SqliteEngine::claim_doomed(WallTime before, size_t limit) {
    if (database_.read([&](Connection& c) {
            return !Query(c, "SELECT 1 FROM doomed WHERE since < ? LIMIT 1", before).next();
        }))
        return {};
    return database_.write([&](Connection& c) {
        const WallTime now = wall();
        std::vector<oci::Digest> claimed;
        {
            Query q(c,
                    "SELECT digest FROM doomed AS d WHERE since < ? AND (claimant IN (0, ?) "
                    "OR claimed <= ?) "
                    "AND NOT EXISTS (SELECT 1 FROM blobs AS b WHERE b.digest = d.digest) "
                    "AND NOT EXISTS (SELECT 1 FROM manifests AS m WHERE m.digest = d.digest) "
                    "ORDER BY since LIMIT ?",
                    before, opening_, now - kClaimTime, row_limit(limit));
            while (q.next()) claimed.push_back(q.digest(0));
        }
        for (const auto& digest : claimed)
            Query(c, "UPDATE doomed SET claimant = ?, claimed = ?, again = 0 WHERE digest = ?",
                  opening_, now, digest)
                .run();
        return claimed;
    });
}

void SqliteEngine::doomed_done(std::span<const oci::Digest> digests) {
    if (digests.empty()) return;
    database_.write([&](Connection& c) {
        for (const auto& digest : digests) {
            Query(c, "DELETE FROM doomed WHERE digest = ? AND again = 0", digest).run();
            // What an upload brought after the claim is deleted by the next.
            Query(c, "UPDATE doomed SET claimant = 0, claimed = 0, again = 0 WHERE digest = ?",
                  digest)
                .run();
        }
    });
}

void SqliteEngine::release_doomed(std::span<const oci::Digest> digests) {
    if (digests.empty()) return;
    database_.write([&](Connection& c) {
        for (const auto& digest : digests)
            Query(c, "UPDATE doomed SET claimant = 0, claimed = 0 WHERE digest = ?", digest).run();
    });
}

}  // namespace weir::meta
