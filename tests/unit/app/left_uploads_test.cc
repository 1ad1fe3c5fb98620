// The promises of app/left_uploads.h.
#include "app/left_uploads.h"

#include "unit/app/verbs_world.h"

namespace weir::app {
namespace {

class LeftUploadsTest : public VerbWorld {
protected:
    LeftUploadsTest() {
        clock.advance(24h);
        const WallTime now = clock.wall();
        remote.uploads = {{digest_of("a"), "a", now - 2h},
                          {digest_of("b"), "b", now - 2h},
                          {digest_of("c"), "c", now - 30min},
                          {digest_of("d"), "d", now - 3h}};
        remote.page = 2;
    }
    LeftUploads run(bool dry_run = false) {
        LeftUploads report;
        said.clear();
        run_task([&]() -> Task<> {
            report = co_await abort_left_uploads(
                rooms, 1h, dry_run, [this](const std::string& line) { said.push_back(line); });
        });
        return report;
    }
    std::vector<std::string> left() {
        std::vector<std::string> ids;
        for (const auto& upload : remote.uploads) ids.push_back(upload.upload_id);
        return ids;
    }
    std::vector<std::string> said;
};

TEST_F(LeftUploadsTest, what_is_older_than_the_grace_and_in_no_row_is_aborted) {
    const auto digest = on_disk("b");
    const auto rows = engine->claim_uploads(10, clock.wall(), clock.wall() + 1h);
    ASSERT_EQ(rows.size(), 1u);
    engine->note_upload_id(rows[0], "b");
    EXPECT_EQ(rows[0].digest, digest);
    const auto report = run();
    EXPECT_EQ(report.aborted, 2u);
    EXPECT_EQ(report.failed, 0u);
    EXPECT_EQ(left(), (std::vector<std::string>{"b", "c"}));
    EXPECT_EQ(said.size(), 2u);
}

TEST_F(LeftUploadsTest, a_dry_run_aborts_nothing_and_says_the_same) {
    EXPECT_EQ(run(true).aborted, 3u);
    EXPECT_EQ(left().size(), 4u);
    EXPECT_EQ(said.size(), 3u);
    EXPECT_EQ(remote.asked["abort"], 0u);
}

TEST_F(LeftUploadsTest, what_s3_does_not_do_is_said) {
    remote.keeps_uploads = true;
    EXPECT_EQ(run().failed, 3u);
    EXPECT_EQ(left().size(), 4u);
    remote.silent = true;
    const auto report = run();
    EXPECT_EQ(report.failed, 1u);
    EXPECT_EQ(said.size(), 1u);
}

TEST_F(LeftUploadsTest, without_a_durable_tier_nobody_is_asked) {
    rooms.remote = nullptr;
    EXPECT_EQ(run().aborted + run().failed, 0u);
    EXPECT_TRUE(said.empty());
}

}  // namespace
}  // namespace weir::app
