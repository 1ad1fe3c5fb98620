// What leaves the disk, and what S3 turns out to have.
#include <algorithm>
#include <array>

#include "meta/sqlite/rows.h"
#include "meta/sqlite/sqlite_engine.h"
#include "meta/sqlite/victims.h"

namespace weir::meta {
namespace {

constexpr auto kBlob = static_cast<uint64_t>(UploadRow::What::blob);
constexpr auto kManifest = static_cast<uint64_t>(UploadRow::What::manifest);

// Which rows of a victims index are meant.
struct Class {
    bool in_s3 = false;
    bool evictable = false;
};

// In S3; or an upstream has it, in S3 or not.
std::array<Class, 2> classes(bool s3) {
    return s3 ? std::array<Class, 2>{{{true, false}, {true, true}}}
              : std::array<Class, 2>{{{false, true}, {true, true}}};
}

// The rows of `q` (digest, generation, size, upstream, priority) that may go, until there are
// `limit` in `victims`.
void take_victims(Connection& c, Query& q, Class which, Pins::View& pins, uint64_t opening,
                  size_t limit, std::vector<Victim>& victims) {
    while (victims.size() < limit && q.next()) {
        Victim victim{q.digest(0), q.number(1), q.number(2), q.text(3), which.in_s3, q.real(4)};
        if (!which.in_s3 && upload_under_way(c, UploadRow::What::blob, victim.digest, opening))
            continue;
        if (!pins.pinned(victim.digest)) victims.push_back(std::move(victim));
    }
}

void take_lowest(Connection& c, std::string_view upstream, Class which, Pins::View& pins,
                 uint64_t opening, size_t limit, std::vector<Victim>& victims) {
    if (upstream.empty()) {
        Query q(c, kLowestVictims, which.in_s3, which.evictable);
        return take_victims(c, q, which, pins, opening, limit, victims);
    }
    Query q(c, kLowestVictimsOf, upstream, which.in_s3, which.evictable);
    take_victims(c, q, which, pins, opening, limit, victims);
}

std::vector<std::string> upstreams_on_disk(Connection& c) {
    std::vector<std::string> names;
    Query q(c, "SELECT upstream FROM upstream_usage WHERE blobs > 0 ORDER BY upstream");
    while (q.next()) names.push_back(q.text(0));
    return names;
}

void take_oldest(Connection& c, std::string_view upstream, WallTime before, Class which,
                 Pins::View& pins, uint64_t opening, size_t limit, std::vector<Victim>& victims) {
    Query q(c, kOldestVictims, upstream, which.in_s3, which.evictable, before);
    take_victims(c, q, which, pins, opening, limit, victims);
}

}  // namespace

std::vector<Victim> SqliteEngine::disk_victims(std::string_view upstream,
                                               std::optional<WallTime> accessed_before, bool s3,
                                               size_t limit) {
    return database_.read([&](Connection& c) {
        auto pins = pins_.view(c);
        std::vector<Victim> victims;
        if (accessed_before) {
            std::vector<std::string> names{std::string(upstream)};
            if (upstream.empty()) names = upstreams_on_disk(c);
            for (const auto& name : names)
                for (const Class which : classes(s3))
                    take_oldest(c, name, *accessed_before, which, pins, opening_, limit, victims);
        } else {
            for (const Class which : classes(s3)) {
                std::vector<Victim> some;
                take_lowest(c, upstream, which, pins, opening_, limit, some);
                victims.insert(victims.end(), some.begin(), some.end());
            }
        }
        std::ranges::sort(victims, {}, &Victim::priority);
        if (victims.size() > limit) victims.resize(limit);
        return victims;
    });
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
        return true;
    });
}

bool SqliteEngine::lost_on_disk(const oci::Digest& digest, uint64_t generation) {
    return database_.write([&](Connection& c) {
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
        return true;
    });
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
              "in_s3, evictable, priority) VALUES (?1, ?2, 0, ?3, ?3, '', 0, 1, 0, ?4)",
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
