// async/loop.h: one serving thread's event loop.
//
// A Loop is an io_context that exactly one thread runs, plus timers on the injected Clock. State
// that belongs to a loop needs no lock. Only post() may be called from other threads. Loops outlive
// everything that holds a reference to them: they are made first and destroyed last.
#pragma once
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "async/task.h"
#include "base/clock.h"

namespace weir {

class Loop {
public:
    struct TimerId {
        TimePoint at{};
        uint64_t sequence = 0;
        auto operator<=>(const TimerId&) const = default;
    };

    explicit Loop(Clock& clock = system_clock());
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    // The loop that runs the calling thread; a check fails on other threads.
    static Loop& current();
    static Loop* current_or_null();

    boost::asio::io_context& context() { return context_; }
    Executor executor() { return context_.get_executor(); }
    TimePoint now() const { return clock_.now(); }
    Clock& clock() { return clock_; }

    // Any thread. Runs `f` on the loop's thread, never before post() returns.
    template <class F>
    void post(F&& f) {
        boost::asio::post(context_, std::forward<F>(f));
    }

    // Own thread only. Calls `f` once, at or after `at`; kNever never fires. cancel() of a timer
    // that has fired is a no-op.
    TimerId at(TimePoint at, std::move_only_function<void()> f);
    void cancel(TimerId);

    // Serves until stop() (any thread) is called.
    void run();
    void stop();

    // For the simulator and unit tests, instead of run(): runs what is ready and fires due timers
    // until nothing is ready. Returns false when nothing was done.
    bool run_ready();
    // The earliest pending timer; kNever when there is none.
    TimePoint next_timer() const;

private:
    void arm();
    size_t fire_due();

    Clock& clock_;
    // Before the context, whose queued handlers may cancel timers while they are destroyed.
    std::map<TimerId, std::move_only_function<void()>> timers_;
    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<Executor> work_;
    boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                      boost::asio::wait_traits<std::chrono::steady_clock>, Executor>
        alarm_;
    TimePoint armed_ = kNever;
    bool real_time_ = false;
    uint64_t sequence_ = 0;
};

// N loops, each on a thread of its own named loop-0, loop-1, ...
class LoopGroup {
public:
    LoopGroup(size_t count, Clock& clock = system_clock());
    ~LoopGroup();  // stop() and join()
    void start();
    void stop();
    void join();
    size_t size() const { return loops_.size(); }
    Loop& operator[](size_t index) { return *loops_[index]; }

private:
    std::vector<std::unique_ptr<Loop>> loops_;
    std::vector<std::thread> threads_;
};

// Sleeps on the current loop's clock.
Task<> sleep_until(TimePoint);
Task<> sleep_for(Duration);

}  // namespace weir
