// upstream/budget.h: what the head of an answer says about limits.
#pragma once
#include <chrono>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/metrics.h"
#include "client/http_client.h"

namespace weir::upstream {

// Retry-After: seconds, or a date in the form of RFC 9110 section 5.6.7. nullopt when absent or
// broken.
std::optional<std::chrono::seconds> retry_after(const client::Fields&, WallTime now);

// "100;w=21600" -> 100
std::optional<int64_t> parse_limit(std::string_view);

// The rate limit that a registry tells of in ratelimit-limit and ratelimit-remaining. Any thread.
class Budget {
public:
    Budget(metrics::Gauge& limit, metrics::Gauge& remaining)
        : limit_gauge_(limit), remaining_gauge_(remaining) {}
    void read(const client::Fields&);
    std::optional<int64_t> limit() const;
    std::optional<int64_t> remaining() const;

private:
    metrics::Gauge& limit_gauge_;
    metrics::Gauge& remaining_gauge_;
    mutable std::mutex mutex_;
    std::optional<int64_t> limit_, remaining_;
};

}  // namespace weir::upstream
