// cache/fetch_place.cc: the place of a Fetch among all: in its upstream's share, and only for as
// long as it brings bytes or somebody waits for them.
#include <fmt/ranges.h>

#include <set>

#include "base/log.h"
#include "base/metrics.h"
#include "cache/fetch.h"

namespace weir::cache {

// Counted as its first origin's, whoever brings the bytes in the end.
Task<FairSemaphore::Permit> Fetch::take_place() {
    std::string upstream;
    {
        std::lock_guard lock(mutex_);
        if (!origins_.empty()) upstream = origins_.front()->upstream_name();
        waits_for_place_ = true;
    }
    FairSemaphore::Permit permit;
    try {
        permit = co_await context_.permits.acquire(
            upstream, context_.clock.now() + context_.options.miss_timeout);
    } catch (const Failure& failure) {
        throw Failure(failure.kind(),
                      fmt::format("upstream {} has too many blobs under way for another one: {}",
                                  upstream, failure.what()));
    }
    std::lock_guard lock(mutex_);
    waits_for_place_ = false;
    watched_from_ = context_.clock.now();
    co_return permit;
}

bool Fetch::park_unread() {
    static auto& parked =
        metrics::counter("weir_fetches_parked_total",
                         "Fetches that crawled, with no reader, and gave up their place");
    const TimePoint now = context_.clock.now();
    std::lock_guard lock(mutex_);
    if (state_ != State::running || verified_ || mismatch_) return false;
    const bool unread = interest_ == 0;
    if (unread && now - watched_from_ < kCrawlTime) return false;
    const auto seconds = std::chrono::duration<double>(now - watched_from_).count();
    const bool crawls =
        static_cast<double>(received_ - watched_bytes_) < kCrawlBytesPerSecond * seconds;
    watched_from_ = now;
    watched_bytes_ = received_;
    if (!unread || !crawls) return false;
    parked.Increment();
    log::info("cache", "fetch of {} is set aside at {} bytes: {} crawls and nobody reads it",
              digest_.text(), have_.total(), upstreams_locked());
    state_ = State::parked;
    return true;
}

std::string Fetch::upstreams_locked() const {
    std::set<std::string> names;
    for (const auto& origin : origins_) names.insert(origin->upstream_name());
    return fmt::format("upstream {}", fmt::join(names, ", "));
}

// Nobody has told its size within a request's time.
Failure Fetch::no_head_locked() const {
    return Failure(Kind::upstream_timeout,
                   fmt::format("{}: {} {}", upstreams_locked(), digest_.text(),
                               waits_for_place_ ? "waits for a place behind others of that upstream"
                                                : "did not come in time"));
}

}  // namespace weir::cache
