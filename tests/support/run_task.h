// tests/support/run_task.h: a coroutine run to its end by a plain test.
#pragma once
#include <exception>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "async/loop.h"
#include "async/pool.h"
#include "async/scope.h"

namespace weir {

// A pool that does its jobs where they are posted: nothing happens at the same time as anything
// else.
class InlinePool : public Pool {
public:
    void post(std::move_only_function<void()> job) override { job(); }
};

// Runs what `make` starts on this thread's loop until it ends; gives its value or throws its
// exception.
template <class F>
auto run_task(F make) {
    using Result = typename std::invoke_result_t<F&>::value_type;
    using Value = std::conditional_t<std::is_void_v<Result>, bool, Result>;
    // Outlives the call: a pool's thread may still be leaving the post() that woke us.
    thread_local Loop loop;
    std::optional<Value> value;
    std::exception_ptr error;
    {
        Scope scope("run_task");
        scope.spawn(loop, [&make, &value, &error]() -> Task<> {
            try {
                if constexpr (std::is_void_v<Result>) {
                    co_await make();
                    value.emplace(true);
                } else {
                    value.emplace(co_await make());
                }
            } catch (...) {
                error = std::current_exception();
            }
        });
        while (scope.running() != 0)
            if (!loop.run_ready()) std::this_thread::yield();
    }
    if (error) std::rethrow_exception(error);
    if constexpr (!std::is_void_v<Result>) return std::move(*value);
}

}  // namespace weir
