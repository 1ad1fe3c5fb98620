// What the database itself may hold: manifests and lists by bytes, for a repository, an upstream,
// all.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/failure.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "support/temporary_directory.h"

namespace weir::meta {
namespace {

constexpr uint64_t kMib = 1 << 20;

WallTime at(int64_t seconds) {
    return WallTime(std::chrono::seconds(seconds));
}

oci::Digest digest_of(int number) {
    return *oci::Digest::parse(fmt::format("sha256:{:064x}", number));
}

class Bounds : public testing::Test {
protected:
    Bounds() {
        db->bound_metadata(8 * kMib);
    }  // 6 MiB of manifests: 4.5 an upstream, 3 a repository

    oci::Digest put(int number, uint64_t bytes, const std::string& repository,
                    const std::string& upstream) {
        ManifestRow row;
        row.bytes =
            fmt::format("{{\"layers\":[],\"n\":\"{}{}\"}}", number, std::string(bytes, 'x'));
        row.digest = digest_of(number);
        row.created = row.accessed = at(number);
        row.upstream = upstream;
        db->put_manifest(row, repository, {}, "");
        return row.digest;
    }
    void list(int number, uint64_t bytes, const std::string& repository,
              const std::string& upstream) {
        db->put_list(repository, "tags", std::to_string(number),
                     {std::string(bytes, 'x'), "", "", false, at(number), upstream});
    }
    bool has(const oci::Digest& digest) { return db->find_manifest(digest).has_value(); }

    TemporaryDirectory directory;
    std::unique_ptr<Engine> db = open_sqlite({directory / "weir.db"});
};

TEST_F(Bounds, manifests_of_one_repository_push_out_its_own_oldest) {
    const auto other = put(0, kMib, "b/other", "b");
    std::vector<oci::Digest> own;
    for (int i = 1; i <= 10; ++i) own.push_back(put(i, kMib, "a/app", "a"));
    EXPECT_TRUE(has(other));
    EXPECT_TRUE(has(own.back()));
    EXPECT_FALSE(has(own.front()));
    EXPECT_LE(db->metadata_bytes_of("a"), 3 * kMib);
    EXPECT_GE(db->metadata_bytes_of("a"), kMib);
}

TEST_F(Bounds, repositories_of_one_upstream_push_out_their_own_oldest) {
    const auto other = put(0, kMib, "b/other", "b");
    for (int i = 1; i <= 20; ++i) put(i, kMib, fmt::format("a/app{}", i), "a");
    EXPECT_TRUE(has(other));
    EXPECT_LE(db->metadata_bytes_of("a"), 9 * kMib / 2);
}

TEST_F(Bounds, upstreams_together_are_within_the_bound) {
    for (int i = 1; i <= 20; ++i) put(i, kMib, fmt::format("u{}/app", i), fmt::format("u{}", i));
    uint64_t sum = 0;
    for (int i = 1; i <= 20; ++i) sum += db->metadata_bytes_of(fmt::format("u{}", i));
    EXPECT_LE(sum, 6 * kMib);
    EXPECT_GE(sum, 4 * kMib);
}

TEST_F(Bounds, many_small_ones_count_with_their_rows) {
    for (int i = 1; i <= 10'000; ++i) put(i, 10, "a/app", "a");
    EXPECT_LE(db->metadata_bytes_of("a"), 3 * kMib);
    EXPECT_LT(db->usage().manifests, 6'200u);
}

TEST_F(Bounds, what_was_used_lately_what_is_pinned_and_what_was_pushed_stays) {
    const auto used = put(1, kMib, "a/app", "a");
    const auto pinned = put(2, kMib, "a/pinned", "a");
    const auto pushed = put(3, kMib, "a/app", "");
    db->put_pin({"a/pinned", "*"});
    const Touch touch{used, at(1000)};
    db->touch(std::span(&touch, 1));
    for (int i = 4; i <= 60; ++i) put(i, kMib / 4, i % 2 == 0 ? "a/app" : "a/pinned2", "a");
    EXPECT_TRUE(has(used));
    EXPECT_TRUE(has(pinned));
    EXPECT_TRUE(has(pushed));
}

TEST_F(Bounds, what_is_too_large_by_itself_is_not_kept_and_pushes_nothing_out) {
    const auto small = put(1, 10, "a/app", "a");
    try {
        put(2, 4 * kMib, "a/app", "a");
        ADD_FAILURE();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::no_space);
    }
    EXPECT_TRUE(has(small));
    list(1, 10, "a/app", "a");
    list(2, 2 * kMib, "a/app", "a");
    EXPECT_TRUE(db->find_list("a/app", "tags", "1"));
    EXPECT_FALSE(db->find_list("a/app", "tags", "2"));
}

TEST_F(Bounds, lists_have_a_share_of_their_own) {
    const auto manifest = put(0, kMib, "a/app", "a");
    list(0, kMib / 2, "b/other", "b");
    for (int i = 1; i <= 40; ++i) list(i, kMib / 2, fmt::format("a/app{}", i), "a");
    EXPECT_TRUE(has(manifest));
    EXPECT_TRUE(db->find_list("b/other", "tags", "0"));
    EXPECT_FALSE(db->find_list("a/app1", "tags", "1"));
    EXPECT_TRUE(db->find_list("a/app40", "tags", "40"));
    EXPECT_LE(db->metadata_bytes_of("a"), kMib + 3 * kMib / 2 + kMib / 100);
    for (int i = 41; i <= 80; ++i) list(i, kMib / 4, "a/one", "a");
    EXPECT_FALSE(db->find_list("a/one", "tags", "41"));
    EXPECT_TRUE(db->find_list("a/one", "tags", "80"));
}

TEST_F(Bounds, sums_follow_what_is_replaced_and_removed) {
    const auto digest = put(1, 1000, "a/app", "a");
    list(1, 1000, "a/app", "a");
    list(1, 500, "a/app", "a");
    list(1, 500, "a/app", "b");
    EXPECT_LT(db->metadata_bytes_of("a"), 2000u);
    EXPECT_GT(db->metadata_bytes_of("b"), 500u);
    EXPECT_TRUE(db->remove_manifest(digest));
    EXPECT_EQ(db->metadata_bytes_of("a"), 0u);
}

TEST_F(Bounds, the_file_and_its_log_stay_near_what_is_in_them) {
    for (int i = 1; i <= 100; ++i) put(i, kMib, fmt::format("a/app{}", i), "a");
    EXPECT_LE(db->metadata_bytes(), 48 * kMib);
}

TEST_F(Bounds, lists_of_repositories_that_there_are_not_are_swept) {
    put(1, 10, "a/app", "a");
    list(1, 10, "a/app", "a");
    for (int i = 2; i <= 10; ++i) list(i, 10, fmt::format("a/invented{}", i), "a");
    EXPECT_EQ(db->sweep_lists(at(6), 100), 4u);
    EXPECT_EQ(db->sweep_lists(at(100), 2), 2u);
    EXPECT_EQ(db->sweep_lists(at(100), 100), 3u);
    EXPECT_EQ(db->sweep_lists(at(100), 100), 0u);
    EXPECT_TRUE(db->find_list("a/app", "tags", "1"));
}

TEST_F(Bounds, an_access_in_the_future_was_the_calendars_fault) {
    ManualClock clock;
    auto engine = open_sqlite({.path = directory / "other.db", .clock = &clock});
    ManifestRow row;
    row.bytes = "{\"layers\":[]}";
    row.digest = digest_of(1);
    row.created = row.accessed = clock.wall() + std::chrono::hours(24 * 30);
    row.upstream = "a";
    engine->put_manifest(row, "a/app", {}, "");
    const Touch touch{row.digest, clock.wall()};
    engine->touch(std::span(&touch, 1));
    EXPECT_EQ(engine->find_manifest(row.digest)->accessed, clock.wall());
}

}  // namespace
}  // namespace weir::meta
