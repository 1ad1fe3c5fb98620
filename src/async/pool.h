// async/pool.h: threads for what may block: the database, fsync, cold reads, unlink.
//
// The queue is bounded by what awaits it: each coroutine has at most one job queued, and coroutines
// are bounded by the limits on connections and fetches.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "async/signal.h"
#include "async/task.h"

namespace weir {

class Pool {
public:
    virtual ~Pool() = default;
    // Any thread. Runs the job on some pool thread, in order of arrival where the pool has one
    // thread.
    virtual void post(std::move_only_function<void()> job) = 0;

    // Runs `f` on the pool and resumes the caller on its own loop with the result or the exception.
    // `f` must own, or be sure to outlive, what it uses: the caller waits for it to end, always. It
    // is destroyed before the caller resumes.
    template <class F>
    Task<std::invoke_result_t<F&>> run(F f) {
        using T = std::invoke_result_t<F&>;
        Reply<T> reply;
        post([setter = reply.setter(), f = std::move(f)]() mutable {
            try {
                if constexpr (std::is_void_v<T>) {
                    run_and_destroy(f);
                    setter.set();
                } else {
                    setter.set(run_and_destroy(f));
                }
            } catch (...) {
                setter.fail(std::current_exception());
            }
        });
        co_return co_await reply.take();
    }

private:
    template <class F>
    static std::invoke_result_t<F&> run_and_destroy(F& f) {
        F own = std::move(f);
        return own();
    }
};

// `count` threads named <name>-0, ...; the destructor runs what is queued, then joins.
class ThreadPool : public Pool {
public:
    ThreadPool(const std::string& name, size_t count);
    ~ThreadPool() override;
    void post(std::move_only_function<void()> job) override;
    size_t queued() const;

private:
    void work();
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::move_only_function<void()>> jobs_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace weir
