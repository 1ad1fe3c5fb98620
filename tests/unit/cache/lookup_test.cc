// The memory in front of the metadata.
#include "cache/lookup.h"

#include <gtest/gtest.h>

#include "cache/lru.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "oci/digest.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;

TEST(Lru, keeps_what_was_used_last_within_its_weight) {
    Lru<std::string, int> lru(160);
    for (int i = 0; i < 1000; ++i) lru.put("key" + std::to_string(i), i, 10);
    EXPECT_LE(lru.weight(), 160u + 16 * 10);
    EXPECT_EQ(lru.get(std::string_view("key999")), 999);
    EXPECT_FALSE(lru.get(std::string_view("key0")));
}

TEST(Lru, a_value_that_is_too_heavy_is_not_kept_and_replaces_nothing_wrong) {
    Lru<std::string, int> lru(160);
    lru.put("a", 1, 1);
    lru.put("a", 2, 1000);
    EXPECT_FALSE(lru.get(std::string_view("a"))) << "the old value is not the new one";
    EXPECT_EQ(lru.weight(), 0u);
}

TEST(Lru, a_value_is_put_only_where_what_was_seen_still_is) {
    Lru<std::string, int> lru(160);
    lru.put_when("a", 1, 1, [](const int* now) { return now == nullptr; });
    EXPECT_EQ(lru.get(std::string_view("a")), 1) << "nothing was there";
    lru.put_when("a", 2, 1, [](const int* now) { return *now == 7; });
    EXPECT_EQ(lru.get(std::string_view("a")), 1);
    lru.put_when("a", 3, 1, [](const int* now) { return *now == 1; });
    EXPECT_EQ(lru.get(std::string_view("a")), 3);
}

TEST(Lru, drops_from_the_oldest_on_up_to_the_first_that_stays) {
    Lru<std::string, int> lru(160'000);
    for (int i = 0; i < 10'000; ++i) lru.put("key" + std::to_string(i), i);
    lru.get("key0");
    lru.drop_oldest([](int value) { return value < 9'000; });
    EXPECT_EQ(lru.weight(), 1'001u);
    EXPECT_EQ(lru.get("key0"), 0) << "it was used last";
    EXPECT_FALSE(lru.get("key8999"));
    EXPECT_EQ(lru.get("key9000"), 9'000);
}

TEST(Lru, what_does_not_count_is_dropped_when_it_is_asked_for) {
    Lru<std::string, int> lru(160);
    lru.put("a", 1);
    EXPECT_EQ(lru.get_if("a", [](int now) { return now == 1; }), 1);
    EXPECT_FALSE(lru.get_if("a", [](int now) { return now == 2; }));
    EXPECT_EQ(lru.weight(), 0u);
}

class BelievedTest : public testing::Test {
protected:
    std::unique_ptr<meta::Engine> db = meta::open_sqlite({":memory:"});
    Believed<std::string, int> believed{160, *db, Believed<std::string, int>::Weigh::entries};
    void remove_something() {
        const auto digest = *oci::Digest::parse("sha256:" + std::string(64, 'a'));
        db->put_tag("a", "t", {digest, {}, ""});
        ASSERT_TRUE(db->remove_tag("a", "t"));
    }
};

TEST_F(BelievedTest, a_value_counts_until_something_is_removed) {
    believed.put("a", 1, db->removals());
    EXPECT_EQ(believed.get("a"), 1);
    remove_something();
    EXPECT_FALSE(believed.get("a"));
    believed.put("a", 2, db->removals());
    EXPECT_EQ(believed.get("a"), 2);
}

TEST_F(BelievedTest, what_was_read_before_a_removal_is_not_put_after_it) {
    const uint64_t as_of = db->removals();
    remove_something();
    believed.put("a", 1, as_of);
    believed.put_if("b", 1, as_of, 0, [](int) { return true; });
    EXPECT_FALSE(believed.get("a"));
    EXPECT_FALSE(believed.get("b"));
}

TEST_F(BelievedTest, a_value_that_counts_no_more_stands_in_nobodys_way) {
    believed.put("a", 1, db->removals());
    remove_something();
    believed.put_if("a", 2, db->removals(), 0, [](int) { return false; });
    EXPECT_EQ(believed.get("a"), 2);
    believed.put_if("a", 3, db->removals(), 0, [](int) { return false; });
    EXPECT_EQ(believed.get("a"), 2);
}

TEST_F(BelievedTest, what_counts_no_more_can_be_let_go_of_without_being_asked_for) {
    using Kept = Believed<std::string, std::shared_ptr<int>>;
    Kept kept{16'000, *db, Kept::Weigh::entries};
    const auto old = std::make_shared<int>(1), fresh = std::make_shared<int>(2);
    for (int i = 0; i < 1'000; ++i) kept.put("old" + std::to_string(i), old, db->removals());
    remove_something();
    for (int i = 0; i < 1'000; ++i) kept.put("new" + std::to_string(i), fresh, db->removals());
    EXPECT_FALSE(kept.get("old0"));
    kept.drop_stale();
    EXPECT_EQ(old.use_count(), 1);
    EXPECT_EQ(fresh.use_count(), 1'001);
    EXPECT_EQ(kept.weight(), 1'000u);
}

TEST_F(BelievedTest, is_weighed_with_keys_overhead_and_what_values_point_to) {
    Believed<std::string, int> weighed{1 << 20, *db};
    for (int i = 0; i < 1'000; ++i)
        weighed.put(std::to_string(i) + std::string(10'000, 'k'), i, db->removals());
    EXPECT_LE(weighed.weight(), (1u << 20) + 16);
    EXPECT_GT(weighed.weight(), 1u << 19);
    Believed<std::string, int> holding{1 << 20, *db};
    for (int i = 0; i < 1'000; ++i) holding.put(std::to_string(i), i, db->removals(), 10'000);
    EXPECT_LE(holding.weight(), (1u << 20) + 16);
    EXPECT_EQ(holding.get("999"), 999);
    EXPECT_FALSE(holding.get("0"));
}

TEST(Negatives, are_weighed_with_their_keys) {
    ManualClock clock;
    Negatives negatives(1 << 20, clock);
    for (int i = 0; i < 1'000; ++i)
        negatives.remember(std::to_string(i) + std::string(10'000, 'k'), 5s);
    EXPECT_LE(negatives.weight(), (1u << 20) + 16);
}

TEST(Negatives, are_believed_for_their_time) {
    ManualClock clock;
    Negatives negatives(16'000, clock);
    negatives.remember("a", 5s);
    negatives.remember("b", 0s);
    EXPECT_TRUE(negatives.holds("a"));
    EXPECT_FALSE(negatives.holds("b"));
    clock.advance(5s);
    EXPECT_FALSE(negatives.holds("a"));
    negatives.remember("a", 5s);
    negatives.forget("a");
    EXPECT_FALSE(negatives.holds("a"));
}

TEST(Touches, are_taken_once_with_the_last_time) {
    Touches touches;
    const auto digest = *oci::Digest::parse("sha256:" + std::string(64, 'a'));
    touches.add(digest, WallTime(1us));
    touches.add(digest, WallTime(2us));
    const auto taken = touches.take();
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_EQ(taken[0].accessed, WallTime(2us));
    EXPECT_TRUE(touches.take().empty());
}

TEST(PairKey, tells_a_repository_from_what_is_in_it) {
    EXPECT_NE(std::string(pair_key("a", "bc")), std::string(pair_key("ab", "c")));
}

}  // namespace
}  // namespace weir::cache
