#include "async/semaphore.h"

#include <algorithm>

namespace weir {

struct Semaphore::State {
    std::mutex mutex;
    size_t permits = 0;
    size_t queue_limit = 0;
    size_t in_use = 0;
    struct Waiter {
        Firing firing;
        std::shared_ptr<bool> granted;
    };
    std::deque<Waiter> queue;

    // Called with the mutex held: hands free places to the first in the queue.
    void grant() {
        while (in_use < permits && !queue.empty()) {
            ++in_use;
            *queue.front().granted = true;
            queue.front().firing.fire();
            queue.pop_front();
        }
    }
    void release() {
        std::lock_guard lock(mutex);
        --in_use;
        grant();
    }
};

Semaphore::Semaphore(size_t permits, size_t queue_limit) : state_(std::make_shared<State>()) {
    state_->permits = permits;
    state_->queue_limit = queue_limit;
}

Semaphore::Permit::~Permit() {
    if (state_) state_->release();
}

Semaphore::Permit& Semaphore::Permit::operator=(Permit&& other) noexcept {
    if (this != &other) {
        if (state_) state_->release();
        state_ = std::move(other.state_);
    }
    return *this;
}

Task<Semaphore::Permit> Semaphore::acquire(TimePoint deadline) {
    auto state = state_;
    Signal signal;
    auto granted = std::make_shared<bool>(false);
    {
        std::lock_guard lock(state->mutex);
        if (state->in_use < state->permits && state->queue.empty()) {
            ++state->in_use;
            co_return Permit(state);
        }
        if (state->queue.size() >= state->queue_limit)
            throw Failure(Kind::overloaded, "too many requests wait for a free place");
        state->queue.push_back({Firing(signal), granted});
    }
    const bool fired = co_await signal.wait(deadline);
    std::lock_guard lock(state->mutex);
    if (*granted) co_return Permit(state);
    check(!fired, "a waiter is fired when granted");
    std::erase_if(state->queue, [&](const auto& w) { return w.granted == granted; });
    throw Failure(Kind::overloaded, "no free place within the request's time");
}

void Semaphore::set_permits(size_t permits) {
    std::lock_guard lock(state_->mutex);
    state_->permits = permits;
    state_->grant();
}

size_t Semaphore::in_use() const {
    std::lock_guard lock(state_->mutex);
    return state_->in_use;
}

size_t Semaphore::waiting() const {
    std::lock_guard lock(state_->mutex);
    return state_->queue.size();
}

}  // namespace weir
