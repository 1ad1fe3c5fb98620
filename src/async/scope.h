// async/scope.h: every coroutine belongs to one.
//
// A Scope counts the coroutines spawned into it, on whatever loops. Its owner awaits join() before
// it dies; a check fails otherwise. An exception that leaves a spawned coroutine is a bug: it is
// logged as an error and counted.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "async/loop.h"
#include "async/signal.h"
#include "async/task.h"

namespace weir {

class Scope {
public:
    explicit Scope(std::string name);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    // Any thread. `start` is stored for as long as its coroutine lives, so it may be a capturing
    // lambda; it is called on `loop`, never inside spawn().
    void spawn(Loop& loop, std::function<Task<>()> start);

    // Until no coroutine is left. New ones may still be spawned meanwhile; join() waits for them
    // too.
    Task<> join();
    size_t running() const;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace weir
