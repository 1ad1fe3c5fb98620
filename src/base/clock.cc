#include "base/clock.h"

namespace weir {
namespace {
class SystemClock : public Clock {
public:
    TimePoint now() const override { return std::chrono::steady_clock::now(); }
    WallTime wall() const override {
        return std::chrono::time_point_cast<std::chrono::microseconds>(
            std::chrono::system_clock::now());
    }
};
}  // namespace

Clock& system_clock() {
    static SystemClock clock;
    return clock;
}

WallTime ManualClock::wall() const {
    // An arbitrary, fixed day (2026-01-01) plus the time that was let pass.
    constexpr std::chrono::microseconds kStart{1'767'225'600'000'000};
    return WallTime(
        kStart + std::chrono::duration_cast<std::chrono::microseconds>(Duration(now_ns_.load())));
}
}  // namespace weir
