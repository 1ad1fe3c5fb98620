// The budget of what is remembered, and the account of answers that are being read.
#include "cache/memory.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/failure.h"
#include "cache/answers.h"

namespace weir::cache {
namespace {

constexpr uint64_t kMib = 1 << 20;

TEST(Memory, shares_add_up_to_the_budget) {
    for (const uint64_t budget : {8 * kMib, 128 * kMib, 1000 * kMib})
        for (const uint64_t most : {uint64_t{0}, kMib, 64 * kMib, UINT64_MAX}) {
            const auto s = split_memory(budget, most);
            EXPECT_LE(s.memos + s.manifests + s.tags + s.links + s.index + s.lists + s.negative +
                          s.answers,
                      budget);
            EXPECT_LE(s.manifests, most);
            EXPECT_GE(s.answers, budget / 6);
        }
}

Manifest manifest_of(uint64_t size) {
    Manifest manifest;
    manifest.size = size;
    manifest.bytes = std::make_shared<const std::string>(size, 'm');
    return manifest;
}

TEST(Answers, count_as_long_as_somebody_holds_them) {
    Answers answers(kMib);
    auto held = answers.hold(manifest_of(1000));
    EXPECT_EQ(answers.bytes(), 1000u);
    // As a response does: the bytes alone, which hold the whole.
    std::shared_ptr<const std::string> body(held, held->bytes.get());
    held.reset();
    EXPECT_EQ(answers.bytes(), 1000u);
    body.reset();
    EXPECT_EQ(answers.bytes(), 0u);
}

TEST(Answers, beyond_the_bound_are_refused_and_small_ones_have_a_reserve) {
    Answers answers(kMib);
    std::vector<std::shared_ptr<const Manifest>> held;
    const auto refused = [&](uint64_t size) {
        try {
            held.push_back(answers.hold(manifest_of(size)));
        } catch (const Failure& failure) {
            return failure.kind() == Kind::overloaded;
        }
        return false;
    };
    while (!refused(100'000)) {
    }
    EXPECT_LE(answers.bytes(), kMib - kMib / Answers::kReservePart);
    EXPECT_FALSE(refused(1000));
    while (!refused(Answers::kSmallBytes)) {
    }
    EXPECT_LE(answers.bytes(), kMib);
    held.clear();
    EXPECT_EQ(answers.bytes(), 0u);
    EXPECT_FALSE(refused(100'000));
}

TEST(Answers, a_charge_outlives_the_account) {
    auto answers = std::make_unique<Answers>(kMib);
    const auto held = answers->hold(manifest_of(10));
    answers.reset();
    EXPECT_EQ(held->size, 10u);
}

}  // namespace
}  // namespace weir::cache
