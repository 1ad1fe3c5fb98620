#include "async/fair_semaphore.h"

#include <fmt/format.h>

#include <mutex>
#include <utility>

#include "async/shares.h"
#include "async/signal.h"
#include "base/failure.h"

namespace weir {

struct FairSemaphore::State {
    struct Waiter {
        Firing firing;
        std::shared_ptr<bool> granted;  // guarded by the mutex
    };

    State(size_t places, size_t queue_places) : queue(places, queue_places) {}

    std::mutex mutex;
    FairQueue<Waiter> queue;

    // With the mutex held.
    void grant() {
        while (auto waiter = queue.next()) {
            *waiter->granted = true;
            waiter->firing.fire();
        }
    }
    void give_back(const std::string& key) {
        std::lock_guard lock(mutex);
        queue.give_back(key);
        grant();
    }
    std::string counts(const std::string& key) const {
        return fmt::format("{} are under way and {} wait", queue.places().held(key),
                           queue.waiting(key));
    }
};

FairSemaphore::FairSemaphore(size_t places, size_t queue_places)
    : state_(std::make_shared<State>(places, queue_places)) {}

FairSemaphore::Permit::~Permit() {
    release();
}

void FairSemaphore::Permit::release() {
    if (const auto state = std::exchange(state_, nullptr)) state->give_back(key_);
}

FairSemaphore::Permit& FairSemaphore::Permit::operator=(Permit&& other) noexcept {
    if (this != &other) {
        release();
        state_ = std::move(other.state_);
        key_ = std::move(other.key_);
    }
    return *this;
}

Task<FairSemaphore::Permit> FairSemaphore::acquire(std::string key, TimePoint deadline) {
    using Took = FairQueue<State::Waiter>::Took;
    const auto state = state_;
    Signal signal;
    const auto granted = std::make_shared<bool>(false);
    {
        std::lock_guard lock(state->mutex);
        switch (state->queue.take(key, {Firing(signal), granted})) {
            case Took::place:
                co_return Permit(state, std::move(key));
            case Took::full:
                throw Failure(Kind::overloaded,
                              fmt::format("no room to wait in: {}", state->counts(key)));
            case Took::queued:
                break;
        }
    }
    co_await signal.wait(deadline);
    std::lock_guard lock(state->mutex);
    if (*granted) co_return Permit(state, std::move(key));
    const std::string counts = state->counts(key);
    state->queue.withdraw(key, [&](const auto& waiter) { return waiter.granted == granted; });
    throw Failure(Kind::overloaded, fmt::format("no free place in time: {}", counts));
}

size_t FairSemaphore::in_use() const {
    std::lock_guard lock(state_->mutex);
    return state_->queue.places().taken();
}

size_t FairSemaphore::in_use(const std::string& key) const {
    std::lock_guard lock(state_->mutex);
    return state_->queue.places().held(key);
}

size_t FairSemaphore::waiting() const {
    std::lock_guard lock(state_->mutex);
    return state_->queue.waiting();
}

}  // namespace weir
