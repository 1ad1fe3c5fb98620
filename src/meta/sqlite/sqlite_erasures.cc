// Files whose rows have gone.
#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"

namespace weir::meta {

std::vector<Erasure> SqliteEngine::erasures(std::optional<Erasure> after, size_t limit) {
    return database_.read([&](Connection& c) {
        std::vector<Erasure> found;
        const std::string key = after ? digest_key(after->digest) : std::string();
        Query q(c,
                "SELECT digest, generation FROM erasures WHERE (digest, generation) > (?, ?) "
                "ORDER BY digest, generation LIMIT ?",
                Bytes{key}, after ? after->generation : 0, row_limit(limit));
        while (q.next()) found.push_back({q.digest(0), q.number(1)});
        return found;
    });
}

void SqliteEngine::erased(std::span<const Erasure> files) {
    if (files.empty()) return;
    database_.write([&](Connection& c) {
        for (const auto& file : files)
            Query(c, "DELETE FROM erasures WHERE digest = ? AND generation = ?", file.digest,
                  file.generation)
                .run();
    });
}

}  // namespace weir::meta
