// The promises of async/turns.h.
#include "async/turns.h"

#include <gtest/gtest.h>

#include <thread>

#include "async/loop.h"
#include "async/scope.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

double gauge(const std::string& thread) {
    return metrics::gauge("weir_thread_longest_turn_seconds", "", {{"thread", thread}}).Value();
}
double stalls(const std::string& thread) {
    return metrics::counter("weir_thread_stalls_total", "", {{"thread", thread}}).Value();
}

struct Thread {
    explicit Thread(std::string name) : turns(std::move(name)) {}
    void turn(Duration work, Duration wait = 0ms) {
        turns.begin(clock.now());
        clock.advance(work);
        turns.end(clock.now());
        clock.advance(wait);
    }
    ManualClock clock;
    Turns turns;
};

TEST(Turns, the_longest_of_the_last_minute_or_two_is_shown) {
    Thread t("t-longest");
    t.turn(3ms);
    t.turn(20ms);
    t.turn(1ms);
    EXPECT_EQ(t.turns.longest(), 20ms);
    EXPECT_DOUBLE_EQ(gauge("t-longest"), 0.020);
    t.turn(1ms, 61s);
    t.turn(2ms);
    EXPECT_EQ(t.turns.longest(), 20ms) << "of the minute before";
    t.turn(1ms, 61s);
    t.turn(4ms);
    EXPECT_EQ(t.turns.longest(), 4ms);
    t.turn(1ms, 10min);
    t.turn(1ms);
    EXPECT_DOUBLE_EQ(gauge("t-longest"), 0.001);
}

TEST(Turns, waiting_is_no_work) {
    Thread t("t-wait");
    for (int i = 0; i < 10; ++i) t.turn(1ms, 5s);
    EXPECT_EQ(t.turns.longest(), 1ms);
    EXPECT_EQ(t.turns.stalls(), 0u);
}

TEST(Turns, each_turn_of_100_ms_is_counted_also_when_one_was_longer) {
    Thread t("t-stalls");
    t.turn(99ms);
    EXPECT_EQ(stalls("t-stalls"), 0);
    t.turn(300ms);
    t.turn(100ms);
    t.turn(150ms);
    EXPECT_EQ(stalls("t-stalls"), 3);
}

TEST(Turns, a_loop_measures_its_own) {
    LoopGroup loops(1);
    loops.start();
    const double before = stalls("loop-0");
    std::atomic<bool> done{false};
    loops[0].post([] {
        const auto until = std::chrono::steady_clock::now() + Turns::kLongTurn + 1ms;
        while (std::chrono::steady_clock::now() < until) {
        }
    });
    // In a later turn.
    std::thread asking([&] {
        while (stalls("loop-0") == before) {
            loops[0].post([] {});
            std::this_thread::yield();
        }
        done = true;
    });
    asking.join();
    EXPECT_TRUE(done);
    EXPECT_GE(gauge("loop-0"), 0.1);
}

}  // namespace
}  // namespace weir
