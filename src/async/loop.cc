#include "async/loop.h"

#include <pthread.h>

#include <fmt/format.h>

#include "async/signal.h"
#include "async/turns.h"
#include "base/check.h"

namespace weir {
namespace {
constexpr size_t kTimersPerTurn = 32;

thread_local Loop* t_current = nullptr;

struct CurrentLoop {
    explicit CurrentLoop(Loop* loop) : before(std::exchange(t_current, loop)) {}
    ~CurrentLoop() { t_current = before; }
    Loop* before;
};
}  // namespace

Loop::Loop(Clock& clock)
    : clock_(clock), work_(boost::asio::make_work_guard(context_)), alarm_(context_) {}

Loop::~Loop() {
    // What the queued handlers own may refer to this loop; let them go while it is whole, and on
    // "its" thread.
    CurrentLoop current(this);
    // Not clear(): what a callback owns may cancel timers while it is destroyed.
    while (!timers_.empty()) std::exchange(timers_, {}).clear();
}

Loop& Loop::current() {
    check(t_current != nullptr, "called on a loop's thread");
    return *t_current;
}

Loop* Loop::current_or_null() {
    return t_current;
}

Loop::TimerId Loop::at(TimePoint when, std::move_only_function<void()> f) {
    TimerId id{when, ++sequence_};
    timers_.emplace(id, std::move(f));
    if (real_time_ && when < armed_) arm();
    return id;
}

void Loop::cancel(TimerId id) {
    // The alarm stays as it is and fires for nothing: re-arming would cost a system call for each
    // request. Out of the map before what it owns is destroyed, which may cancel others.
    const auto cancelled = timers_.extract(id);
}

void Loop::arm() {
    armed_ = next_timer();
    if (armed_ == kNever) {
        alarm_.cancel();
        return;
    }
    alarm_.expires_at(armed_);
    alarm_.async_wait([this](const boost::system::error_code& error) {
        if (error) return;
        fire_due();
        arm();
    });
}

// At most kTimersPerTurn: thousands that are due together, as when an upstream that said nothing to
// thousands comes to its deadline, do not keep the loop from its sockets.
size_t Loop::fire_due() {
    size_t fired = 0;
    const TimePoint now = clock_.now();
    // A timer set by a callback for "now" waits for the next turn, so this ends.
    const uint64_t last = sequence_;
    while (!timers_.empty() && fired < kTimersPerTurn) {
        auto first = timers_.begin();
        if (first->first.at > now || first->first.sequence > last) break;
        auto f = std::move(first->second);
        timers_.erase(first);
        f();
        ++fired;
    }
    return fired;
}

TimePoint Loop::next_timer() const {
    return timers_.empty() ? kNever : timers_.begin()->first.at;
}

void Loop::run() {
    CurrentLoop current(this);
    real_time_ = true;
    // A loop that was stopped before its thread got here stays stopped.
    boost::asio::post(context_, [this] { arm(); });
    context_.run();
}

void Loop::stop() {
    context_.stop();
}

bool Loop::run_ready() {
    CurrentLoop current(this);
    bool any = false;
    for (;;) {
        const size_t done = context_.poll() + fire_due();
        if (done == 0) return any;
        any = true;
    }
}

LoopGroup::LoopGroup(size_t count, Clock& clock) {
    check(count > 0, "a loop group has a loop");
    for (size_t i = 0; i < count; ++i) loops_.push_back(std::make_unique<Loop>(clock));
}

LoopGroup::~LoopGroup() {
    stop();
    join();
}

void LoopGroup::start() {
    for (size_t i = 0; i < loops_.size(); ++i) {
        const std::string name = fmt::format("loop-{}", i);
        threads_.emplace_back([loop = loops_[i].get(), name] {
            Turns turns(name);
            turns.begin(system_clock().now());
            t_turns = &turns;
            loop->run();
            t_turns = nullptr;
        });
        pthread_setname_np(threads_.back().native_handle(), name.c_str());
    }
}

void LoopGroup::stop() {
    for (auto& loop : loops_) loop->stop();
}

void LoopGroup::join() {
    for (auto& thread : threads_) thread.join();
    threads_.clear();
}

Task<> sleep_until(TimePoint deadline) {
    Signal signal;
    co_await signal.wait(deadline);
}

Task<> sleep_for(Duration duration) {
    Signal signal;
    co_await signal.wait(Loop::current().now() + duration);
}

}  // namespace weir
