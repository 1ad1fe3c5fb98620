// What leaves the disk, and what S3 turns out to have.
#include <algorithm>
#include <optional>

#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"
#include "meta/sqlite/victims.h"

namespace weir::meta {
namespace {

constexpr auto kBlob = static_cast<uint64_t>(UploadRow::What::blob);
constexpr auto kManifest = static_cast<uint64_t>(UploadRow::What::manifest);

// So many candidates are looked at in one read: a walk over many that are pinned is several.
constexpr uint64_t kCandidates = 1000;

// Which rows of a victims index are meant, and how far the walk has come.
struct Walk {
    std::string upstream;            // "": any
    std::optional<WallTime> before;  // oldest first, else lowest first
    bool in_s3 = false;
    bool evictable = false;

    double priority = -1;
    WallTime accessed = WallTime::min();
    std::string key{};
};

void start(std::optional<Query>& q, Connection& c, const Walk& walk) {
    const Bytes key{walk.key};
    if (walk.before)
        q.emplace(c, kOldestVictims, std::string_view(walk.upstream), walk.in_s3, walk.evictable,
                  *walk.before, walk.accessed, key, kCandidates);
    else if (walk.upstream.empty())
        q.emplace(c, kLowestVictims, walk.in_s3, walk.evictable, walk.priority, key, kCandidates);
    else
        q.emplace(c, kLowestVictimsOf, std::string_view(walk.upstream), walk.in_s3, walk.evictable,
                  walk.priority, key, kCandidates);
}

Victim victim_row(Connection& c, const oci::Digest& digest, bool in_s3) {
    Query q(c, "SELECT generation, size, upstream, priority FROM blobs WHERE digest = ?", digest);
    q.next();
    return {digest, q.number(0), q.number(1), q.text(2), in_s3, q.real(3)};
}

// Adds victims until there are `limit`. Returns whether the walk goes on.
bool walk_on(Connection& c, Walk& walk, Pins::View pins, uint64_t opening, size_t limit,
             std::vector<Victim>& victims) {
    std::optional<Query> q;
    start(q, c, walk);
    uint64_t looked = 0;
    for (; victims.size() < limit && q->next(); ++looked) {
        const auto digest = q->digest(0);
        if (walk.before)
            walk.accessed = q->time(1);
        else
            walk.priority = q->real(1);
        walk.key = q->text(0);
        if (pins.pinned(digest)) continue;
        if (!walk.in_s3 && upload_under_way(c, UploadRow::What::blob, digest, opening)) continue;
        victims.push_back(victim_row(c, digest, walk.in_s3));
    }
    return victims.size() < limit && looked == kCandidates;
}

// The walks that find what may go: in S3; or an upstream has it, in S3 or not.
void add_walks(std::vector<Walk>& walks, std::string_view upstream, std::optional<WallTime> before,
               bool s3) {
    walks.push_back({std::string(upstream), before, s3, !s3});
    walks.push_back({std::string(upstream), before, true, true});
}

std::vector<std::string> upstreams_with_blobs(Connection& c) {
    std::vector<std::string> names;
    Query q(c, "SELECT upstream FROM upstream_usage WHERE blobs > 0 ORDER BY upstream");
    while (q.next()) names.push_back(q.text(0));
    return names;
}

}  // namespace

std::vector<Victim> SqliteEngine::disk_victims(std::string_view upstream,
                                               std::optional<WallTime> accessed_before, bool s3,
                                               size_t limit) {
    std::vector<Walk> walks;
    if (accessed_before && upstream.empty()) {
        for (const auto& name : database_.read(upstreams_with_blobs))
            add_walks(walks, name, accessed_before, s3);
    } else {
        add_walks(walks, upstream, accessed_before, s3);
    }
    std::vector<Victim> victims;
    for (auto& walk : walks) {
        std::vector<Victim> found;
        // Any page of the old will do.
        const size_t wanted = accessed_before ? limit - victims.size() : limit;
        while (database_.read([&](Connection& c) {
            return walk_on(c, walk, pins_.view(c), opening_, wanted, found);
        })) {
        }
        victims.insert(victims.end(), found.begin(), found.end());
    }
    std::ranges::sort(victims, {}, &Victim::priority);
    if (victims.size() > limit) victims.resize(limit);
    return victims;
}

bool SqliteEngine::evict(const Victim& victim) {
    return database_.write([&](Connection& c) {
        bool in_s3 = false;
        double priority = 0;
        {
            Query q(c,
                    "SELECT in_s3, evictable, priority FROM blobs "
                    "WHERE digest = ? AND generation = ? AND on_disk = 1",
                    victim.digest, victim.generation);
            if (!q.next()) return false;
            in_s3 = q.flag(0);
            priority = q.real(2);
            if (!in_s3 && !q.flag(1)) return false;
        }
        if (!in_s3 && upload_under_way(c, UploadRow::What::blob, victim.digest, opening_))
            return false;
        Query(c, "UPDATE counters SET inflation = max(inflation, ?)", priority).run();
        if (in_s3)
            Query(c, "UPDATE blobs SET on_disk = 0 WHERE digest = ?", victim.digest).run();
        else
            forget_blob(c, victim.digest, wall());
        note_erasure(c, victim.digest, victim.generation);
        return true;
    });
}

bool SqliteEngine::lost_on_disk(const oci::Digest& digest, uint64_t generation) {
    const bool lost = database_.write([&](Connection& c) {
        bool in_s3 = false;
        {
            Query q(c,
                    "SELECT in_s3 FROM blobs WHERE digest = ? AND generation = ? AND on_disk = 1",
                    digest, generation);
            if (!q.next()) return false;
            in_s3 = q.flag(0);
        }
        if (in_s3)
            Query(c, "UPDATE blobs SET on_disk = 0 WHERE digest = ?", digest).run();
        else
            forget_blob(c, digest, wall());
        note_erasure(c, digest, generation);
        return true;
    });
    if (lost) removals_.raise();
    return lost;
}

void SqliteEngine::lost_in_s3(const oci::Digest& digest) {
    database_.write([&](Connection& c) {
        Query(c, "DELETE FROM blobs WHERE digest = ? AND on_disk = 0", digest).run();
        Query blob(c, "UPDATE blobs SET in_s3 = 0 WHERE digest = ? AND in_s3 = 1 RETURNING size",
                   digest);
        if (blob.next() && uploads_) queue_blob_upload(c, digest, blob.number(0), wall());
        Query manifest(c,
                       "UPDATE manifests SET in_s3 = 0 WHERE digest = ? AND in_s3 = 1 "
                       "RETURNING length(bytes)",
                       digest);
        if (manifest.next() && uploads_)
            queue_manifest_upload(c, digest, manifest.number(0), wall());
        if (!uploads_) note_unqueued(c);
    });
}

void SqliteEngine::found_in_s3(const oci::Digest& digest, uint64_t size, WallTime modified) {
    database_.write([&](Connection& c) {
        if (Query(c, "SELECT 1 FROM doomed WHERE digest = ?", digest).next()) return;
        const bool manifest =
            Query(c, "UPDATE manifests SET in_s3 = 1 WHERE digest = ?", digest).run() != 0;
        const bool blob =
            Query(c, "UPDATE blobs SET in_s3 = 1 WHERE digest = ?", digest).run() != 0;
        if (manifest || blob) {
            Query(c, "DELETE FROM uploads WHERE what IN (?, ?) AND digest = ?", kBlob, kManifest,
                  digest)
                .run();
            return;
        }
        Query(c,
              "INSERT INTO blobs (digest, size, generation, created, accessed, upstream, on_disk, "
              "in_s3, evictable, priority, private_of) VALUES (?1, ?2, 0, ?3, ?3, '', 0, 1, 0, ?4, "
              "(SELECT iif(count(DISTINCT m.upstream) = 1, min(m.upstream), '?') FROM refs AS f "
              "CROSS JOIN manifests AS m ON m.id = f.manifest WHERE f.digest = ?1))",
              digest, size, modified, inflation(c) + loss(size))
            .run();
    });
}

uint64_t SqliteEngine::disk_bytes_of(std::string_view upstream) {
    return database_.read([&](Connection& c) -> uint64_t {
        Query q(c, "SELECT disk_bytes FROM upstream_usage WHERE upstream = ?", upstream);
        return q.next() ? q.number(0) : 0;
    });
}

}  // namespace weir::meta
