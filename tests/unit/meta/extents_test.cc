// Extents against the plainest model there is: a bit for each byte.
#include "meta/extents.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"

namespace weir::meta {
namespace {

constexpr uint64_t kBytes = 96;  // small, so that intervals meet often

class Model {
public:
    void set(uint64_t first, uint64_t end, bool value) {
        for (uint64_t i = first; i < end; ++i) bits_[i] = value;
    }
    bool contains(uint64_t first, uint64_t end) const {
        for (uint64_t i = first; i < end; ++i)
            if (!bits_[i]) return false;
        return true;
    }
    uint64_t end_from(uint64_t offset) const {
        while (offset < kBytes && bits_[offset]) ++offset;
        return offset;
    }
    std::optional<Extent> first_gap(uint64_t first, uint64_t end) const {
        while (first < end && bits_[first]) ++first;
        if (first >= end) return std::nullopt;
        uint64_t stop = first;
        while (stop < end && !bits_[stop]) ++stop;
        return Extent{first, stop};
    }
    std::vector<Extent> list() const {
        std::vector<Extent> all;
        for (uint64_t i = 0; i < kBytes; ++i) {
            if (!bits_[i]) continue;
            const uint64_t first = i;
            i = end_from(i);
            all.push_back({first, i});
        }
        return all;
    }

private:
    std::array<bool, kBytes + 1> bits_{};
};

void expect_same(const Extents& extents, const Model& model, Random& random) {
    ASSERT_EQ(extents.list(), model.list());
    uint64_t total = 0;
    for (const auto& extent : model.list()) total += extent.end - extent.first;
    ASSERT_EQ(extents.total(), total);
    ASSERT_EQ(extents.count(), model.list().size());
    ASSERT_EQ(extents.empty(), total == 0);
    for (int probe = 0; probe < 8; ++probe) {
        const uint64_t first = random.below(kBytes);
        const uint64_t end = first + random.below(kBytes - first + 1);
        ASSERT_EQ(extents.contains(first, end), model.contains(first, end)) << first << "-" << end;
        ASSERT_EQ(extents.end_from(first), model.end_from(first)) << first;
        ASSERT_EQ(extents.first_gap(first, end), model.first_gap(first, end))
            << first << "-" << end << " of " << extents.text();
    }
    const auto parsed = Extents::parse(extents.text());
    ASSERT_TRUE(parsed) << extents.text();
    ASSERT_EQ(*parsed, extents);
}

TEST(Extents, behave_like_a_bitmap) {
    for (uint64_t seed = 0; seed < 300; ++seed) {
        SCOPED_TRACE(seed);
        SeededRandom random(seed);
        Extents extents;
        Model model;
        for (int step = 0; step < 60; ++step) {
            const uint64_t first = random.below(kBytes);
            const uint64_t end = first + random.below(std::min<uint64_t>(kBytes - first, 20) + 1);
            const bool insert = random.below(3) != 0;
            insert ? extents.insert(first, end) : extents.erase(first, end);
            model.set(first, end, insert);
            expect_same(extents, model, random);
            if (HasFatalFailure()) return;
        }
    }
}

TEST(Extents, neighbours_become_one) {
    Extents extents;
    extents.insert(0, 10);
    extents.insert(20, 30);
    EXPECT_EQ(extents.count(), 2u);
    extents.insert(10, 20);
    EXPECT_EQ(extents.list(), (std::vector<Extent>{{0, 30}}));
}

TEST(Extents, an_empty_interval_changes_nothing) {
    Extents extents;
    extents.insert(7, 7);
    extents.insert(9, 3);
    EXPECT_TRUE(extents.empty());
    extents.insert(0, 10);
    extents.erase(4, 4);
    EXPECT_EQ(extents.text(), "0-10");
    EXPECT_TRUE(extents.contains(50, 50));
}

TEST(Extents, the_largest_offsets_have_a_place) {
    constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
    Extents extents;
    extents.insert(kMax - 10, kMax);
    EXPECT_EQ(extents.end_from(kMax - 5), kMax);
    EXPECT_EQ(extents.first_gap(0, kMax), (Extent{0, kMax - 10}));
    EXPECT_EQ(Extents::parse(extents.text()), extents);
}

TEST(Extents, one_set_has_one_text) {
    EXPECT_EQ(Extents().text(), "");
    EXPECT_EQ(Extents::parse(""), Extents());
    Extents extents;
    extents.insert(200, 300);
    extents.insert(0, 100);
    EXPECT_EQ(extents.text(), "0-100,200-300");
    for (const char* text :
         {"0", "-", "0-", "-5", "5-5", "9-3", "0-10,10-20", "20-30,0-10", "0-10,5-20", "00-10",
          "0-10,", ",0-10", "0-10 ", "+0-10", "0-10;20-30", "a-b", "0-18446744073709551616"})
        EXPECT_EQ(Extents::parse(text), std::nullopt) << text;
}

}  // namespace
}  // namespace weir::meta
