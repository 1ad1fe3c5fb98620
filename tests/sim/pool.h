// tests/sim/pool.h: a pool whose jobs run on the loop, each as a whole, after a seeded delay.
#pragma once
#include <functional>
#include <memory>

#include "async/loop.h"
#include "async/pool.h"
#include "base/random.h"

namespace weir::sim {

class SimPool : public Pool {
public:
    // No `random`: every job takes `longest`, and they run in order.
    SimPool(Loop& loop, Random* random, Duration longest)
        : loop_(loop), random_(random), longest_(longest) {}

    void post(std::move_only_function<void()> job) override {
        Duration delay = longest_;
        if (random_) delay = Duration(random_->below(static_cast<uint64_t>(longest_.count()) + 1));
        ++waiting_;
        loop_.at(loop_.now() + delay, [this, job = std::move(job)]() mutable {
            --waiting_;
            job();
            if (after_job) after_job();
        });
    }
    std::function<void()> after_job;
    size_t waiting() const { return waiting_; }

private:
    Loop& loop_;
    Random* random_;
    Duration longest_;
    size_t waiting_ = 0;
};

}  // namespace weir::sim
