// tests/support/jumping_clock.h: a ManualClock whose calendar can be set, as an administrator or
// NTP sets that of a machine, while its monotonic time goes on.
#pragma once
#include <atomic>

#include "base/clock.h"

namespace weir {

class JumpingClock : public ManualClock {
public:
    WallTime wall() const override {
        return ManualClock::wall() + std::chrono::microseconds(jump_us_.load());
    }
    void jump(Duration by) {
        jump_us_ += std::chrono::duration_cast<std::chrono::microseconds>(by).count();
    }

private:
    std::atomic<int64_t> jump_us_{0};
};

}  // namespace weir
