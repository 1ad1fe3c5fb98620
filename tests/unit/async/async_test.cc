// The promises of async/: no lost wake-up, no work twice, no coroutine without a Scope.
#include <gtest/gtest.h>

#include "async/loop.h"
#include "async/pool.h"
#include "async/scope.h"
#include "async/semaphore.h"
#include "async/signal.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

// A loop on a clock that stands still until told.
struct World {
    ManualClock clock;
    Loop loop{clock};
    Scope scope{"test"};

    void spawn(std::function<Task<>()> f) { scope.spawn(loop, std::move(f)); }
    void advance(Duration by) {
        clock.advance(by);
        loop.run_ready();
    }
};

TEST(Loop, fires_timers_in_order_and_never_early) {
    World w;
    std::vector<int> seen;
    w.loop.at(w.clock.now() + 20ms, [&] { seen.push_back(2); });
    w.loop.at(w.clock.now() + 10ms, [&] { seen.push_back(1); });
    auto cancelled = w.loop.at(w.clock.now() + 5ms, [&] { seen.push_back(0); });
    w.loop.cancel(cancelled);
    w.advance(9ms);
    EXPECT_TRUE(seen.empty());
    w.advance(11ms);
    EXPECT_EQ(seen, (std::vector<int>{1, 2}));
    EXPECT_EQ(w.loop.next_timer(), kNever);
}

TEST(Loop, timers_may_cancel_each_other_while_they_are_destroyed) {
    ManualClock clock;
    auto loop = std::make_unique<Loop>(clock);
    int destroyed = 0;
    std::vector<Loop::TimerId> ids(8);
    for (size_t i = 0; i < ids.size(); ++i) {
        auto owned = std::shared_ptr<void>(nullptr, [&, i](void*) {
            ++destroyed;
            loop->cancel(ids[(i + 1) % ids.size()]);
            loop->cancel(ids[(i + 5) % ids.size()]);
        });
        ids[i] = loop->at(clock.now() + 1s, [owned = std::move(owned)] {});
    }
    loop->cancel(ids[3]);
    EXPECT_EQ(destroyed, 8);
    for (size_t i = 0; i < 8; ++i) {
        auto owned = std::shared_ptr<void>(nullptr, [raw = loop.get(), &ids](void*) {
            for (auto id : ids) raw->cancel(id);
        });
        ids[i] = loop->at(clock.now() + 1s, [owned = std::move(owned)] {});
    }
    loop.reset();
}

TEST(Signal, a_fire_before_the_wait_is_not_lost) {
    World w;
    int woken = 0;
    w.spawn([&]() -> Task<> {
        Signal signal;
        signal.fire();
        co_await sleep_for(1ms);
        if (co_await signal.wait(Loop::current().now() + 1s)) ++woken;
    });
    w.loop.run_ready();
    w.advance(1ms);
    EXPECT_EQ(woken, 1);
}

TEST(Signal, the_deadline_ends_a_wait_and_a_late_fire_is_harmless) {
    World w;
    bool fired = true;
    std::optional<Firing> late;
    w.spawn([&]() -> Task<> {
        Signal signal;
        late.emplace(signal);
        fired = co_await signal.wait(Loop::current().now() + 5ms);
    });
    w.loop.run_ready();
    w.advance(5ms);
    EXPECT_FALSE(fired);
    late->fire();
    w.loop.run_ready();
}

TEST(Signal, wakes_across_threads_without_loss) {
    LoopGroup loops(2);
    loops.start();
    Scope scope("test");
    std::atomic<int> received{0};
    constexpr int kRounds = 2000;
    std::atomic<bool> done{false};
    auto value = std::make_shared<std::atomic<int>>(0);
    auto firing = std::make_shared<std::optional<Firing>>();
    std::atomic<bool> ready{false};
    scope.spawn(loops[0], [&, value, firing]() -> Task<> {
        Signal signal;
        firing->emplace(signal);
        ready = true;
        while (received < kRounds) {
            const int now = value->load();
            if (now > received) {
                received = now;
            } else {
                EXPECT_TRUE(co_await signal.wait(Loop::current().now() + 10s));
            }
        }
        done = true;
    });
    while (!ready) std::this_thread::yield();
    for (int i = 0; i < kRounds; ++i) {
        value->fetch_add(1);
        (*firing)->fire();
    }
    while (!done) std::this_thread::yield();
    EXPECT_EQ(received, kRounds);
    while (scope.running() != 0) std::this_thread::yield();
}

TEST(Pool, gives_back_the_value_or_the_exception_on_the_callers_loop) {
    LoopGroup loops(1);
    loops.start();
    ThreadPool pool("pool", 2);
    Scope scope("test");
    std::atomic<bool> done{false};
    scope.spawn(loops[0], [&]() -> Task<> {
        const auto home = std::this_thread::get_id();
        const int sum = co_await pool.run([] { return 40 + 2; });
        EXPECT_EQ(sum, 42);
        EXPECT_EQ(std::this_thread::get_id(), home);
        bool thrown = false;
        try {
            co_await pool.run([]() { throw Failure(Kind::io, "broken"); });
        } catch (const Failure& failure) {
            thrown = failure.kind() == Kind::io;
        }
        EXPECT_TRUE(thrown);
        done = true;
    });
    while (!done) std::this_thread::yield();
    while (scope.running() != 0) std::this_thread::yield();
}

TEST(Pool, what_the_job_owned_is_gone_when_the_caller_resumes) {
    LoopGroup loops(1);
    loops.start();
    ThreadPool pool("pool", 1);
    Scope scope("test");
    std::atomic<int> left_over{0};
    scope.spawn(loops[0], [&]() -> Task<> {
        for (int i = 0; i < 2000; ++i) {
            auto owned = std::make_shared<int>(i);
            const int value = co_await pool.run([copy = owned] { return *copy; });
            if (value != i || owned.use_count() != 1) ++left_over;
        }
    });
    while (scope.running() != 0) std::this_thread::yield();
    EXPECT_EQ(left_over, 0);
}

TEST(Semaphore, admits_in_order_and_refuses_beyond_its_queue) {
    World w;
    Semaphore semaphore(1, 1);
    std::vector<int> order;
    auto worker = [&](int id) {
        return [&, id]() -> Task<> {
            try {
                auto permit = co_await semaphore.acquire(Loop::current().now() + 1s);
                order.push_back(id);
                co_await sleep_for(10ms);
            } catch (const Failure& failure) {
                EXPECT_EQ(failure.kind(), Kind::overloaded);
                order.push_back(-id);
            }
        };
    };
    w.spawn(worker(1));
    w.spawn(worker(2));
    w.spawn(worker(3));
    w.loop.run_ready();
    EXPECT_EQ(order, (std::vector<int>{1, -3}));
    w.advance(10ms);
    w.advance(10ms);
    EXPECT_EQ(order, (std::vector<int>{1, -3, 2}));
    EXPECT_EQ(semaphore.in_use(), 0u);
}

TEST(Flight, the_work_is_done_once_for_all_who_ask_meanwhile) {
    World w;
    Flight<std::string, int> flight(w.scope);
    int runs = 0;
    std::vector<int> got;
    auto work = [&]() -> Task<int> {
        ++runs;
        co_await sleep_for(10ms);
        co_return 7;
    };
    for (int i = 0; i < 3; ++i) {
        w.spawn([&]() -> Task<> {
            got.push_back(co_await flight.run("k", work, Loop::current().now() + 1s));
        });
    }
    w.loop.run_ready();
    w.advance(10ms);
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(got, (std::vector<int>{7, 7, 7}));
    EXPECT_EQ(flight.size(), 0u);
}

TEST(Flight, a_caller_whose_time_is_up_leaves_and_the_work_goes_on) {
    World w;
    Flight<std::string, int> flight(w.scope);
    bool finished = false;
    Kind kind = Kind::internal;
    w.spawn([&]() -> Task<> {
        try {
            co_await flight.run(
                "k",
                [&]() -> Task<int> {
                    co_await sleep_for(50ms);
                    finished = true;
                    co_return 1;
                },
                Loop::current().now() + 10ms);
        } catch (const Failure& failure) {
            kind = failure.kind();
        }
    });
    w.loop.run_ready();
    w.advance(10ms);
    EXPECT_EQ(kind, Kind::upstream_timeout);
    EXPECT_FALSE(finished);
    w.advance(40ms);
    EXPECT_TRUE(finished);
}

}  // namespace
}  // namespace weir
