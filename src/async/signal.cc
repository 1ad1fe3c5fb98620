#include "async/signal.h"

#include <boost/asio/async_result.hpp>

#include <functional>

namespace weir {

struct Signal::State {
    explicit State(Loop& l) : loop(l) {}
    Loop& loop;
    std::atomic<bool> posted{false};  // a wake-up is on its way to the loop
    // The rest belongs to the loop's thread.
    bool fired = false;
    std::move_only_function<void(bool)> waiting;
    Loop::TimerId timer;

    void resume(bool by_fire) {
        // Moved out first: the coroutine may wait again, or end and take this state's Signal with
        // it.
        auto handler = std::exchange(waiting, nullptr);
        loop.cancel(timer);
        handler(by_fire);
    }
};

namespace {
template <class State>
void fire_state(const std::shared_ptr<State>& state) noexcept {
    if (state->posted.exchange(true, std::memory_order_acq_rel)) return;
    state->loop.post([state] {
        // Read and written in one step: a fire() that saw `posted` and left it at that has set its
        // condition before, and the waiter must see it. After a plain store the processor may read
        // the condition first.
        state->posted.exchange(false, std::memory_order_acq_rel);
        if (state->waiting) {
            state->resume(true);
        } else {
            state->fired = true;
        }
    });
}
}  // namespace

Signal::Signal() : state_(std::make_shared<State>(Loop::current())) {}
Signal::~Signal() = default;

void Signal::fire() const noexcept {
    fire_state(state_);
}

Task<bool> Signal::wait(TimePoint deadline) {
    auto state = state_;
    if (state->fired) {
        state->fired = false;
        co_return true;
    }
    if (state->loop.now() >= deadline) co_return false;
    check(!state->waiting, "one coroutine waits on a signal");
    co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<Executor>,
                                                   void(bool)>(
        [state, deadline](auto handler) {
            // Not any_completion_handler: Asio 1.26's recurses for ever when it is moved.
            state->waiting = [held = std::move(handler)](bool by_fire) mutable {
                std::move(held)(by_fire);
            };
            if (deadline != kNever) {
                // The state outlives the timer's callback only through its waiter: a Signal that
                // dies takes the timer's reference with it when it fires.
                state->timer = state->loop.at(deadline, [state] {
                    if (state->waiting) state->resume(false);
                });
            }
        },
        use_task);
}

Firing::Firing(const Signal& signal) : state_(signal.state_) {}
void Firing::fire() const noexcept {
    fire_state(state_);
}

}  // namespace weir
