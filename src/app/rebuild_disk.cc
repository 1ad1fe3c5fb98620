#include <fmt/format.h>

#include <map>
#include <set>

#include "app/rebuild_parts.h"
#include "app/stored_names.h"
#include "base/failure.h"
#include "crypto/hasher.h"

namespace weir::app {
namespace {

constexpr uint64_t kReadBytes = 4 << 20;
// Of blobs whose upstream isn't known any more: one has them, all were fetched.
constexpr const char* kSomeUpstream = "rebuilt";

// All of it blocks.
class FromDisk {
public:
    explicit FromDisk(Rebuilding& run) : run_(run), rooms_(run.rooms) {}

    void staging() {
        const std::string directory = join_path(rooms_.root, "staging");
        for (const std::string& name : list_or_nothing(rooms_.files, directory))
            if (parse_staging_name(name)) take_away(join_path(directory, name));
    }

    void blobs() {
        visit_blob_directories(
            rooms_.files, rooms_.root,
            [this](const std::string& algorithm, const std::string& directory, double share) {
                run_.progress("blobs on the disk", share);
                // The newest of several copies first; the others are left over.
                std::map<oci::Digest, std::set<uint64_t, std::greater<>>> copies;
                for (const std::string& name : list_or_nothing(rooms_.files, directory))
                    if (const auto stored = parse_blob_name(algorithm, name))
                        copies[stored->digest].insert(stored->generation);
                for (const auto& [digest, generations] : copies)
                    one_of(digest, directory, generations);
            });
    }

private:
    static std::string path_of(const oci::Digest& digest, const std::string& directory,
                               uint64_t generation) {
        return join_path(directory, fmt::format("{}.{}", digest.hex(), generation));
    }

    void one_of(const oci::Digest& digest, const std::string& directory,
                const std::set<uint64_t, std::greater<>>& generations) {
        bool stored = false;
        for (const uint64_t generation : generations) {
            const std::string path = path_of(digest, directory, generation);
            if (stored) {
                take_away(path);
                continue;
            }
            try {
                stored = store(digest, directory, generation, generations);
            } catch (const Failure& failure) {
                run_.problem(fmt::format("{}: {}", path, failure.what()));
            }
        }
    }

    bool store(const oci::Digest& digest, const std::string& directory, uint64_t generation,
               const std::set<uint64_t, std::greater<>>& taken) {
        const std::string path = path_of(digest, directory, generation);
        const auto file = rooms_.files.open(path, false);
        if (!file) return false;
        const uint64_t size = file->size();
        if (!run_.options.trust_names && sum(*file, size, digest.algorithm()) != digest) {
            run_.problem(fmt::format("{}: has another digest, taken away", path));
            rooms_.files.remove(path);
            return false;
        }
        // A generation of this database, so that it is never given again.
        uint64_t fresh = rooms_.engine.next_generation();
        while (taken.contains(fresh)) fresh = rooms_.engine.next_generation();
        rooms_.files.rename(path, path_of(digest, directory, fresh));
        meta::BlobRow row;
        row.digest = digest;
        row.size = size;
        row.generation = fresh;
        row.created = row.accessed = rooms_.clock.wall();
        row.upstream = row.private_of = upstream_of(digest);
        rooms_.engine.put_blob(row, "");
        ++run_.report.disk_blobs;
        run_.report.disk_bytes += size;
        return true;
    }

    static oci::Digest sum(const File& file, uint64_t size, oci::Digest::Algorithm algorithm) {
        crypto::Hasher hasher(algorithm);
        std::vector<std::byte> buffer(std::min(kReadBytes, std::max<uint64_t>(size, 1)));
        for (uint64_t offset = 0; offset < size;) {
            const size_t got = file.read_at(offset, buffer);
            if (got == 0) break;
            hasher.update(std::span(buffer).first(got));
            offset += got;
        }
        return hasher.digest();
    }

    std::string upstream_of(const oci::Digest& digest) {
        for (const std::string& repository : rooms_.engine.wanted_by(digest, 1)) {
            const auto target = run_.hands.resolve ? run_.hands.resolve(repository) : nullptr;
            if (target && target->upstream_name) return *target->upstream_name;
        }
        return kSomeUpstream;
    }

    void take_away(const std::string& path) {
        try {
            if (rooms_.files.remove(path)) ++run_.report.left_overs;
        } catch (const Failure& failure) {
            run_.problem(fmt::format("{}: {}", path, failure.what()));
        }
    }

    Rebuilding& run_;
    Rooms& rooms_;
};

}  // namespace

Task<> rebuild_from_disk(Rebuilding& run) {
    FromDisk source(run);
    co_await run.rooms.pool.run([&source] {
        source.staging();
        source.blobs();
    });
}

}  // namespace weir::app
