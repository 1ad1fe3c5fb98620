// A process that is killed while it writes: what it was answered for is there, nothing is there by
// half, and the counters count what is there.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "base/random.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "support/temporary_directory.h"
#include "unit/meta/sqlite_checks.h"

namespace weir::meta {
namespace {

constexpr const char* kRepository = "docker.io/library/debian";

oci::Digest numbered(uint64_t number) {
    std::array<uint64_t, 4> words{number, ~number, number * 3, 1};
    return oci::Digest::from_sum(oci::Digest::Algorithm::sha256, std::as_bytes(std::span(words)));
}

std::string tag_of(uint64_t number) {
    return "t" + std::to_string(number);
}

// What the child reports after each call returned.
struct Done {
    uint64_t number;
    uint64_t generation;
};

// Round `number`: a blob that was staged, its manifest with a tag; every third blob is removed
// again.
Done one_round(Metadata& db, uint64_t number) {
    const uint64_t generation = db.next_generation();
    StagingRow staging;
    staging.digest = numbered(number);
    staging.generation = generation;
    staging.extents.insert(0, number + 1);
    db.put_staging(staging);
    db.put_blob({staging.digest, number + 1, generation, {}, {}, "docker.io"}, kRepository);
    const std::vector<oci::Digest> references = {staging.digest, numbered(number + (1u << 30))};
    db.put_manifest({numbered(number + (1u << 20)), "type", "bytes", {}, {}, "docker.io"},
                    kRepository, references, tag_of(number));
    if (number % 3 == 0) db.remove_blob(staging.digest, generation);
    return {number, generation};
}

[[noreturn]] void child(const std::string& path, uint64_t first, int report) {
    try {
        auto db = open_sqlite({path});
        for (uint64_t number = first;; ++number) {
            const Done done = one_round(*db, number);
            if (write(report, &done, sizeof done) != sizeof done) _exit(1);
        }
    } catch (...) {
        _exit(2);
    }
}

void expect_whole(Metadata& db, const Done& last) {
    // All that was answered is there ...
    if (last.number % 3 != 0) {
        const auto blob = db.find_blob(numbered(last.number));
        ASSERT_TRUE(blob);
        EXPECT_EQ(blob->generation, last.generation);
    }
    EXPECT_TRUE(db.find_tag(kRepository, tag_of(last.number)));
    EXPECT_FALSE(db.find_staging(numbered(last.number)));
    // ... and of the round that was cut, no change by half.
    const uint64_t next = last.number + 1;
    if (db.find_blob(numbered(next))) {
        EXPECT_TRUE(db.linked(kRepository, numbered(next)));
        EXPECT_FALSE(db.find_staging(numbered(next)));
    }
    const bool manifest = db.find_manifest(numbered(next + (1u << 20))).has_value();
    EXPECT_EQ(manifest, db.find_tag(kRepository, tag_of(next)).has_value());
    EXPECT_EQ(manifest, db.linked(kRepository, numbered(next + (1u << 20))));
    EXPECT_EQ(manifest, db.named(kRepository, numbered(next + (1u << 30))));
}

TEST(SqliteCrash, a_killed_process_leaves_what_it_was_answered_for_and_nothing_by_half) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    SeededRandom random(7);
    uint64_t number = 1;
    uint64_t last_generation = 0;
    for (int kill_round = 0; kill_round < 25; ++kill_round) {
        SCOPED_TRACE(kill_round);
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            child(path, number, ends[1]);
        }
        close(ends[1]);
        // Dies somewhere in the round after some that were finished.
        Done done{};
        Done last{};
        const uint64_t rounds = 1 + random.below(30);
        for (uint64_t i = 0; i < rounds; ++i) {
            ASSERT_EQ(read(ends[0], &done, sizeof done), static_cast<ssize_t>(sizeof done));
            EXPECT_GT(done.generation, last_generation);
            last_generation = done.generation;
            last = done;
        }
        usleep(static_cast<useconds_t>(random.below(400)));
        kill(pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        while (read(ends[0], &done, sizeof done) == static_cast<ssize_t>(sizeof done)) last = done;
        close(ends[0]);
        ASSERT_TRUE(WIFSIGNALED(status));
        {
            auto db = open_sqlite({path});
            expect_whole(*db, last);
            const uint64_t generation = db->next_generation();
            EXPECT_GT(generation, last.generation);
            last_generation = generation;
        }
        expect_counters_count(path);
        number = last.number + 2;
    }
}

}  // namespace
}  // namespace weir::meta
