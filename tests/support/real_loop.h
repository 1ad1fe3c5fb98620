// tests/support/real_loop.h: a loop on a thread of its own, for tests with sockets.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <future>
#include <memory>

#include "async/loop.h"
#include "async/scope.h"

namespace weir::test {

class RealLoop {
public:
    explicit RealLoop(size_t count = 1) : loops_(count) { loops_.start(); }
    ~RealLoop() {
        while (scope_.running() != 0) std::this_thread::yield();
    }

    Loop& loop(size_t index = 0) { return loops_[index]; }

    // Starts it; the future has its value.
    template <class F>
    auto start(F make, size_t index = 0) {
        using T = typename std::invoke_result_t<F&>::value_type;
        auto promise = std::make_shared<std::promise<T>>();
        auto future = promise->get_future();
        scope_.spawn(loops_[index], [promise, make = std::move(make)]() mutable {
            return drive<T>(promise, make());
        });
        return future;
    }

    // Its value; a test that takes more than 30 seconds ends the program.
    template <class T>
    static T value_of(std::future<T> future) {
        if (future.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
            ADD_FAILURE() << "no end within 30 seconds";
            std::abort();
        }
        return future.get();
    }

    template <class F>
    auto run(F make) {
        return value_of(start(std::move(make)));
    }

private:
    template <class T>
    static Task<> drive(std::shared_ptr<std::promise<T>> promise, Task<T> task) {
        try {
            if constexpr (std::is_void_v<T>) {
                co_await std::move(task);
                promise->set_value();
            } else {
                promise->set_value(co_await std::move(task));
            }
        } catch (...) {
            promise->set_exception(std::current_exception());
        }
    }

    LoopGroup loops_;
    Scope scope_{"test"};
};

}  // namespace weir::test
