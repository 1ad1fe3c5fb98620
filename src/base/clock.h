// base/clock.h: time, as everything in weir asks for it, so that a test can hold the hands.
#pragma once
#include <atomic>
#include <chrono>

namespace weir {

using Duration = std::chrono::nanoseconds;
// Monotonic time of this process: deadlines, ages within a run.
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;
// Calendar time: what is stored and shown. Microseconds since the epoch in the database.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

inline constexpr TimePoint kNever = TimePoint::max();

// Any thread.
class Clock {
public:
    virtual TimePoint now() const = 0;
    virtual WallTime wall() const = 0;
    virtual ~Clock() = default;
};

// The machine's clock; one for the process.
Clock& system_clock();

// Stands still until told to move. The simulator's and the unit tests' clock.
class ManualClock : public Clock {
public:
    TimePoint now() const override { return TimePoint(Duration(now_ns_.load())); }
    WallTime wall() const override;
    void advance(Duration by) { now_ns_ += by.count(); }
    void set(TimePoint to) { now_ns_ = to.time_since_epoch().count(); }

private:
    std::atomic<int64_t> now_ns_{1'000'000'000};
};

}  // namespace weir
