#include "cache/left_overs.h"

#include <algorithm>

#include "base/log.h"

namespace weir::cache {
namespace {
constexpr size_t kPage = 256;
}  // namespace

LeftOvers::LeftOvers(meta::Metadata& metadata, Erasures& erasures, FetchTable& fetches, Pool& pool,
                     Clock& clock)
    : metadata_(metadata), erasures_(erasures), fetches_(fetches), pool_(pool), clock_(clock) {}

void LeftOvers::start(Scope& scope, Loop& loop) {
    latest_ = clock_.now() + kPatience;
    scope.spawn(loop, [this] { return pass(); });
}

void LeftOvers::stop() {
    stopping_ = true;
    open_if(true);
}

// Never while a row is worked at whose fetch would begin.
void LeftOvers::open_if(bool over) {
    std::vector<Firing> waiters;
    {
        std::lock_guard lock(mutex_);
        if (!over || at_a_row_) return;
        open_ = true;
        waiters.swap(waiters_);
    }
    for (const Firing& waiter : waiters) waiter.fire();
}

Task<> LeftOvers::settled() {
    Signal signal;
    for (;;) {
        const TimePoint now = clock_.now();
        open_if(now >= latest_);
        {
            std::lock_guard lock(mutex_);
            if (open_) co_return;
            waiters_.push_back(Firing(signal));
        }
        co_await signal.wait(now < latest_ ? latest_ : kNever);
        std::lock_guard lock(mutex_);
        std::erase(waiters_, Firing(signal));
    }
}

Task<> LeftOvers::pass() {
    try {
        co_await cut_stagings();
        if (const size_t files = co_await erasures_.erase_left_over(stopping_))
            log::info("cache", "erased {} files that the last run had not come to", files);
    } catch (const Failure& failure) {
        log::warn("cache", "what the last run left was not all looked at: {}", failure.what());
    }
    open_if(true);
}

Task<> LeftOvers::cut_stagings() {
    std::optional<oci::Digest> after;
    while (!stopping_) {
        const auto page =
            co_await pool_.run([this, after] { return metadata_.stagings_after(after, kPage); });
        for (const auto& row : page) {
            if (stopping_) break;
            co_await cut(row.digest);
        }
        if (page.size() < kPage) co_return;
        after = page.back().digest;
    }
}

Task<> LeftOvers::cut(oci::Digest digest) {
    bool before_all = false;
    {
        std::lock_guard lock(mutex_);
        before_all = at_a_row_ = !open_;
    }
    try {
        co_await fetches_.cut_left_over(digest, before_all);
    } catch (const Failure& failure) {
        log::warn("cache", "what is here of {} may take more room than is counted: {}",
                  digest.text(), failure.what());
    }
    {
        std::lock_guard lock(mutex_);
        at_a_row_ = false;
    }
    open_if(stopping_ || clock_.now() >= latest_);
}

}  // namespace weir::cache
