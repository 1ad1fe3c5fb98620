// What is where, for the verbs and gauges.
#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"

namespace weir::meta {

TierUsage SqliteEngine::tier_usage() {
    return database_.read([](Connection& c) {
        Query q(c,
                "SELECT disk_blobs, disk_bytes, s3_blobs, s3_bytes, uploads, upload_bytes, doomed "
                "FROM counters");
        if (!q.next()) counters_are_gone(c);
        return TierUsage{q.number(0), q.number(1), q.number(2), q.number(3),
                         q.number(4), q.number(5), q.number(6)};
    });
}

std::vector<UpstreamUsage> SqliteEngine::usage_by_upstream() {
    return database_.read([](Connection& c) {
        std::vector<UpstreamUsage> all;
        Query q(c,
                "SELECT upstream, disk_bytes, s3_bytes, blobs FROM upstream_usage "
                "WHERE blobs > 0 ORDER BY upstream");
        while (q.next()) all.push_back({q.text(0), q.number(1), q.number(2), q.number(3)});
        return all;
    });
}

std::optional<Upkeep::RepositoryUsage> SqliteEngine::repository_usage(std::string_view repository) {
    return database_.read([&](Connection& c) -> std::optional<RepositoryUsage> {
        const auto id = find_repository(c, repository);
        if (!id) return std::nullopt;
        RepositoryUsage usage;
        usage.repository = repository;
        Query q(c,
                "WITH RECURSIVE held(digest) AS (SELECT digest FROM links WHERE repository = ? "
                "UNION SELECT f.digest FROM held AS h CROSS JOIN manifests AS m "
                "ON m.digest = h.digest CROSS JOIN refs AS f ON f.manifest = m.id) "
                "SELECT count(*), sum(b.size), sum(b.on_disk * b.size), sum(b.in_s3 * b.size) "
                "FROM held AS h CROSS JOIN blobs AS b ON b.digest = h.digest",
                *id);
        q.next();
        usage.blobs = q.number(0);
        usage.bytes = q.number(1);
        usage.disk_bytes = q.number(2);
        usage.s3_bytes = q.number(3);
        Query tags(c, "SELECT count(*) FROM tags WHERE repository = ?", *id);
        tags.next();
        usage.tags = tags.number(0);
        return usage;
    });
}

std::vector<Upkeep::BlobState> SqliteEngine::blob_states(std::optional<oci::Digest> after,
                                                         size_t limit) {
    return database_.read([&](Connection& c) {
        std::vector<BlobState> states;
        const std::string key = key_after(after);
        Query q(c,
                "SELECT digest, size, generation, on_disk, in_s3, upstream FROM blobs "
                "WHERE digest > ? ORDER BY digest LIMIT ?",
                Bytes{key}, row_limit(limit));
        while (q.next())
            states.push_back(
                {q.digest(0), q.number(1), q.number(2), q.flag(3), q.flag(4), q.text(5)});
        return states;
    });
}

std::vector<oci::Digest> SqliteEngine::manifest_digests(std::optional<oci::Digest> after,
                                                        size_t limit) {
    return database_.read([&](Connection& c) {
        std::vector<oci::Digest> digests;
        const std::string key = key_after(after);
        Query q(c, "SELECT digest FROM manifests WHERE digest > ? ORDER BY digest LIMIT ?",
                Bytes{key}, row_limit(limit));
        while (q.next()) digests.push_back(q.digest(0));
        return digests;
    });
}

int64_t SqliteEngine::disk_bytes_by_others() {
    const auto others = database_.seen_others();
    if (others.wrote) removals_.raise();
    return others.disk_bytes;
}

}  // namespace weir::meta
