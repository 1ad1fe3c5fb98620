// app/pace.h: so many bytes a second, over all that is read. One loop.
#pragma once
#include <algorithm>

#include "async/loop.h"

namespace weir::app {

class Pace {
public:
    explicit Pace(uint64_t bytes_per_second) : rate_(bytes_per_second) {}
    // Waits until `bytes` more may be read. What wasn't used is not saved up.
    Task<> take(uint64_t bytes) {
        if (rate_ == 0) co_return;
        const TimePoint now = Loop::current().now();
        const TimePoint begin = std::max(next_, now);
        const double seconds = static_cast<double>(bytes) / static_cast<double>(rate_);
        next_ = begin + Duration(static_cast<int64_t>(seconds * 1e9));
        if (begin > now) co_await sleep_until(begin);
    }

private:
    const uint64_t rate_;
    TimePoint next_{};
};

}  // namespace weir::app
