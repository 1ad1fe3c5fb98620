#include "registry/recent.h"

#include <gtest/gtest.h>

namespace weir::registry {
namespace {

// Of one entry with a key of a few bytes.
constexpr uint64_t kRoom = Recent<int>::kEntryBytes + 8;

TEST(Recent, finds_what_was_inserted_by_both_parts_of_its_key) {
    Recent<int> recent(kRoom * 8);
    recent.insert({"a", "b"}, 1);
    ASSERT_NE(recent.find({"a", "b"}), nullptr);
    EXPECT_EQ(*recent.find({"a", "b"}), 1);
    EXPECT_EQ(recent.find({"b", "a"}), nullptr);
    EXPECT_EQ(recent.find({"ab", ""}), nullptr);
}

TEST(Recent, never_holds_more_than_two_generations) {
    Recent<int> recent(kRoom * 16);
    for (int i = 0; i < 1000; ++i) {
        recent.insert({"host", std::to_string(i)}, i);
        EXPECT_LE(recent.size(), 16u);
    }
}

TEST(Recent, keeps_what_is_used_while_others_come_and_go) {
    Recent<int> recent(kRoom * 16);
    recent.insert({"", "used"}, 7);
    for (int i = 0; i < 1000; ++i) {
        recent.insert({"other", std::to_string(i)}, i);
        ASSERT_NE(recent.find({"", "used"}), nullptr) << i;
    }
    EXPECT_EQ(*recent.find({"", "used"}), 7);
}

TEST(Recent, an_entry_inserted_again_has_the_new_value) {
    Recent<int> recent(kRoom * 4);
    recent.insert({"", "x"}, 1);
    recent.insert({"", "y"}, 2);
    recent.insert({"", "z"}, 3);  // x and y are old now
    recent.insert({"", "x"}, 4);
    EXPECT_EQ(*recent.find({"", "x"}), 4);
    EXPECT_EQ(*recent.find({"", "y"}), 2);
}

TEST(Recent, is_weighed_in_bytes_with_keys_and_what_values_point_to) {
    Recent<int> recent(1 << 20);
    for (int i = 0; i < 10'000; ++i) {
        recent.insert({std::string(20'000, 'h'), std::to_string(i)}, i);
        ASSERT_LE(recent.bytes(), 1u << 20);
    }
    EXPECT_LT(recent.size(), 53u);
    recent.clear();
    EXPECT_EQ(recent.bytes(), 0u);
    for (int i = 0; i < 10'000; ++i) {
        recent.insert({"h", std::to_string(i)}, i, 20'000);
        ASSERT_LE(recent.bytes(), 1u << 20);
    }
    EXPECT_LT(recent.size(), 53u);
}

TEST(Recent, what_is_heavier_than_a_generation_is_not_kept_and_pushes_nothing_out) {
    Recent<int> recent(10'000);
    recent.insert({"", "light"}, 1);
    recent.insert({"", "heavy"}, 2, 10'000);
    EXPECT_EQ(recent.find({"", "heavy"}), nullptr);
    EXPECT_NE(recent.find({"", "light"}), nullptr);
}

TEST(Recent, its_weight_is_the_same_however_often_entries_are_used_and_replaced) {
    Recent<int> recent(kRoom * 4);
    for (int i = 0; i < 1000; ++i) {
        recent.insert({"", std::to_string(i % 3)}, i);
        recent.find({"", std::to_string((i + 1) % 3)});
        ASSERT_LE(recent.bytes(), kRoom * 4);
    }
    recent.clear();
    recent.insert({"", "a"}, 1);
    const uint64_t one = recent.bytes();
    recent.insert({"", "a"}, 2);
    EXPECT_EQ(recent.bytes(), one);
}

}  // namespace
}  // namespace weir::registry
