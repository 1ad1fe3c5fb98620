#include "async/scope.h"

#include <boost/asio/co_spawn.hpp>

#include "base/check.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/metrics.h"

namespace weir {

struct Scope::State {
    std::string name;
    mutable std::mutex mutex;
    size_t running = 0;
    std::vector<Firing> joiners;

    void ended(std::exception_ptr error) {
        if (error) report(error);
        std::vector<Firing> wake;
        {
            std::lock_guard lock(mutex);
            if (--running == 0) wake.swap(joiners);
        }
        for (const auto& joiner : wake) joiner.fire();
    }

    void report(const std::exception_ptr& error) const {
        static auto& bugs = metrics::counter("weir_unhandled_exceptions_total",
                                             "Exceptions that left a coroutine; each is a bug");
        bugs.Increment();
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& e) {
            log::error("async", "a coroutine of {} ended with: {}", name, e.what());
        } catch (...) {
            log::error("async", "a coroutine of {} ended with an unknown exception", name);
        }
    }
};

Scope::Scope(std::string name) : state_(std::make_shared<State>()) {
    state_->name = std::move(name);
}

Scope::~Scope() {
    check(running() == 0, "a scope is joined before it dies");
}

void Scope::spawn(Loop& loop, std::function<Task<>()> start) {
    {
        std::lock_guard lock(state_->mutex);
        ++state_->running;
    }
    auto held = std::make_shared<std::function<Task<>()>>(std::move(start));
    loop.post([state = state_, held, &loop] {
        boost::asio::co_spawn(loop.context(), (*held)(),
                              [state, held](std::exception_ptr error) { state->ended(error); });
    });
}

Task<> Scope::join() {
    auto state = state_;
    Signal signal;
    for (;;) {
        {
            std::lock_guard lock(state->mutex);
            if (state->running == 0) co_return;
            state->joiners.push_back(Firing(signal));
        }
        co_await signal.wait();
    }
}

size_t Scope::running() const {
    std::lock_guard lock(state_->mutex);
    return state_->running;
}

}  // namespace weir
