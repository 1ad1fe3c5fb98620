#include "upstream/breaker.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::upstream {
namespace {

std::chrono::seconds whole_seconds(Duration duration) {
    return std::max(std::chrono::ceil<std::chrono::seconds>(duration), std::chrono::seconds(1));
}

}  // namespace

const char* state_name(Breaker::State state) {
    switch (state) {
        case Breaker::State::closed:
            return "closed";
        case Breaker::State::open:
            return "open";
        case Breaker::State::probing:
            return "probing";
        case Breaker::State::later:
            return "later";
    }
    return "closed";
}

Breaker::Breaker(uint32_t failures, std::chrono::milliseconds open, Random& random)
    : limit_(std::max(failures, 1u)), first_open_(open), random_(random), open_for_(open) {}

Breaker::State Breaker::state(TimePoint now) const {
    std::lock_guard lock(mutex_);
    if (open_) return probing_ || now >= open_until_ ? State::probing : State::open;
    return now < std::max(later_[0], later_[1]) ? State::later : State::closed;
}

bool Breaker::usable(Purpose purpose, TimePoint now) const {
    std::lock_guard lock(mutex_);
    if (now < later(purpose)) return false;
    return !open_ || (!probing_ && now >= open_until_);
}

std::optional<Breaker::Refusal> Breaker::enter(Purpose purpose, TimePoint now, Ticket& ticket) {
    std::lock_guard lock(mutex_);
    ticket = {};
    if (now < later(purpose)) {
        const auto left = whole_seconds(later(purpose) - now);
        return Refusal{Outcome::throttled, fmt::format("asked to come back in {} s", left.count()),
                       left};
    }
    if (!open_) return std::nullopt;
    if (!probing_ && now >= open_until_) {
        probing_ = ticket.probe = true;
        return std::nullopt;
    }
    const auto left = whole_seconds(open_until_ - now);
    return Refusal{Outcome::unreachable, fmt::format("set aside after: {}", why_), left};
}

void Breaker::leave(Ticket ticket, Sign sign, TimePoint now, std::string_view why) {
    std::lock_guard lock(mutex_);
    if (ticket.probe) probing_ = false;
    if (sign == Sign::none) return;
    if (sign == Sign::good) {
        failures_ = 0;
        open_ = false;
        open_for_ = first_open_;
        return;
    }
    why_ = why;
    ++failures_;
    if (open_ && !ticket.probe) return;  // a request from before it opened
    if (!open_ && failures_ < limit_) return;
    if (open_) open_for_ = std::min<Duration>(open_for_ * 2, kMaxBreakerOpen);
    open_ = true;
    // Up to a tenth longer, so that many replicas don't probe in step.
    const auto extra =
        static_cast<int64_t>(static_cast<double>(open_for_.count()) * 0.1 * random_.unit());
    open_until_ = now + open_for_ + Duration(extra);
}

std::chrono::seconds Breaker::hold_off(Purpose purpose, TimePoint now,
                                       std::optional<std::chrono::seconds> wish) {
    const auto heeded =
        std::clamp(wish.value_or(kDefaultRetryAfter), std::chrono::seconds(0), kMaxRetryAfter);
    std::lock_guard lock(mutex_);
    later(purpose) = std::max(later(purpose), now + heeded);
    return heeded;
}

}  // namespace weir::upstream
