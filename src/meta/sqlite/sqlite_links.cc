// What a repository may serve, and what is only named in it (meta/metadata.h).
#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"

namespace weir::meta {

bool SqliteEngine::linked(std::string_view repository, const oci::Digest& digest) {
    return database_.read([&](Connection& c) {
        return Query(c,
                     "SELECT 1 FROM links WHERE digest = ?2 AND "
                     "repository = (SELECT id FROM repositories WHERE name = ?1)",
                     repository, digest)
            .next();
    });
}

void SqliteEngine::link(std::string_view repository, const oci::Digest& digest) {
    database_.write([&](Connection& c) { insert_link(c, repository_id(c, repository), digest); });
}

// Driven by what names the digest, which is little but for a layer that many share.
bool SqliteEngine::named(std::string_view repository, const oci::Digest& digest) {
    return database_.read([&](Connection& c) {
        const auto id = find_repository(c, repository);
        if (!id) return false;
        return Query(c,
                     "SELECT 1 WHERE EXISTS (SELECT 1 FROM tags AS t "
                     "WHERE t.digest = ?2 AND t.repository = ?1) "
                     "OR EXISTS (SELECT 1 FROM refs AS f CROSS JOIN manifests AS m "
                     "ON m.id = f.manifest CROSS JOIN links AS l "
                     "ON l.repository = ?1 AND l.digest = m.digest WHERE f.digest = ?2)",
                     *id, digest)
            .next();
    });
}

std::vector<std::string> SqliteEngine::refute_tags(std::string_view repository,
                                                   const oci::Digest& digest) {
    const auto leading_to = [&](Connection& c) {
        std::vector<std::string> names;
        const auto id = find_repository(c, repository);
        if (!id) return names;
        Query q(c,
                "WITH above(digest) AS (SELECT ?2 UNION SELECT m.digest FROM refs AS f "
                "CROSS JOIN manifests AS m ON m.id = f.manifest WHERE f.digest = ?2 "
                "UNION SELECT p.digest FROM refs AS f "
                "CROSS JOIN manifests AS m ON m.id = f.manifest "
                "CROSS JOIN refs AS g ON g.digest = m.digest "
                "CROSS JOIN manifests AS p ON p.id = g.manifest WHERE f.digest = ?2) "
                "SELECT t.name FROM above AS a CROSS JOIN tags AS t ON t.digest = a.digest "
                "WHERE t.repository = ?1 AND t.checked <> ?3",
                *id, digest, TagRow::kRefuted);
        while (q.next()) names.push_back(q.text(0));
        return names;
    };
    // Mostly there is none: no write for those.
    if (database_.read(leading_to).empty()) return {};
    auto refuted = database_.write([&](Connection& c) {
        auto names = leading_to(c);
        for (const auto& name : names)
            Query(c, "UPDATE tags SET checked = ?3 WHERE repository = ?1 AND name = ?2",
                  *find_repository(c, repository), std::string_view(name), TagRow::kRefuted)
                .run();
        return names;
    });
    return refuted;
}

void SqliteEngine::link_reached() {
    database_.write([](Connection& c) {
        Query(c,
              "INSERT OR IGNORE INTO links (repository, digest) "
              "WITH RECURSIVE reach(repository, digest) AS (SELECT repository, digest FROM tags "
              "UNION SELECT repository, digest FROM links UNION SELECT r.repository, f.digest "
              "FROM reach AS r CROSS JOIN manifests AS m ON m.digest = r.digest "
              "CROSS JOIN refs AS f ON f.manifest = m.id) "
              "SELECT min(repository), digest FROM reach GROUP BY digest "
              "HAVING min(repository) = max(repository)")
            .run();
    });
}

void SqliteEngine::make_public() {
    database_.write([](Connection& c) {
        Query(c, "UPDATE blobs SET private_of = '' WHERE private_of <> ''").run();
        Query(c, "UPDATE manifests SET private_of = '' WHERE private_of <> ''").run();
    });
}

std::vector<std::string> SqliteEngine::linked_from(const oci::Digest& digest, size_t limit) {
    return database_.read([&](Connection& c) {
        std::vector<std::string> names;
        Query q(c,
                "SELECT r.name FROM links AS l CROSS JOIN repositories AS r "
                "ON r.id = l.repository WHERE l.digest = ? LIMIT ?",
                digest, row_limit(limit));
        while (q.next()) names.push_back(q.text(0));
        return names;
    });
}

std::vector<std::string> SqliteEngine::wanted_by(const oci::Digest& digest, size_t limit) {
    return database_.read([&](Connection& c) {
        std::vector<std::string> names;
        Query q(c,
                "WITH wanting(repository, step) AS ("
                "SELECT repository, 0 FROM links WHERE digest = ?1 "
                "UNION ALL SELECT repository, 1 FROM tags WHERE digest = ?1 "
                "UNION ALL SELECT l.repository, 2 FROM refs AS f "
                "CROSS JOIN manifests AS m ON m.id = f.manifest "
                "CROSS JOIN links AS l ON l.digest = m.digest WHERE f.digest = ?1) "
                "SELECT r.name FROM wanting AS w CROSS JOIN repositories AS r "
                "ON r.id = w.repository GROUP BY r.id ORDER BY min(w.step), r.name LIMIT ?2",
                digest, row_limit(limit));
        while (q.next()) names.push_back(q.text(0));
        return names;
    });
}

}  // namespace weir::meta
