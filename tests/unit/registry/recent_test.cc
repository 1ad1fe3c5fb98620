#include "registry/recent.h"

#include <gtest/gtest.h>

namespace weir::registry {
namespace {

TEST(Recent, finds_what_was_inserted_by_both_parts_of_its_key) {
    Recent<int> recent(4);
    recent.insert({"a", "b"}, 1);
    ASSERT_NE(recent.find({"a", "b"}), nullptr);
    EXPECT_EQ(*recent.find({"a", "b"}), 1);
    EXPECT_EQ(recent.find({"b", "a"}), nullptr);
    EXPECT_EQ(recent.find({"ab", ""}), nullptr);
}

TEST(Recent, never_holds_more_than_two_generations) {
    Recent<int> recent(8);
    for (int i = 0; i < 1000; ++i) {
        recent.insert({"host", std::to_string(i)}, i);
        EXPECT_LE(recent.size(), 16u);
    }
}

TEST(Recent, keeps_what_is_used_while_others_come_and_go) {
    Recent<int> recent(8);
    recent.insert({"", "used"}, 7);
    for (int i = 0; i < 1000; ++i) {
        recent.insert({"other", std::to_string(i)}, i);
        ASSERT_NE(recent.find({"", "used"}), nullptr) << i;
    }
    EXPECT_EQ(*recent.find({"", "used"}), 7);
}

TEST(Recent, an_entry_inserted_again_has_the_new_value) {
    Recent<int> recent(2);
    recent.insert({"", "x"}, 1);
    recent.insert({"", "y"}, 2);
    recent.insert({"", "z"}, 3);  // x and y are old now
    recent.insert({"", "x"}, 4);
    EXPECT_EQ(*recent.find({"", "x"}), 4);
    EXPECT_EQ(*recent.find({"", "y"}), 2);
}

}  // namespace
}  // namespace weir::registry
