// async/semaphore.h: at most so many at once, the others wait in order; and the same work for many
// callers done once.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "async/scope.h"
#include "async/signal.h"
#include "async/task.h"
#include "base/failure.h"

namespace weir {

// Any loop. Fair: first come, first served. A Permit gives its place back when it dies.
class Semaphore {
    struct State;

public:
    class Permit {
    public:
        Permit() = default;
        Permit(Permit&&) noexcept = default;
        Permit& operator=(Permit&&) noexcept;
        ~Permit();

    private:
        friend class Semaphore;
        explicit Permit(std::shared_ptr<State> state) : state_(std::move(state)) {}
        std::shared_ptr<State> state_;
    };

    // `queue_limit`: how many may wait; one more is Failure{overloaded}.
    Semaphore(size_t permits, size_t queue_limit);
    // Throws Failure{overloaded} when the queue is full or the deadline passes.
    Task<Permit> acquire(TimePoint deadline);
    void set_permits(size_t permits);
    size_t in_use() const;
    size_t waiting() const;

private:
    std::shared_ptr<State> state_;
};

// Single flight: callers of run() with a key that is under way wait for that run's result instead
// of starting their own. The work belongs to the key, not to the first caller: it runs in `scope`
// and goes on when callers leave.
template <class Key, class Value>
class Flight {
public:
    explicit Flight(Scope& scope) : scope_(scope) {}

    // Failure{upstream_timeout} when the deadline passes first; the work goes on.
    Task<Value> run(Key key, std::function<Task<Value>()> work, TimePoint deadline) {
        std::shared_ptr<Entry> entry;
        Signal signal;
        {
            std::lock_guard lock(mutex_);
            auto [at, fresh] = entries_.try_emplace(key);
            if (fresh) {
                at->second = std::make_shared<Entry>();
                start(key, at->second, std::move(work));
            }
            entry = at->second;
        }
        for (;;) {
            {
                std::lock_guard lock(entry->mutex);
                if (entry->error) std::rethrow_exception(entry->error);
                if (entry->value) co_return *entry->value;
                entry->waiters.push_back(Firing(signal));
            }
            if (!co_await signal.wait(deadline))
                throw Failure(Kind::upstream_timeout, "no answer within the request's time");
        }
    }

    // Starts the work unless it is under way; nobody waits.
    void start_behind(Key key, std::function<Task<Value>()> work) {
        std::lock_guard lock(mutex_);
        auto [at, fresh] = entries_.try_emplace(key);
        if (!fresh) return;
        at->second = std::make_shared<Entry>();
        start(key, at->second, std::move(work));
    }

    size_t size() const {
        std::lock_guard lock(mutex_);
        return entries_.size();
    }

private:
    struct Entry {
        std::mutex mutex;
        std::optional<Value> value;
        std::exception_ptr error;
        std::vector<Firing> waiters;
    };

    void start(const Key& key, std::shared_ptr<Entry> entry, std::function<Task<Value>()> work) {
        scope_.spawn(Loop::current(),
                     [this, key, entry, work]() { return drive(key, entry, work); });
    }

    Task<> drive(Key key, std::shared_ptr<Entry> entry, std::function<Task<Value>()> work) {
        std::optional<Value> value;
        std::exception_ptr error;
        try {
            value.emplace(co_await work());
        } catch (...) {
            error = std::current_exception();
        }
        {
            std::lock_guard lock(mutex_);
            entries_.erase(key);
        }
        std::vector<Firing> waiters;
        {
            std::lock_guard lock(entry->mutex);
            entry->value = std::move(value);
            entry->error = error;
            waiters.swap(entry->waiters);
        }
        for (const auto& waiter : waiters) waiter.fire();
    }

    Scope& scope_;
    mutable std::mutex mutex_;
    std::map<Key, std::shared_ptr<Entry>> entries_;
};

}  // namespace weir
