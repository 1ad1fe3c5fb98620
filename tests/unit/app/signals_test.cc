#include "app/signals.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

namespace weir::app {
namespace {

TEST(Signals, are_waited_for_in_the_main_thread) {
    Signals signals;
    pthread_kill(pthread_self(), SIGHUP);
    EXPECT_EQ(signals.wait(), Wake::hangup);
    pthread_kill(pthread_self(), SIGTERM);
    EXPECT_EQ(signals.wait(), Wake::terminate);
    pthread_kill(pthread_self(), SIGINT);
    EXPECT_EQ(signals.wait(), Wake::terminate);
}

TEST(Signals, a_timeout_ends_the_wait) {
    Signals signals;
    EXPECT_EQ(signals.wait(std::chrono::milliseconds(5)), Wake::timeout);
}

TEST(Signals, another_thread_can_say_that_it_is_done) {
    Signals signals;
    std::thread other([&signals] { signals.notify_done(); });
    EXPECT_EQ(signals.wait(), Wake::done);
    other.join();
}

TEST(Signals, a_closed_pipe_does_not_end_the_process) {
    const Signals signals;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    close(ends[0]);
    EXPECT_EQ(write(ends[1], "x", 1), -1);
    close(ends[1]);
}

}  // namespace
}  // namespace weir::app
