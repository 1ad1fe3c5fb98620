// Space: bytes are promised once, to one, and given back.
#include "store/space.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/failure.h"

namespace weir::store {
namespace {

using namespace std::chrono_literals;

struct World {
    ManualClock clock;
    uint64_t free = 1'000'000;
    int probes = 0;
    Space space;

    explicit World(Space::Limits limits, uint64_t used = 0)
        : space(
              limits, used,
              [this] {
                  ++probes;
                  return DiskSpace{2'000'000, free};
              },
              clock) {}
};

TEST(Space, promises_up_to_its_limit_and_not_a_byte_more) {
    World w({.max_bytes = 1000, .min_free_bytes = 0}, 400);
    auto first = w.space.reserve(500);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->bytes(), 500u);
    EXPECT_EQ(w.space.used(), 400u);
    EXPECT_EQ(w.space.reserved(), 500u);
    EXPECT_FALSE(w.space.reserve(101));
    EXPECT_TRUE(w.space.reserve(100));
}

TEST(Space, a_dropped_reservation_is_given_back_and_a_kept_one_is_used) {
    World w({.max_bytes = 1000, .min_free_bytes = 0});
    {
        auto dropped = w.space.reserve(600);
        auto kept = w.space.reserve(400);
        ASSERT_TRUE(dropped && kept);
        kept->keep();
        EXPECT_EQ(kept->bytes(), 0u);
        EXPECT_EQ(w.space.used(), 400u);
        EXPECT_EQ(w.space.reserved(), 600u);
    }
    EXPECT_EQ(w.space.used(), 400u);
    EXPECT_EQ(w.space.reserved(), 0u);
    w.space.release(300);
    EXPECT_EQ(w.space.used(), 100u);
    EXPECT_TRUE(w.space.reserve(900));
}

TEST(Space, what_is_kept_of_a_reservation_is_used_and_the_rest_is_given_back) {
    World w({.max_bytes = 1000, .min_free_bytes = 0});
    {
        auto reservation = w.space.reserve(800);
        ASSERT_TRUE(reservation);
        reservation->keep_part(300);
        EXPECT_EQ(reservation->bytes(), 500u);
        EXPECT_EQ(w.space.used(), 300u);
        EXPECT_EQ(w.space.reserved(), 500u);
    }
    EXPECT_EQ(w.space.used(), 300u);
    EXPECT_EQ(w.space.reserved(), 0u);
}

TEST(Space, the_metadata_counts_as_used_and_only_the_free_space_refuses_it) {
    World w({.max_bytes = 1000, .min_free_bytes = 200'000}, 100);
    w.space.set_metadata(800);
    EXPECT_EQ(w.space.used(), 900u);
    EXPECT_FALSE(w.space.reserve(101));
    EXPECT_TRUE(w.space.grow_metadata(2000)) << "it has a bound of its own";
    w.space.set_metadata(0);
    EXPECT_EQ(w.space.used(), 100u);
    EXPECT_FALSE(w.space.grow_metadata(800'000));
    EXPECT_TRUE(w.space.grow_metadata(500'000));
    EXPECT_FALSE(w.space.grow_metadata(500'000)) << "within the second of a probe too";
    w.clock.advance(1s);
    EXPECT_TRUE(w.space.grow_metadata(500'000));
}

TEST(Space, what_is_released_is_free_at_once_as_far_as_it_is_off_the_disk) {
    World w({.max_bytes = UINT64_MAX, .min_free_bytes = 400'000}, 500'000);
    w.free = 500'000;
    EXPECT_TRUE(w.space.reserve(100'000));
    EXPECT_FALSE(w.space.reserve(200'000));
    w.free = 600'000;
    EXPECT_FALSE(w.space.reserve(200'000)) << "asked less than a second ago";
    w.space.release(100'000);
    EXPECT_TRUE(w.space.reserve(200'000));
    w.space.release(100'000);
    EXPECT_FALSE(w.space.reserve(300'000)) << "somebody has it open still";
}

TEST(Space, tells_how_much_is_lacking_for_either_limit) {
    World w({.max_bytes = 1000, .min_free_bytes = 100}, 700);
    EXPECT_EQ(w.space.lacks(300), 0u);
    EXPECT_EQ(w.space.lacks(301), 1u);
    EXPECT_EQ(w.space.lacks(UINT64_MAX), UINT64_MAX - 1000);
    EXPECT_TRUE(w.space.could_hold(1000));
    EXPECT_FALSE(w.space.could_hold(1001));
    w.free = 150;
    w.space.release(0);
    EXPECT_EQ(w.space.lacks(300), 250u);
    EXPECT_TRUE(w.space.could_hold(750)) << "all of it but what is kept free";
    EXPECT_FALSE(w.space.could_hold(751));
    EXPECT_FALSE(w.space.could_hold(UINT64_MAX));
}

TEST(Space, a_moved_reservation_counts_once) {
    World w({.max_bytes = 1000, .min_free_bytes = 0});
    Space::Reservation outer;
    {
        auto inner = w.space.reserve(700);
        outer = std::move(*inner);
    }
    EXPECT_EQ(w.space.reserved(), 700u);
    outer = std::move(*w.space.reserve(200));
    EXPECT_EQ(w.space.reserved(), 200u);
    outer = Space::Reservation();
    EXPECT_EQ(w.space.reserved(), 0u);
}

TEST(Space, what_a_reservation_takes_over_counts_once_and_is_given_back_with_it) {
    World w({.max_bytes = 1000, .min_free_bytes = 0});
    {
        Space::Reservation all;
        all.add(std::move(*w.space.reserve(300)));
        all.add(std::move(*w.space.reserve(400)));
        EXPECT_EQ(all.bytes(), 700u);
        EXPECT_EQ(w.space.reserved(), 700u);
        all.add(Space::Reservation());
        all.keep_part(600);
        EXPECT_EQ(w.space.used(), 600u);
        EXPECT_EQ(w.space.reserved(), 100u);
    }
    EXPECT_EQ(w.space.used(), 600u);
    EXPECT_EQ(w.space.reserved(), 0u);
}

TEST(Space, keeps_the_free_bytes_of_the_file_system) {
    World w({.min_free_bytes = 300'000});
    EXPECT_FALSE(w.space.reserve(700'001));
    auto most = w.space.reserve(600'000);
    ASSERT_TRUE(most);
    EXPECT_FALSE(w.space.reserve(100'001));
    EXPECT_TRUE(w.space.reserve(100'000));
}

TEST(Space, what_was_kept_since_the_last_look_is_not_free_any_more) {
    World w({.min_free_bytes = 0});
    auto kept = w.space.reserve(900'000);
    ASSERT_TRUE(kept);
    kept->keep();
    EXPECT_FALSE(w.space.reserve(100'001));
    // The next look sees it on the disk.
    w.free = 100'000;
    w.clock.advance(1s);
    EXPECT_TRUE(w.space.reserve(100'000));
    EXPECT_FALSE(w.space.reserve(100'001));
}

TEST(Space, asks_the_file_system_at_most_once_a_second) {
    World w({});
    for (int i = 0; i < 100; ++i) {
        w.space.reserve(1);
        w.clock.advance(100ms);
    }
    EXPECT_LE(w.probes, 10);
    EXPECT_GE(w.probes, 9);
}

TEST(Space, a_disk_that_does_not_answer_gets_nothing_promised) {
    ManualClock clock;
    bool broken = true;
    Space space(
        {.min_free_bytes = 0}, 0,
        [&] {
            if (broken) throw Failure(Kind::io, "statvfs");
            return DiskSpace{100, 100};
        },
        clock);
    EXPECT_FALSE(space.reserve(1));
    broken = false;
    clock.advance(1s);
    EXPECT_TRUE(space.reserve(1));
}

TEST(Space, sizes_that_make_no_sense_are_refused) {
    World w({.max_bytes = UINT64_MAX, .min_free_bytes = 1}, 100);
    auto one = w.space.reserve(10);
    ASSERT_TRUE(one);
    EXPECT_FALSE(w.space.reserve(UINT64_MAX));
    EXPECT_FALSE(w.space.reserve(UINT64_MAX - 50));
    EXPECT_EQ(w.space.reserved(), 10u);
}

TEST(Space, a_lowered_limit_refuses_until_enough_was_released) {
    World w({.max_bytes = 1000, .min_free_bytes = 0}, 900);
    w.space.set_limits({.max_bytes = 500, .min_free_bytes = 0});
    EXPECT_FALSE(w.space.reserve(0));
    w.space.release(500);
    EXPECT_TRUE(w.space.reserve(100));
    w.space.release(10'000);
    EXPECT_EQ(w.space.used(), 0u);
}

TEST(Space, many_threads_never_get_more_than_there_is) {
    World w({.max_bytes = 10'000, .min_free_bytes = 0});
    std::atomic<uint64_t> held{0};
    std::atomic<bool> over{false};
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 2000; ++i) {
                auto got = w.space.reserve(1000 + static_cast<uint64_t>(i % 7) * 100);
                if (!got) continue;
                const uint64_t bytes = got->bytes();
                if (held.fetch_add(bytes) + bytes > 10'000) over = true;
                if ((i + t) % 3 == 0) got->keep();
                held -= bytes;
                if (got->bytes() == 0) w.space.release(bytes);
            }
        });
    }
    threads.clear();
    EXPECT_FALSE(over);
    EXPECT_EQ(w.space.used(), 0u);
    EXPECT_EQ(w.space.reserved(), 0u);
}

}  // namespace
}  // namespace weir::store
