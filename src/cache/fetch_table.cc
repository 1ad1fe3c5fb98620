#include "cache/fetch_table.h"

#include "base/metrics.h"

namespace weir::cache {

FetchTable::Joined FetchTable::join_or_start(const oci::Digest& digest,
                                             const std::vector<WantedRange>& wanted,
                                             const Origins& origins, const FetchTerms& terms) {
    static auto& started = metrics::counter("weir_fetches_total", "Blob fetches started");
    static auto& joined =
        metrics::counter("weir_fetch_joins_total", "Requests that joined a running fetch");
    std::lock_guard lock(mutex_);
    if (stopped_) throw Failure(Kind::draining, "weir is shutting down");
    auto& entry = fetches_[digest];
    if (entry && entry->running() && entry->terms().scope != terms.scope) return {nullptr, false};
    if (entry && entry->want(wanted, origins)) {
        joined.Increment();
        return {entry, false};
    }
    // One that has just ended may still be writing its end to disk and database: the new one waits
    // for that.
    auto fetch = std::make_shared<Fetch>(context_, digest, entry, terms);
    fetch->want(wanted, origins);
    entry = fetch;
    started.Increment();
    fetch->start([this, digest, raw = fetch.get()] { ended(digest, raw); });
    return {fetch, true};
}

std::shared_ptr<Fetch> FetchTable::find(const oci::Digest& digest) const {
    std::lock_guard lock(mutex_);
    auto at = fetches_.find(digest);
    return at == fetches_.end() ? nullptr : at->second;
}

std::shared_ptr<Fetch> FetchTable::sweeper(const oci::Digest& digest) {
    std::lock_guard lock(mutex_);
    if (stopped_ || fetches_.contains(digest)) return nullptr;
    auto fetch = std::make_shared<Fetch>(context_, digest, nullptr);
    fetch->close([this, digest, raw = fetch.get()] { ended(digest, raw); });
    fetches_.emplace(digest, fetch);
    return fetch;
}

Task<uint64_t> FetchTable::drop_left_over(oci::Digest digest) {
    const auto fetch = sweeper(digest);
    if (!fetch) co_return 0;
    co_return co_await fetch->sweep(LeftOver::dropped);
}

Task<> FetchTable::cut_left_over(oci::Digest digest, bool before_all) {
    if (const auto fetch = sweeper(digest)) {
        co_await fetch->sweep(LeftOver::cut);
        co_return;
    }
    const auto waiting = before_all ? find(digest) : nullptr;
    if (waiting) co_await waiting->tidy(LeftOver::cut);
}

void FetchTable::ended(const oci::Digest& digest, const Fetch* fetch) {
    std::lock_guard lock(mutex_);
    auto at = fetches_.find(digest);
    if (at != fetches_.end() && at->second.get() == fetch) fetches_.erase(at);
}

Task<> FetchTable::stop() {
    std::vector<std::shared_ptr<Fetch>> all;
    {
        std::lock_guard lock(mutex_);
        stopped_ = true;
        for (const auto& [digest, fetch] : fetches_) all.push_back(fetch);
    }
    for (const auto& fetch : all) fetch->cancel(Failure(Kind::draining, "weir is shutting down"));
    for (const auto& fetch : all) co_await fetch->join();
}

size_t FetchTable::size() const {
    std::lock_guard lock(mutex_);
    return fetches_.size();
}

}  // namespace weir::cache
