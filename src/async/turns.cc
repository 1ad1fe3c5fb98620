#include "async/turns.h"

#include <utility>

#include "base/log.h"

namespace weir {

thread_local Turns* t_turns = nullptr;

Turns::Turns(std::string thread)
    : thread_(std::move(thread)),
      gauge_(metrics::gauge("weir_thread_longest_turn_seconds",
                            "The longest time a thread worked without waiting, of the last minute "
                            "or two",
                            {{"thread", thread_}})),
      counter_(metrics::counter("weir_thread_stalls_total",
                                "Turns of 100 ms or more of a thread that serves many",
                                {{"thread", thread_}})) {}

void Turns::note(Duration took, TimePoint now) {
    if (now >= period_end_) {
        before_ = now - period_end_ < kPeriod ? longest_ : Duration{};
        longest_ = {};
        period_end_ = now + kPeriod;
    }
    longest_ = std::max(longest_, took);
    gauge_.Set(std::chrono::duration<double>(longest()).count());
    if (took < kLongTurn) return;
    ++stalls_;
    counter_.Increment();
    if (now < quiet_until_) {
        ++unsaid_;
        return;
    }
    quiet_until_ = now + kQuietTime;
    log::warn("async", "{} worked for {} ms in one turn: all that it serves waited{}", thread_,
              std::chrono::duration_cast<std::chrono::milliseconds>(took).count(),
              unsaid_ > 0 ? fmt::format(" ({} more such turns since the last line)", unsaid_) : "");
    unsaid_ = 0;
}

}  // namespace weir
