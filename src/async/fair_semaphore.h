// async/fair_semaphore.h: places that coroutines wait for, shared by key (async/shares.h has the
// rule).
#pragma once
#include <memory>
#include <string>

#include "async/task.h"
#include "base/clock.h"

namespace weir {

// Any loop. A Permit gives its place back when it dies; it may outlive the semaphore.
class FairSemaphore {
    struct State;

public:
    class Permit {
    public:
        Permit() = default;
        Permit(Permit&&) noexcept = default;
        Permit& operator=(Permit&&) noexcept;
        ~Permit();
        bool holds() const { return state_ != nullptr; }
        // Gives the place back now.
        void release();

    private:
        friend class FairSemaphore;
        Permit(std::shared_ptr<State> state, std::string key)
            : state_(std::move(state)), key_(std::move(key)) {}
        std::shared_ptr<State> state_;
        std::string key_;
    };

    // `queue_places`: how many may wait, shared in the same way.
    FairSemaphore(size_t places, size_t queue_places);

    // Throws Failure{overloaded} when the key's share of the queue is full, or the deadline passes;
    // its text says how many places the key has and how many wait for them.
    Task<Permit> acquire(std::string key, TimePoint deadline);

    size_t in_use() const;
    size_t in_use(const std::string& key) const;
    size_t waiting() const;

private:
    std::shared_ptr<State> state_;
};

}  // namespace weir
