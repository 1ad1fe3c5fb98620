// What the database itself may hold: the bytes of manifests and lists, in shares of one bound, so
// that neither one repository nor one upstream takes what others have. The triggers of
// step_fifth.cc keep the sums.
#include <array>

#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"

namespace weir::meta {
namespace {

enum Kind : uint64_t { manifests = 0, lists = 1 };
enum Scope : uint64_t { all = 0, upstream = 1, repository = 2 };

// Rows that one transaction takes at most; the next goes on.
constexpr uint64_t kTrimAtOnce = 64;

uint64_t bound_of(Kind kind, Scope scope, uint64_t metadata_bytes) {
    const uint64_t whole = kind == manifests ? metadata_bytes / 4 * 3 : metadata_bytes / 4;
    switch (scope) {
        case all:
            return whole;
        case upstream:
            return whole / 4 * 3;
        case repository:
            return whole / 2;
    }
    return whole;
}

// Bytes beyond the bound.
uint64_t excess(Connection& c, Kind kind, Scope scope, std::string_view name,
                uint64_t metadata_bytes) {
    Query q(c, "SELECT bytes FROM weights WHERE kind = ? AND scope = ? AND name = ?",
            uint64_t{kind}, uint64_t{scope}, name);
    const uint64_t now = q.next() ? q.number(0) : 0;
    const uint64_t bound = bound_of(kind, scope, metadata_bytes);
    return now > bound ? now - bound : 0;
}

// ?1: the scope's name, ?2: how many.
constexpr std::array kOldestManifests{
    "SELECT digest, length(bytes) FROM manifests WHERE ?1 = '' AND upstream <> '' "
    "ORDER BY accessed LIMIT ?2",
    "SELECT digest, length(bytes) FROM manifests WHERE upstream = ?1 AND upstream <> '' "
    "ORDER BY accessed LIMIT ?2",
    "SELECT digest, length(bytes) FROM manifests WHERE repository = ?1 AND upstream <> '' "
    "ORDER BY accessed LIMIT ?2",
};
constexpr std::array kOldestLists{
    "SELECT id, length(body) FROM lists WHERE ?1 = '' ORDER BY fetched LIMIT ?2",
    "SELECT id, length(body) FROM lists WHERE upstream = ?1 ORDER BY fetched LIMIT ?2",
    "SELECT id, length(body) FROM lists WHERE repository = ?1 ORDER BY fetched LIMIT ?2",
};

}  // namespace

uint64_t repository_manifest_bound(uint64_t metadata_bytes) {
    return bound_of(manifests, repository, metadata_bytes);
}

uint64_t repository_list_bound(uint64_t metadata_bytes) {
    return bound_of(lists, repository, metadata_bytes);
}

// Links and tags that lead to it stay: it may be asked for again.
void SqliteEngine::trim_manifests(Connection& c, const ManifestRow& row,
                                  std::string_view repository_name) {
    const uint64_t bytes = metadata_bytes_;
    const std::array<std::string_view, 3> names{"", row.upstream, repository_name};
    for (const Scope scope : {repository, upstream, all}) {
        uint64_t over = excess(c, manifests, scope, names[scope], bytes);
        if (over == 0) continue;
        std::vector<std::pair<oci::Digest, uint64_t>> oldest;
        {
            Query q(c, kOldestManifests[scope], names[scope], kTrimAtOnce);
            while (q.next()) oldest.emplace_back(q.digest(0), q.number(1));
        }
        for (const auto& [digest, size] : oldest) {
            if (over == 0) break;
            if (digest == row.digest || pinned_manifest(c, digest) ||
                upload_under_way(c, UploadRow::What::manifest, digest, opening_))
                continue;
            delete_manifest(c, digest, wall());
            over -= std::min(over, size + kWeighedRowBytes);
        }
    }
}

bool SqliteEngine::pinned_manifest(Connection& c, const oci::Digest& digest) {
    Query linked(c,
                 "SELECT r.name FROM links AS l CROSS JOIN repositories AS r "
                 "ON r.id = l.repository WHERE l.digest = ?",
                 digest);
    while (linked.next())
        if (pins_.keeps(linked.text(0))) return true;
    Query tagged(c,
                 "SELECT r.name, t.name FROM tags AS t CROSS JOIN repositories AS r "
                 "ON r.id = t.repository WHERE t.digest = ?",
                 digest);
    while (tagged.next())
        if (pins_.keeps(tagged.text(0), tagged.text(1))) return true;
    return false;
}

void trim_lists(Connection& c, std::string_view repository_name, std::string_view upstream_name,
                uint64_t metadata_bytes) {
    const std::array<std::string_view, 3> names{"", upstream_name, repository_name};
    for (const Scope scope : {repository, upstream, all}) {
        uint64_t over = excess(c, lists, scope, names[scope], metadata_bytes);
        if (over == 0) continue;
        std::vector<std::pair<uint64_t, uint64_t>> oldest;
        {
            Query q(c, kOldestLists[scope], names[scope], kTrimAtOnce);
            while (q.next()) oldest.emplace_back(q.number(0), q.number(1));
        }
        for (const auto& [id, size] : oldest) {
            if (over == 0) break;
            Query(c, "DELETE FROM lists WHERE id = ?", id).run();
            over -= std::min(over, size + kWeighedRowBytes);
        }
    }
}

uint64_t SqliteEngine::metadata_bytes_of(std::string_view upstream_name) {
    return database_.read([&](Connection& c) {
        Query q(c, "SELECT coalesce(sum(bytes), 0) FROM weights WHERE scope = ? AND name = ?",
                uint64_t{upstream}, upstream_name);
        return q.next() ? q.number(0) : 0;
    });
}

size_t SqliteEngine::sweep_lists(WallTime fetched_before, size_t limit) {
    return database_.write([&](Connection& c) {
        return static_cast<size_t>(
            Query(c,
                  "DELETE FROM lists WHERE id IN (SELECT l.id FROM lists AS l WHERE l.fetched < ? "
                  "AND NOT EXISTS (SELECT 1 FROM repositories AS r WHERE r.name = l.repository) "
                  "LIMIT ?)",
                  fetched_before, row_limit(limit))
                .run());
    });
}

}  // namespace weir::meta
