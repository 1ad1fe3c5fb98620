// When a collection begins, and that a dry run tells what a real pass then takes.
#include "cache/collector.h"

#include "base/metrics.h"
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class CollectorTest : public Lab {
protected:
    CollectorTest() {
        options.tiers = true;
        options.collector.interval = 1h;
    }
    static double passes() { return metrics::counter("weir_gc_passes_total", "").Value(); }
    // The times at which the next passes begin, since the start.
    std::vector<Duration> begun(size_t count) {
        const TimePoint start = clock.now();
        std::vector<Duration> times;
        double last = passes();
        while (times.size() < count) {
            until([&] { return passes() != last; });
            last = passes();
            times.push_back(clock.now() - start);
        }
        return times;
    }
    std::pair<int, int> window(std::chrono::minutes from, std::chrono::minutes to) {
        const auto minute = [&](std::chrono::minutes at) {
            const auto now = clock.wall().time_since_epoch() + at;
            return static_cast<int>(std::chrono::floor<std::chrono::minutes>(now).count() % 1440);
        };
        return {minute(from), minute(to)};
    }
};

TEST_F(CollectorTest, passes_begin_at_their_interval) {
    boot();
    EXPECT_EQ(begun(3), (std::vector<Duration>{1h, 2h, 3h}));
}

TEST_F(CollectorTest, a_pass_that_takes_longer_is_followed_by_one_at_the_next_multiple) {
    options.collector.interval = 1min;
    options.longest_job = 30s;
    boot();
    const auto times = begun(12);
    bool longer = false;
    for (size_t i = 0; i < times.size(); ++i) {
        EXPECT_EQ(times[i] % 1min, Duration{}) << i;
        const Duration gap = times[i] - (i == 0 ? Duration{} : times[i - 1]);
        longer |= gap > 1min;
        EXPECT_LE(gap, 5min) << "no pass has so many jobs";
    }
    EXPECT_TRUE(longer);
}

TEST_F(CollectorTest, a_pass_that_is_due_outside_of_its_window_begins_when_that_opens) {
    const Duration late = Duration(clock.wall().time_since_epoch()) % 1min;
    options.collector.window = window(90min, 100min);
    boot();
    EXPECT_EQ(begun(2), (std::vector<Duration>{90min - late, 90min - late + 24h}));
}

TEST_F(CollectorTest, a_window_may_go_over_midnight) {
    const Duration now = Duration(clock.wall().time_since_epoch()) % 24h;
    options.collector.interval = 30min;
    options.collector.window = {23 * 60, 60};
    boot();
    for (const Duration time : begun(10)) {
        const Duration of_day = (now + time) % 24h;
        EXPECT_TRUE(of_day >= 23h || of_day < 1h) << of_day / 1min;
    }
}

}  // namespace
}  // namespace weir::cache
