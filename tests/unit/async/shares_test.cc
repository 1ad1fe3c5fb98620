// The rule of async/shares.h, and the semaphore that keeps to it.
#include "async/shares.h"

#include <gtest/gtest.h>

#include <numeric>

#include "async/fair_semaphore.h"
#include "async/loop.h"
#include "async/scope.h"
#include "base/failure.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

size_t take_all(Shares& shares, const std::string& key) {
    size_t taken = 0;
    for (; shares.may_take(key); ++taken) shares.take(key);
    return taken;
}

TEST(Shares, one_key_alone_reaches_three_quarters_and_small_totals_whole) {
    const std::pair<size_t, size_t> cases[] = {{1, 1},   {2, 2},   {3, 3},   {4, 3},    {8, 6},
                                               {16, 12}, {64, 48}, {96, 72}, {512, 384}};
    for (const auto& [total, most] : cases) {
        Shares shares(total);
        EXPECT_EQ(take_all(shares, "a"), most) << total;
    }
}

TEST(Shares, whoever_is_new_has_places_however_many_misbehave) {
    for (const size_t total : {1u, 2u, 16u, 64u, 96u}) {
        Shares shares(total);
        for (int i = 0; i < 50; ++i)
            EXPECT_GE(take_all(shares, "bad" + std::to_string(i)), std::max<size_t>(total / 16, 1));
        EXPECT_GE(take_all(shares, "good"), std::max<size_t>(total / 16, 1)) << total;
    }
}

TEST(Shares, what_is_given_back_can_be_taken_by_others) {
    Shares shares(64);
    take_all(shares, "a");
    const size_t before = take_all(shares, "b");
    for (int i = 0; i < 24; ++i) shares.give_back("a");
    EXPECT_GT(before + take_all(shares, "b"), 24u);
    EXPECT_EQ(shares.held("a"), 24u);
}

TEST(FairQueue, keys_take_turns_and_each_is_served_in_order) {
    FairQueue<std::string> queue(1, 64);
    using Took = FairQueue<std::string>::Took;
    ASSERT_EQ(queue.take("a", "a0"), Took::place);
    ASSERT_EQ(queue.take("b", "b0"), Took::place) << "its own";
    for (const std::string waiter : {"a1", "a2", "a3"})
        ASSERT_EQ(queue.take("a", waiter), Took::queued);
    for (const std::string waiter : {"b1", "b2"}) ASSERT_EQ(queue.take("b", waiter), Took::queued);
    std::vector<std::string> order;
    std::string holds_a = "a", holds_b = "b";
    for (int i = 0; i < 5; ++i) {
        queue.give_back(i % 2 == 0 ? "a" : "b");
        while (auto waiter = queue.next()) order.push_back(*waiter);
    }
    EXPECT_EQ(order, (std::vector<std::string>{"a1", "b1", "a2", "b2", "a3"}));
    EXPECT_EQ(queue.waiting(), 0u);
}

TEST(FairQueue, a_queue_full_of_one_key_has_room_for_another) {
    FairQueue<int> queue(1, 16);
    using Took = FairQueue<int>::Took;
    queue.take("a", 0);
    size_t queued = 0;
    while (queue.take("a", 1) == Took::queued) ++queued;
    EXPECT_EQ(queued, 12u);
    queue.take("b", 0);
    EXPECT_EQ(queue.take("b", 1), Took::queued);
}

struct World {
    ManualClock clock;
    Loop loop{clock};
    Scope scope{"test"};
    FairSemaphore semaphore{4, 8};
    std::vector<std::string> seen;

    void work(const std::string& key, const std::string& name, Duration patience, Duration time) {
        scope.spawn(loop, [=, this]() -> Task<> {
            try {
                const auto permit = co_await semaphore.acquire(key, clock.now() + patience);
                seen.push_back(name);
                co_await sleep_for(time);
            } catch (const Failure& failure) {
                EXPECT_EQ(failure.kind(), Kind::overloaded);
                seen.push_back("no " + name + ": " + failure.what());
            }
        });
        loop.run_ready();
    }
    void advance(Duration by) {
        clock.advance(by);
        loop.run_ready();
    }
};

TEST(FairSemaphore, a_key_that_takes_all_it_can_get_does_not_delay_another) {
    World w;
    for (int i = 0; i < 6; ++i) w.work("bad", "bad", 1h, 1h);
    EXPECT_EQ(w.semaphore.in_use("bad"), 3u);
    w.work("good", "good", 1s, 1ms);
    EXPECT_EQ(w.seen.back(), "good");
    w.advance(2h);
    w.advance(2h);
    EXPECT_EQ(w.semaphore.in_use(), 0u);
    EXPECT_EQ(w.semaphore.waiting(), 0u);
}

TEST(FairSemaphore, who_waits_too_long_leaves_the_queue_and_is_told_how_it_stands) {
    World w;
    for (int i = 0; i < 3; ++i) w.work("a", "a", 1h, 1h);
    w.work("a", "late", 1s, 1h);
    EXPECT_EQ(w.semaphore.waiting(), 1u);
    w.advance(1s);
    EXPECT_EQ(w.seen.back(), "no late: no free place in time: 3 are under way and 1 wait");
    EXPECT_EQ(w.semaphore.waiting(), 0u);
    w.advance(1h);
    EXPECT_EQ(w.semaphore.in_use(), 0u);
}

TEST(FairSemaphore, a_permit_may_be_given_back_before_its_end_and_moved) {
    World w;
    w.scope.spawn(w.loop, [&]() -> Task<> {
        auto permit = co_await w.semaphore.acquire("a", kNever);
        auto other = std::move(permit);
        EXPECT_FALSE(permit.holds());
        EXPECT_TRUE(other.holds());
        other.release();
        EXPECT_EQ(w.semaphore.in_use(), 0u);
        other = co_await w.semaphore.acquire("b", kNever);
        EXPECT_EQ(w.semaphore.in_use("b"), 1u);
    });
    w.loop.run_ready();
    EXPECT_EQ(w.semaphore.in_use(), 0u);
}

}  // namespace
}  // namespace weir
