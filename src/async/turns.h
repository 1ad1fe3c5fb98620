// async/turns.h: how long a thread that serves many works at a time.
//
// A turn is what a thread does between two waits. A serving loop's is to be below 5 ms, a transfer
// thread's too: whoever it serves waits for so long. Measured by the thread itself with one reading
// of the clock before each wait and one behind it (no system call); a turn of kLongTurn or more is
// a fault: counted, and logged at most once in kQuietTime for a thread.
//   weir_thread_longest_turn_seconds{thread}  the longest since the last full minute or in the
//                                             minute before it
//   weir_thread_stalls_total{thread}          turns of kLongTurn or more
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/metrics.h"

namespace weir {

// Own thread only.
class Turns {
public:
    static constexpr Duration kLongTurn = std::chrono::milliseconds(100);
    static constexpr Duration kQuietTime = std::chrono::seconds(10);
    static constexpr Duration kPeriod = std::chrono::minutes(1);

    explicit Turns(std::string thread);

    // A wait has ended; the next one begins.
    void begin(TimePoint now) { began_ = now; }
    void end(TimePoint now) {
        const Duration took = now - began_;
        if (took > longest_ || took >= kLongTurn || now >= period_end_) [[unlikely]]
            note(took, now);
    }

    Duration longest() const { return std::max(longest_, before_); }
    uint64_t stalls() const { return stalls_; }

private:
    void note(Duration took, TimePoint now);

    const std::string thread_;
    metrics::Gauge& gauge_;
    metrics::Counter& counter_;
    TimePoint began_{};
    TimePoint period_end_{};
    Duration longest_{}, before_{};  // of this period and of the one before
    uint64_t stalls_ = 0, unsaid_ = 0;
    TimePoint quiet_until_{};
};

// The turns of the loop that the calling thread runs; null elsewhere. Set by LoopGroup's threads;
// asio's one place that waits tells it (asio_impl.cc).
extern thread_local Turns* t_turns;

}  // namespace weir
