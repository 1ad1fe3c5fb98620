// base/calendar.h: a calendar that does not jump while the process runs.
//
// A machine's calendar is set by people and by NTP, forwards and backwards. What measures ages with
// it would find all that it keeps a year old at once, or nothing old for a month. So the calendar
// of the system is read when the process starts, and goes on from there with the monotonic clock.
// Only across a restart does a jump show; an age that is negative then is unknown, not fresh.
#pragma once
#include <chrono>

#include "base/clock.h"

namespace weir {

// Any thread. `clock` outlives it.
class SteadyCalendar : public Clock {
public:
    explicit SteadyCalendar(Clock& clock)
        : clock_(clock), began_(clock.now()), wall_then_(clock.wall()) {}
    TimePoint now() const override { return clock_.now(); }
    WallTime wall() const override {
        return wall_then_ +
               std::chrono::duration_cast<std::chrono::microseconds>(clock_.now() - began_);
    }

private:
    Clock& clock_;
    const TimePoint began_;
    const WallTime wall_then_;
};

}  // namespace weir
