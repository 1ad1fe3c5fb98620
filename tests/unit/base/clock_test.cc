// The promises of base/clock.h and base/random.h: time stands still until told, and a seed repeats.
#include "base/clock.h"

#include <gtest/gtest.h>

#include "base/calendar.h"
#include "base/random.h"
#include "support/jumping_clock.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

TEST(ManualClock, moves_only_when_told_and_both_hands_together) {
    ManualClock clock;
    const TimePoint start = clock.now();
    const WallTime wall = clock.wall();
    EXPECT_EQ(clock.now(), start);
    clock.advance(1500ms);
    EXPECT_EQ(clock.now() - start, 1500ms);
    EXPECT_EQ(clock.wall() - wall, 1500ms);
    clock.set(start + 1h);
    EXPECT_EQ(clock.now() - start, 1h);
}

TEST(SystemClock, never_goes_back_and_knows_the_date) {
    const TimePoint first = system_clock().now();
    EXPECT_LE(first, system_clock().now());
    EXPECT_LT(first, kNever);
    EXPECT_GT(system_clock().wall().time_since_epoch(), std::chrono::years(50));
}

TEST(SteadyCalendar, goes_on_with_monotonic_time_whatever_is_done_to_the_systems) {
    JumpingClock clock;
    const SteadyCalendar calendar(clock);
    const WallTime began = calendar.wall();
    EXPECT_EQ(began, clock.wall());
    for (const Duration jump : {Duration(24h * 365), Duration(-24h * 730), Duration(1s)}) {
        clock.jump(jump);
        EXPECT_EQ(calendar.wall(), began);
        EXPECT_EQ(calendar.now(), clock.now());
    }
    clock.advance(1h);
    EXPECT_EQ(calendar.wall() - began, 1h);
}

TEST(SeededRandom, repeats_with_its_seed) {
    SeededRandom a(7), b(7), c(8);
    bool differs = false;
    for (int i = 0; i < 100; ++i) {
        const uint64_t next = a.next();
        EXPECT_EQ(next, b.next());
        differs |= next != c.next();
    }
    EXPECT_TRUE(differs);
}

TEST(Random, stays_within_its_bounds) {
    for (int i = 0; i < 1000; ++i) {
        EXPECT_LT(system_random().below(10), 10u);
        const double unit = system_random().unit();
        EXPECT_GE(unit, 0.0);
        EXPECT_LT(unit, 1.0);
    }
}

}  // namespace
}  // namespace weir
