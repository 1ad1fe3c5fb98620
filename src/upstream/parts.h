// upstream/parts.h: requests with Range, and what is done where they are refused.
//
// The rule: every request with Range has a plan for "no". It is asked for as it was wanted (in the
// closed form, `bytes=k-end`, wherever the size is known: some know no other); then in the closed
// form, where the refusal told the size; then without Range, and whoever receives it skips what is
// here. "No" is every answer but the part that was asked for or the whole: 416 for bytes that are
// there, 400, 405, 501 and the like, 206 with other bounds, without a sensible Content-Range or in
// several parts, and a whole of another size. What speaks of the host and not of the Range (401,
// 404, 429, 502, silence, ...) is no such "no".
#pragma once
#include <chrono>
#include <mutex>
#include <optional>

#include "base/clock.h"
#include "client/http_client.h"
#include "upstream/content_range.h"

namespace weir::upstream {

// Whether one mirror gives parts. A refusal counts once the whole was given in its place; it is
// remembered for a while, so that Range isn't tried each time. Any thread.
class Parts {
public:
    static constexpr Duration kRefusedTime = std::chrono::minutes(10);
    static constexpr Duration kGivenTime = std::chrono::minutes(10);

    bool refused(TimePoint now) const {
        std::lock_guard lock(mutex_);
        return now < refused_until_;
    }
    bool given(TimePoint now) const {
        std::lock_guard lock(mutex_);
        return now < given_until_;
    }
    void refuse(TimePoint now) {
        std::lock_guard lock(mutex_);
        refused_until_ = now + kRefusedTime;
        given_until_ = {};
    }
    void give(TimePoint now) {
        std::lock_guard lock(mutex_);
        given_until_ = now + kGivenTime;
        refused_until_ = {};
    }
    void forget() {
        std::lock_guard lock(mutex_);
        refused_until_ = given_until_ = {};
    }

private:
    mutable std::mutex mutex_;
    TimePoint refused_until_{}, given_until_{};
};

// The status of an answer to a request with Range says "no" to the Range, not to the request.
bool refuses_range(int status, bool same_origin);
// What a 416 says of the size.
std::optional<uint64_t> size_told(const client::ReplyHead&);

}  // namespace weir::upstream
