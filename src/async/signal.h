// async/signal.h: the only wake-up that crosses threads.
//
// A Signal belongs to the loop it was made on. One coroutine of that loop waits; any thread fires.
// A fire with nobody waiting is kept (once), so "register, check the condition, wait" loses no
// wake-up. fire() may come after the Signal's death: the shared state takes it.
#pragma once
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "async/loop.h"
#include "async/task.h"
#include "base/check.h"

namespace weir {

class Signal {
public:
    Signal();  // on the current loop
    ~Signal();
    Signal(Signal&&) noexcept = default;
    Signal& operator=(Signal&&) noexcept = default;

    // true: fired (and the fire is used up). false: the deadline came first. Own loop only.
    Task<bool> wait(TimePoint deadline = kNever);
    // Any thread, any number of times.
    void fire() const noexcept;

private:
    struct State;
    friend class Firing;
    std::shared_ptr<State> state_;
};

// A copyable handle that can only fire: what a waiter leaves in somebody's list. Firing for a dead
// Signal does nothing.
class Firing {
public:
    explicit Firing(const Signal&);
    void fire() const noexcept;
    bool operator==(const Firing& other) const { return state_.get() == other.state_.get(); }

private:
    std::shared_ptr<Signal::State> state_;
};

// One value from any thread to one coroutine.
template <class T>
class Reply {
public:
    Reply() : slot_(std::make_shared<Slot>()) {}

    // What the other side keeps: sets the value or the exception, once. Any thread.
    class Setter {
    public:
        template <class... Args>
        void set(Args&&... args) const {
            put(Result(std::in_place_index<0>, std::forward<Args>(args)...));
        }
        void fail(std::exception_ptr error) const { put(Result(std::in_place_index<1>, error)); }

    private:
        friend class Reply;
        using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
        using Result = std::variant<Value, std::exception_ptr>;
        struct Slot {
            Signal signal;
            std::mutex mutex;
            std::optional<Result> result;
        };
        explicit Setter(std::shared_ptr<Slot> slot) : slot_(std::move(slot)) {}
        void put(Result result) const {
            {
                std::lock_guard lock(slot_->mutex);
                check(!slot_->result.has_value(), "a reply is given once");
                slot_->result.emplace(std::move(result));
            }
            slot_->signal.fire();
        }
        std::shared_ptr<Slot> slot_;
    };
    using Slot = typename Setter::Slot;

    Setter setter() const { return Setter(slot_); }

    // Waits without a deadline of its own: whoever took the setter promises to answer.
    Task<T> take() {
        auto slot = slot_;
        for (;;) {
            {
                std::lock_guard lock(slot->mutex);
                if (slot->result) break;
            }
            co_await slot->signal.wait();
        }
        if (slot->result->index() == 1) std::rethrow_exception(std::get<1>(*slot->result));
        if constexpr (!std::is_void_v<T>) co_return std::get<0>(std::move(*slot->result));
    }

private:
    std::shared_ptr<Slot> slot_;
};

}  // namespace weir
