#include "upstream/budget.h"

#include <ctime>
#include <string>

#include "base/text.h"

namespace weir::upstream {
namespace {

constexpr uint64_t kMaxSeconds = 10 * 365 * 86'400ull;

}  // namespace

std::optional<std::chrono::seconds> retry_after(const client::Fields& fields, WallTime now) {
    const std::string value(fields.get("Retry-After"));
    if (value.empty()) return std::nullopt;
    if (const auto seconds = parse_u64(value))
        return std::chrono::seconds(std::min(*seconds, kMaxSeconds));
    std::tm parts{};
    const char* end = strptime(value.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    if (!end || *end) return std::nullopt;
    const auto at = std::chrono::system_clock::from_time_t(timegm(&parts));
    return std::max(std::chrono::ceil<std::chrono::seconds>(at - now), std::chrono::seconds(0));
}

std::optional<int64_t> parse_limit(std::string_view value) {
    const auto number = parse_u64(trim(value.substr(0, value.find(';'))));
    if (!number || *number > INT64_MAX) return std::nullopt;
    return static_cast<int64_t>(*number);
}

void Budget::read(const client::Fields& fields) {
    const auto limit = parse_limit(fields.get("RateLimit-Limit"));
    const auto remaining = parse_limit(fields.get("RateLimit-Remaining"));
    if (!limit && !remaining) return;
    std::lock_guard lock(mutex_);
    if (limit) {
        limit_ = limit;
        limit_gauge_.Set(static_cast<double>(*limit));
    }
    if (remaining) {
        remaining_ = remaining;
        remaining_gauge_.Set(static_cast<double>(*remaining));
    }
}

std::optional<int64_t> Budget::limit() const {
    std::lock_guard lock(mutex_);
    return limit_;
}

std::optional<int64_t> Budget::remaining() const {
    std::lock_guard lock(mutex_);
    return remaining_;
}

}  // namespace weir::upstream
