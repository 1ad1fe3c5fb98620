// upstream/breaker.h: whether a mirror may be asked now.
//
// It opens after so many failures in a row; when its time is over one request goes through as a
// probe, which closes it or keeps it open for twice as long. Beside that it remembers until when
// the mirror asked for peace (429, Retry-After), for blobs and for everything else apart: a
// registry that limits manifests still owes the blobs of pulls under way.
#pragma once
#include <array>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "upstream/upstream.h"

namespace weir::upstream {

enum class Purpose { manifest, list, blob };

inline constexpr std::chrono::seconds kMaxBreakerOpen{60};
inline constexpr std::chrono::seconds kMaxRetryAfter{300};    // longer wishes are cut to this
inline constexpr std::chrono::seconds kDefaultRetryAfter{1};  // a 429 that doesn't say

// Any thread.
class Breaker {
public:
    enum class State { closed, open, probing, later };
    // How a request ended, as far as it tells about the mirror.
    enum class Sign { good, bad, none };
    // Of an admitted request; goes back with leave().
    struct Ticket {
        bool probe = false;
    };
    struct Refusal {
        Outcome outcome = Outcome::unreachable;
        std::string detail;
        std::chrono::seconds retry_after{0};
    };

    Breaker(uint32_t failures, std::chrono::milliseconds open, Random&);

    State state(TimePoint now) const;
    bool usable(Purpose, TimePoint now) const;
    // Either a ticket or why not.
    std::optional<Refusal> enter(Purpose, TimePoint now, Ticket&);
    void leave(Ticket, Sign, TimePoint now, std::string_view why);
    // The mirror asked for peace; returns for how long that is heeded.
    std::chrono::seconds hold_off(Purpose, TimePoint now, std::optional<std::chrono::seconds> wish);

private:
    TimePoint& later(Purpose purpose) { return later_[purpose == Purpose::blob ? 1 : 0]; }
    const TimePoint& later(Purpose purpose) const {
        return later_[purpose == Purpose::blob ? 1 : 0];
    }

    const uint32_t limit_;
    const Duration first_open_;
    Random& random_;
    mutable std::mutex mutex_;
    uint32_t failures_ = 0;
    bool open_ = false, probing_ = false;
    Duration open_for_;
    TimePoint open_until_{};
    std::string why_;
    std::array<TimePoint, 2> later_{};
};

const char* state_name(Breaker::State);

}  // namespace weir::upstream
