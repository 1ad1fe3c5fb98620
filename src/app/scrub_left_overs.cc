#include "app/scrub_parts.h"
#include "app/stored_names.h"
#include "base/failure.h"
#include "base/log.h"
#include "cache/erasures.h"

namespace weir::app {
namespace {

constexpr size_t kMaxStagings = 100'000;

// A staging row whose file is gone is good for nothing.
Task<> check_stagings(Scrubbing& run) {
    Rooms& rooms = run.rooms;
    const WallTime before = rooms.clock.wall() - run.options.grace;
    const auto rows =
        co_await rooms.pool.run([&rooms] { return rooms.engine.stagings(kMaxStagings); });
    for (const auto& row : rows) {
        if (row.updated > before) continue;
        if (co_await rooms.store.reopen(row.digest, row.generation)) continue;
        // The process died between the commit and its row: the next fetch takes it back.
        if (co_await rooms.store.open(row.digest, row.generation)) continue;
        const bool gone = co_await rooms.pool.run([&rooms, &row] {
            const auto now = rooms.engine.find_staging(row.digest);
            if (!now || now->generation != row.generation) return false;
            return rooms.engine.remove_staging(row.digest);
        });
        if (gone) ++run.report.stale_stagings;
    }
}

class LeftOvers {
public:
    explicit LeftOvers(Scrubbing& run)
        : run_(run), rooms_(run.rooms), before_(run.rooms.clock.wall() - run.options.grace) {}

    // Both block.
    void blobs() {
        visit_blob_directories(
            rooms_.files, rooms_.root,
            [this](const std::string& algorithm, const std::string& directory, double share) {
                run_.progress("files", share);
                for (const std::string& name : list_or_nothing(rooms_.files, directory))
                    if (const auto stored = parse_blob_name(algorithm, name))
                        if (!has_blob(*stored) && !has_staging(*stored))
                            take_away(join_path(directory, name));
            });
    }
    void staging() {
        const std::string directory = join_path(rooms_.root, "staging");
        for (const std::string& name : list_or_nothing(rooms_.files, directory))
            if (const auto stored = parse_staging_name(name))
                if (!has_staging(*stored)) take_away(join_path(directory, name));
    }

private:
    bool has_blob(const StoredName& stored) const {
        const auto row = rooms_.engine.find_blob(stored.digest);
        return row && row->on_disk && row->generation == stored.generation;
    }
    bool has_staging(const StoredName& stored) const {
        const auto row = rooms_.engine.find_staging(stored.digest);
        return row && row->generation == stored.generation;
    }
    void take_away(const std::string& path) {
        // A fetch names its file before its row; an old one has long had both.
        const auto changed = run_.hands.changed(path);
        if (!changed || *changed > before_) return;
        try {
            uint64_t bytes = 0;
            if (const auto file = rooms_.files.open(path, false)) bytes = file->size();
            if (!rooms_.files.remove(path)) return;
            ++run_.report.orphans;
            run_.report.orphan_bytes += bytes;
        } catch (const Failure& failure) {
            log::warn("scrub", "{}", failure.what());
        }
    }

    Scrubbing& run_;
    Rooms& rooms_;
    const WallTime before_;
};

}  // namespace

Task<> scrub_left_overs(Scrubbing& run) {
    // What is known to have to go is no orphan.
    const std::atomic<bool> never{false};
    cache::Erasures erasures(run.rooms.engine, run.rooms.store, nullptr, run.rooms.pool);
    co_await erasures.erase_left_over(never);
    co_await check_stagings(run);
    LeftOvers left_overs(run);
    co_await run.rooms.pool.run([&left_overs] {
        left_overs.blobs();
        left_overs.staging();
    });
}

}  // namespace weir::app
