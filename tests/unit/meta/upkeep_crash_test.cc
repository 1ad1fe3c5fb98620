// A process that is killed while it uploads, evicts and collects: the rows always name what the
// disk and S3 have, and nothing that either has is unknown.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/random.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "support/temporary_directory.h"
#include "unit/meta/backend.h"
#include "unit/meta/sqlite_checks.h"

namespace weir::meta {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRepository = "docker.io/library/debian";
constexpr uint64_t kBlobs = 12;
constexpr uint64_t kManifests = 4;

// A tier is a directory of empty files.
struct Tiers {
    std::string root;
    std::string disk(const oci::Digest& digest, uint64_t generation) const {
        return root + "/disk/" + digest.hex() + "-" + std::to_string(generation);
    }
    std::string s3(const oci::Digest& digest) const { return root + "/s3/" + digest.hex(); }
    static void make(const std::string& path) { std::ofstream file(path); }
};

uint64_t manifest_number(uint64_t i) {
    return 100 + i;
}

// The work of all rooms at once, each step in the order that the contract asks for.
class Worker {
public:
    Worker(Engine& db, const Tiers& tiers, Random& random)
        : db_(db), tiers_(tiers), random_(random) {}

    void step() {
        switch (random_.below(9)) {
            case 0:
            case 1:
                return store();
            case 2:
                return tag();
            case 3:
                return upload(random_.below(4));
            case 4:
                return evict();
            case 5:
                return unlink();
            case 6:
                return sweep();
            case 7:
                return remove_doomed();
            default:
                return lose();
        }
    }

    void upload(uint64_t failures) {
        for (const auto& row : db_.claim_uploads(5, at(5000), at(5000))) {
            if (row.what != UploadRow::What::tag) Tiers::make(tiers_.s3(row.digest));
            if (failures > 0 && random_.below(4) == 0)
                db_.upload_failed(row, at(5000));
            else
                db_.upload_done(row);
        }
    }
    void sweep() {
        std::optional<oci::Digest> after, next;
        do {
            for (const auto& doomed : db_.sweep_blobs(after, at(900'000), 5, &next))
                if (doomed.generation != 0) erase({doomed.digest, doomed.generation});
            after = next;
        } while (next);
        db_.sweep_manifests(at(900'000), 5);
        db_.remove_empty_repositories(5);
    }
    void remove_doomed() {
        const auto doomed = db_.claim_doomed(at(4'000'000'000), 5);
        for (const auto& digest : doomed) fs::remove(tiers_.s3(digest));
        db_.doomed_done(doomed);
    }
    void unlink_all() {
        for (uint64_t i = 1; i <= kManifests; ++i) unlink_one(digest_of(manifest_number(i)));
        for (uint64_t i = 1; i <= kBlobs; ++i) unlink_one(digest_of(i));
    }

    // What a start does.
    void work_off() {
        const auto left = db_.erasures(std::nullopt, 1000);
        for (const auto& file : left) fs::remove(tiers_.disk(file.digest, file.generation));
        db_.erased(left);
    }
    void drop_left_overs() {
        for (const auto& row : db_.stagings(1000)) drop_left_over(row.digest);
    }

private:
    void store() {
        const auto digest = digest_of(1 + random_.below(kBlobs));
        drop_left_over(digest);
        const uint64_t generation = db_.next_generation();
        StagingRow staging;
        staging.digest = digest;
        staging.generation = generation;
        db_.put_staging(staging);
        Tiers::make(tiers_.disk(digest, generation));
        const std::string upstream = random_.below(3) == 0 ? "" : "docker.io";
        if (!db_.put_blob({digest, 10, generation, at(1), at(1), upstream}, kRepository))
            erase({digest, generation});
    }
    void drop_left_over(const oci::Digest& digest) {
        const auto left = db_.find_staging(digest);
        if (!left) return;
        fs::remove(tiers_.disk(digest, left->generation));
        db_.remove_staging(digest);
    }
    void erase(const Erasure& file) {
        fs::remove(tiers_.disk(file.digest, file.generation));
        erased_.push_back(file);
        if (random_.below(3) != 0) return;
        db_.erased(erased_);
        erased_.clear();
    }
    void tag() {
        const uint64_t number = manifest_number(1 + random_.below(kManifests));
        const std::vector<oci::Digest> references = {digest_of(1 + random_.below(kBlobs))};
        db_.put_manifest(manifest_row(number), kRepository, references, "t");
        if (random_.below(2) == 0) db_.remove_tag(kRepository, "t");
    }
    void evict() {
        for (const auto& victim : db_.disk_victims("", {}, random_.below(2) == 0, 3))
            if (db_.evict(victim)) erase({victim.digest, victim.generation});
    }
    void unlink_one(const oci::Digest& digest) {
        db_.unlink(kRepository, at(900'000), {&digest, 1});
    }
    void unlink() {
        unlink_one(digest_of(1 + random_.below(kBlobs)));
        unlink_one(digest_of(manifest_number(1 + random_.below(kManifests))));
    }
    void lose() {
        const auto digest = digest_of(1 + random_.below(kBlobs));
        const auto row = db_.find_blob(digest);
        if (!row || !row->on_disk) return;
        if (db_.lost_on_disk(digest, row->generation)) erase({digest, row->generation});
    }

    Engine& db_;
    const Tiers& tiers_;
    Random& random_;
    std::vector<Erasure> erased_;
};

[[noreturn]] void child(const std::string& path, const Tiers& tiers, uint64_t seed,
                        const Clock& clock) {
    try {
        auto db = open_sqlite({path, false, 1, &clock});
        db->enable_uploads(true);
        SeededRandom random(seed);
        Worker worker(*db, tiers, random);
        worker.work_off();
        while (true) worker.step();
    } catch (...) {
        _exit(2);
    }
}

void expect_tiers_as_told(Engine& db, const std::string& path, const Tiers& tiers) {
    Checked checked(path);
    const auto known = [&](const std::string& hex) {
        return checked.count(
            "SELECT (SELECT count(*) FROM blobs WHERE in_s3 AND hex(digest) = '00" + hex +
            "') + (SELECT count(*) FROM manifests WHERE in_s3 AND hex(digest) = "
            "'00" +
            hex + "') + (SELECT count(*) FROM doomed WHERE hex(digest) = '00" + hex +
            "') + (SELECT count(*) FROM uploads WHERE started AND "
            "hex(digest) = '00" +
            hex + "')");
    };
    for (const auto& entry : fs::directory_iterator(tiers.root + "/s3")) {
        std::string hex = entry.path().filename();
        std::ranges::transform(hex, hex.begin(), [](unsigned char c) { return std::toupper(c); });
        EXPECT_GT(known(hex), 0) << hex << " is in S3 and nobody knows";
    }
    std::set<std::string> files;
    for (const auto& file : db.erasures(std::nullopt, 1000))
        files.insert(tiers.disk(file.digest, file.generation));
    for (const auto& row : db.stagings(1000)) files.insert(tiers.disk(row.digest, row.generation));
    for (const auto& state : db.blob_states(std::nullopt, 1000)) {
        if (!state.on_disk) continue;
        const bool new_here = files.insert(tiers.disk(state.digest, state.generation)).second;
        EXPECT_TRUE(new_here) << "a file that has to go has a row";
    }
    for (const auto& entry : fs::directory_iterator(tiers.root + "/disk"))
        EXPECT_TRUE(files.contains(entry.path())) << entry.path() << ": nobody knows that file";
    for (const auto& state : db.blob_states(std::nullopt, 1000)) {
        if (state.on_disk) EXPECT_TRUE(fs::exists(tiers.disk(state.digest, state.generation)));
        if (state.in_s3) EXPECT_TRUE(fs::exists(tiers.s3(state.digest)));
    }
}

TEST(UpkeepCrash, a_killed_process_leaves_rows_that_name_what_the_tiers_have) {
    TemporaryDirectory directory;
    const Tiers tiers{directory.path()};
    fs::create_directory(tiers.root + "/disk");
    fs::create_directory(tiers.root + "/s3");
    const std::string path = directory / "meta.db";
    open_sqlite({path});
    SeededRandom random(11);
    ManualClock clock;
    for (int round = 0; round < 40; ++round) {
        clock.advance(Upkeep::kClaimTime);  // claims of the dead end
        const pid_t pid = fork();
        if (pid == 0) child(path, tiers, random.next(), clock);
        usleep(static_cast<useconds_t>(5000 + random.below(60'000)));
        kill(pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        ASSERT_TRUE(WIFSIGNALED(status)) << "exit " << WEXITSTATUS(status);
        expect_counters_count(path);
        auto db = open_sqlite({path});
        expect_tiers_as_told(*db, path, tiers);
        if (HasFailure()) return;
    }
    // One collection later nothing is left.
    clock.advance(Upkeep::kClaimTime);
    auto db = open_sqlite({path, false, 1, &clock});
    Worker worker(*db, tiers, random);
    db->remove_tag(kRepository, "t");
    worker.drop_left_overs();
    worker.unlink_all();
    for (int i = 0; i < 20; ++i) {
        worker.upload(0);
        worker.sweep();
        worker.remove_doomed();
    }
    worker.work_off();
    EXPECT_TRUE(fs::is_empty(tiers.root + "/disk"));
    EXPECT_EQ(db->usage().blobs + db->usage().manifests + db->usage().repositories, 0u);
    EXPECT_EQ(db->tier_usage().doomed, 0u);
    EXPECT_TRUE(fs::is_empty(tiers.root + "/s3"));
}

}  // namespace
}  // namespace weir::meta
