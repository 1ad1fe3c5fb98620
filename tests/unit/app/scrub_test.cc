// The promises of app/verbs_scrub.h.
#include "app/verbs_scrub.h"

#include "unit/app/verbs_world.h"

namespace weir::app {
namespace {

using ::testing::HasSubstr;

class Scrub : public VerbWorld {
protected:
    ScrubReport run(ScrubOptions options = {}) { return run_on(rooms, options); }
    ScrubReport repair() {
        ScrubOptions options;
        options.repair = true;
        return run(options);
    }
    ScrubReport run_on(Rooms& which, ScrubOptions options = {}) {
        ScrubHands hands;
        hands.resolve = resolve;
        hands.changed = [this](const std::string& path) -> std::optional<WallTime> {
            if (young.contains(path)) return clock.wall();
            return clock.wall() - std::chrono::hours(1);
        };
        return run_task([&] { return scrub(which, options, hands); });
    }
    void finds_nothing(ScrubReport report) {
        EXPECT_TRUE(report.clean());
        EXPECT_EQ(report.orphans, 0u);
        EXPECT_EQ(report.stale_stagings, 0u);
        EXPECT_TRUE(report.problems.empty());
    }
    std::set<std::string> young;
};

TEST_F(Scrub, finds_nothing_where_all_is_well) {
    const std::string both(10'000'000, 'x');
    on_disk(both);
    in_s3(both);
    on_disk("on the disk alone");
    in_s3("in S3 alone");
    on_disk("");
    const ScrubReport report = run();
    finds_nothing(report);
    EXPECT_EQ(report.blobs, 4u);
    EXPECT_EQ(report.disk_files, 3u);
    EXPECT_EQ(report.disk_bytes, both.size() + 17);
    EXPECT_EQ(report.s3_objects, 2u);
    EXPECT_EQ(report.s3_bytes, both.size() + 11);
}

TEST_F(Scrub, pages_through_all_blobs) {
    for (int i = 0; i < 300; ++i) in_s3(fmt::format("blob {}", i));
    const ScrubReport report = run();
    EXPECT_EQ(report.blobs, 300u);
    EXPECT_EQ(remote.asked["head"], 300u);
}

// ---- the database

TEST_F(Scrub, finds_a_manifest_whose_bytes_the_database_has_changed_and_repairs_it) {
    const std::string right = R"({"schemaVersion":2,"mediaType":")"
                              R"(application/vnd.oci.image.manifest.v1+json","layers":[]})";
    meta::ManifestRow row;
    row.digest = digest_of(right);
    row.media_type = "application/vnd.oci.image.manifest.v1+json";
    row.bytes = right;
    for (int i = 0; i < 300; ++i) {
        meta::ManifestRow other = row;
        other.bytes += std::string(static_cast<size_t>(i) + 1, ' ');
        other.digest = digest_of(other.bytes);
        engine->put_manifest(other, "docker.io/library/x", {}, "");
    }
    row.bytes[3] = 'X';
    engine->put_manifest(row, "docker.io/library/x", {}, "v1");
    for (const bool repairs : {false, true, true}) {
        if (repairs) upstream_manifests[row.digest] = right;
        ScrubOptions options;
        options.repair = repairs;
        const ScrubReport report = run(options);
        EXPECT_EQ(report.manifests, 301u);
        if (engine->find_manifest(row.digest)->bytes == right && report.bad_manifests == 0) break;
        EXPECT_EQ(report.bad_manifests, 1u);
        EXPECT_FALSE(report.clean());
        ASSERT_EQ(report.problems.size(), 1u);
        EXPECT_EQ(report.problems[0].digest, row.digest.text());
        EXPECT_STREQ(report.problems[0].where, "database");
        EXPECT_EQ(report.repaired, repairs ? 1u : 0u);
        EXPECT_EQ(engine->find_manifest(row.digest)->bytes == right, repairs);
    }
    finds_nothing(run());
}

TEST_F(Scrub, a_wrong_manifest_that_nobody_gives_is_told_and_left) {
    meta::ManifestRow row;
    row.digest = digest_of("right");
    row.bytes = "wrong";
    row.media_type = "application/vnd.oci.image.manifest.v1+json";
    engine->put_manifest(row, "docker.io/library/x", {}, "v1");
    upstream_manifests[row.digest] = "wrong too";
    const ScrubReport report = repair();
    EXPECT_EQ(report.bad_manifests, 1u);
    EXPECT_EQ(report.repaired, 0u);
    EXPECT_THAT(report.problems.at(0).outcome, HasSubstr("nobody gave it now"));
}

// ---- the disk

TEST_F(Scrub, a_wrong_copy_on_the_disk_goes_and_comes_again_from_s3) {
    const auto digest = on_disk("some bytes");
    in_s3("some bytes");
    const std::string path = path_of(digest);
    spoil(digest);
    const ScrubReport report = run();
    EXPECT_EQ(report.bad_on_disk, 1u);
    ASSERT_EQ(report.problems.size(), 1u);
    EXPECT_EQ(report.problems[0].what, "has another digest");
    EXPECT_EQ(report.problems[0].outcome, "comes again from S3");
    EXPECT_FALSE(there(path));
    const auto row = engine->find_blob(digest);
    ASSERT_TRUE(row);
    EXPECT_FALSE(row->on_disk);
    EXPECT_TRUE(row->in_s3);
    finds_nothing(run());
}

TEST_F(Scrub, a_missing_file_is_told_and_its_row_goes) {
    const auto digest = on_disk("some bytes");
    files.remove(path_of(digest));
    const ScrubReport report = run_on(disk_only);
    EXPECT_EQ(report.bad_on_disk, 1u);
    EXPECT_EQ(report.problems[0].what, "is gone");
    EXPECT_EQ(report.problems[0].outcome, "comes again from its upstream");
    EXPECT_FALSE(engine->find_blob(digest));
    finds_nothing(run_on(disk_only));
}

TEST_F(Scrub, a_file_of_another_size_is_not_even_read) {
    const auto digest = on_disk("some bytes");
    files.open(path_of(digest), true)->write_at(10, as_bytes("more"));
    const ScrubReport report = run_on(disk_only);
    EXPECT_EQ(report.problems[0].what, "has 14 bytes instead of 10");
    EXPECT_EQ(report.disk_bytes, 0u);
}

TEST_F(Scrub, repairs_the_disk_from_s3) {
    const auto digest = on_disk("some bytes");
    in_s3("some bytes");
    spoil(digest);
    const ScrubReport report = repair();
    EXPECT_EQ(report.repaired, 1u);
    EXPECT_EQ(report.problems[0].outcome, "repaired from s3");
    EXPECT_EQ(read(digest), "some bytes");
    EXPECT_EQ(engine->find_blob(digest)->upstream, "docker.io");
    EXPECT_TRUE(http.calls().empty());
    finds_nothing(run());
}

TEST_F(Scrub, repairs_the_disk_from_an_upstream_whose_repository_has_the_blob) {
    const auto digest = on_disk("some bytes");
    upstream_blobs[digest] = "some bytes";
    spoil(digest);
    const ScrubReport report = repair();
    EXPECT_EQ(report.repaired, 1u);
    EXPECT_THAT(report.problems[0].outcome, HasSubstr("repaired from docker.io"));
    EXPECT_EQ(read(digest), "some bytes");
    EXPECT_TRUE(engine->linked("docker.io/library/x", digest));
    finds_nothing(run());
}

TEST_F(Scrub, wrong_bytes_of_an_upstream_are_not_stored) {
    const auto digest = on_disk("some bytes");
    upstream_blobs[digest] = "same size!";
    spoil(digest);
    const ScrubReport report = repair();
    EXPECT_EQ(report.repaired, 0u);
    EXPECT_FALSE(report.clean());
    EXPECT_THAT(report.problems[0].outcome, HasSubstr("nobody gave it now"));
    EXPECT_FALSE(engine->find_blob(digest));
    EXPECT_TRUE(files.list(std::string(kRoot) + "/staging").empty());
    finds_nothing(run());
}

TEST_F(Scrub, a_pushed_blob_without_another_copy_is_told_as_lost) {
    const auto digest = on_disk("some bytes", "");
    spoil(digest);
    EXPECT_EQ(run_on(disk_only).problems[0].outcome, "is lost");
}

TEST_F(Scrub, the_only_copy_stays_when_the_disk_can_not_read_it) {
    const auto digest = on_disk("some bytes", "");
    files.set_error_rates({.read = 1});
    const ScrubReport report = run_on(disk_only);
    files.set_error_rates({});
    EXPECT_EQ(report.unchecked, 1u);
    EXPECT_FALSE(report.clean());
    EXPECT_EQ(read(digest), "some bytes");
}

// The server evicts between the page of rows and the look at the file: first the row, then the
// file.
TEST_F(Scrub, a_blob_that_is_evicted_meanwhile_is_no_problem) {
    const auto first = on_disk("some bytes");
    in_s3("some bytes");
    const std::string path = path_of(first);
    class Evicting : public store::Store {
    public:
        explicit Evicting(std::function<void()> before) : before_(std::move(before)) {}
        Task<std::shared_ptr<const File>> open(oci::Digest, uint64_t) override {
            before_();
            co_return nullptr;
        }
        Task<std::shared_ptr<store::Staging>> stage(oci::Digest, uint64_t,
                                                    std::optional<uint64_t>) override {
            co_return nullptr;
        }
        Task<std::shared_ptr<store::Staging>> reopen(oci::Digest, uint64_t) override {
            co_return nullptr;
        }
        Task<std::shared_ptr<store::Staging>> take_back(oci::Digest, uint64_t) override {
            co_return nullptr;
        }
        Task<> commit(std::shared_ptr<store::Staging>) override { co_return; }
        Task<> discard(std::shared_ptr<store::Staging>) override { co_return; }
        Task<> discard_left_over(oci::Digest, uint64_t) override { co_return; }
        Task<bool> erase(oci::Digest, uint64_t) override { co_return false; }
        Task<> sync(std::shared_ptr<store::Staging>) override { co_return; }

    private:
        std::function<void()> before_;
    };
    Evicting evicting([&] {
        const auto row = engine->find_blob(first);
        ASSERT_TRUE(engine->evict({first, row->generation, row->size, "docker.io", true, 0}));
        files.remove(path);
    });
    Rooms meanwhile{*engine, evicting, &remote, files, kRoot, pool, clock};
    finds_nothing(run_on(meanwhile));
    EXPECT_TRUE(engine->find_blob(first)->in_s3);
}

// ---- S3

TEST_F(Scrub, a_missing_object_is_uploaded_again_from_the_disk) {
    const auto digest = on_disk("some bytes");
    in_s3("some bytes");
    remote.blobs.clear();
    const ScrubReport report = run();
    EXPECT_EQ(report.bad_in_s3, 1u);
    EXPECT_EQ(report.repaired, 1u);
    EXPECT_EQ(report.problems[0].what, "is gone");
    EXPECT_EQ(report.problems[0].outcome, "uploaded again");
    EXPECT_EQ(remote.blobs[digest], "some bytes");
    EXPECT_TRUE(engine->find_blob(digest)->in_s3);
    EXPECT_EQ(engine->tier_usage().uploads, 0u);
    finds_nothing(run());
}

TEST_F(Scrub, a_wrong_object_is_overwritten_from_the_disk) {
    const auto digest = on_disk("some bytes");
    in_s3("some bytes");
    remote.blobs[digest] = "same size!";
    EXPECT_EQ(run().problems[0].what, "has another digest");
    EXPECT_EQ(remote.blobs[digest], "some bytes");
    finds_nothing(run());
}

TEST_F(Scrub, a_wrong_object_without_a_copy_is_deleted_with_its_row) {
    in_s3("some bytes");
    const auto digest = digest_of("some bytes");
    remote.blobs[digest] = "same size!";
    const ScrubReport report = run();
    EXPECT_EQ(report.bad_in_s3, 1u);
    EXPECT_TRUE(remote.blobs.empty());
    EXPECT_FALSE(engine->find_blob(digest));
    finds_nothing(run());
}

TEST_F(Scrub, a_wrong_object_without_a_copy_is_fetched_again_by_repair) {
    const auto digest = on_disk("some bytes");
    in_s3("some bytes");
    const auto row = engine->find_blob(digest);
    engine->evict({digest, row->generation, row->size, "docker.io", true, 0});
    run_task([&] { return store->erase(digest, row->generation); });
    remote.blobs[digest] = "same size!";
    upstream_blobs[digest] = "some bytes";
    const ScrubReport report = repair();
    EXPECT_EQ(report.repaired, 1u);
    EXPECT_EQ(read(digest), "some bytes");
    // The server brings it up.
    EXPECT_EQ(engine->tier_usage().uploads, 1u);
}

TEST_F(Scrub, both_copies_wrong_are_repaired_from_the_upstream) {
    const auto digest = on_disk("some bytes");
    in_s3("some bytes");
    spoil(digest);
    remote.blobs[digest] = "same size!";
    upstream_blobs[digest] = "some bytes";
    const ScrubReport report = repair();
    EXPECT_EQ(report.bad_on_disk, 1u);
    EXPECT_EQ(report.bad_in_s3, 1u);
    EXPECT_EQ(report.repaired, 2u);
    EXPECT_EQ(read(digest), "some bytes");
    EXPECT_EQ(remote.blobs[digest], "some bytes");
    finds_nothing(run());
}

TEST_F(Scrub, quick_looks_at_sizes_only) {
    in_s3("some bytes");
    in_s3("other bytes");
    remote.blobs[digest_of("some bytes")] = "same size!";
    remote.blobs[digest_of("other bytes")] = "short";
    ScrubOptions options;
    options.quick = true;
    const ScrubReport report = run(options);
    EXPECT_EQ(remote.asked["get"], 0u);
    ASSERT_EQ(report.problems.size(), 1u);
    EXPECT_EQ(report.problems[0].what, "has 5 bytes instead of 11");
}

TEST_F(Scrub, s3_that_does_not_answer_changes_nothing_and_is_soon_left_alone) {
    for (int i = 0; i < 100; ++i) in_s3(fmt::format("blob {}", i));
    remote.silent = true;
    const ScrubReport report = run();
    EXPECT_FALSE(report.clean());
    EXPECT_GE(report.unchecked, 20u);
    EXPECT_LE(remote.asked["head"], 30u);
    EXPECT_EQ(engine->tier_usage().s3_blobs, 100u);
    remote.silent = false;
    finds_nothing(run());
}

// ---- what nobody knows of

TEST_F(Scrub, files_without_a_row_go_when_they_are_old_enough) {
    const auto kept = on_disk("some bytes");
    const std::string hex = digest_of("left over").hex();
    const std::string old = fmt::format("{}/blobs/sha256/{}/{}.77", kRoot, hex.substr(0, 2), hex);
    const std::string fresh = fmt::format("{}/blobs/sha256/{}/{}.78", kRoot, hex.substr(0, 2), hex);
    const std::string second = path_of(kept) + "9";  // of a blob that has a row, another generation
    const std::string staged = fmt::format("{}/staging/sha256-{}.5", kRoot, hex);
    const std::string foreign = std::string(kRoot) + "/blobs/sha256/ab/README";
    for (const auto& path : {old, fresh, second, staged, foreign}) write(path, "left over");
    young = {fresh};
    const ScrubReport report = run();
    EXPECT_EQ(report.orphans, 3u);
    EXPECT_EQ(report.orphan_bytes, 27u);
    EXPECT_TRUE(report.clean());
    for (const auto& path : {old, second, staged}) EXPECT_FALSE(there(path)) << path;
    for (const auto& path : {fresh, foreign}) EXPECT_TRUE(there(path)) << path;
    EXPECT_EQ(read(kept), "some bytes");
    EXPECT_EQ(run().orphans, 0u);
}

TEST_F(Scrub, staging_rows_without_a_file_go_and_those_with_one_stay) {
    const auto gone = digest_of("gone"), kept = digest_of("kept");
    run_task([&]() -> Task<> { co_await store->stage(kept, 4, 10); });
    engine->put_staging({gone, 3, 10, {}, {}, clock.wall()});
    engine->put_staging({kept, 4, 10, {}, {}, clock.wall()});
    EXPECT_EQ(run().stale_stagings, 0u);  // may be in the making
    clock.advance(11min);
    const ScrubReport report = run();
    EXPECT_EQ(report.stale_stagings, 1u);
    EXPECT_EQ(report.orphans, 0u);
    EXPECT_FALSE(engine->find_staging(gone));
    EXPECT_TRUE(engine->find_staging(kept));
    finds_nothing(run());
}

TEST_F(Scrub, tells_each_problem_when_it_finds_it_and_how_far_it_is) {
    spoil(on_disk("some bytes"));
    std::vector<std::string> told, phases;
    ScrubHands hands;
    hands.changed = [](const std::string&) { return std::nullopt; };
    hands.tell = [&](const ScrubProblem& problem) { told.push_back(problem.where); };
    hands.progress = [&](std::string_view phase, double) {
        if (phases.empty() || phases.back() != phase) phases.emplace_back(phase);
    };
    run_task([&] { return scrub(disk_only, {}, hands); });
    EXPECT_EQ(told, std::vector<std::string>{"disk"});
    EXPECT_EQ(phases, (std::vector<std::string>{"blobs", "files"}));
}

}  // namespace
}  // namespace weir::app
