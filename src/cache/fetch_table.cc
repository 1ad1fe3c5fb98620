#include "cache/fetch_table.h"

#include "base/metrics.h"

namespace weir::cache {

std::string fetch_group(const Origins& origins, const std::string& scope) {
    return group_of(origins) + "\n" + scope;
}

FetchTable::FetchTable(FetchContext& context) : context_(context) {
    context_.overtake = [this](Fetch& fetch) { return overtake(fetch); };
}

FetchTable::Joined FetchTable::join_or_start(const oci::Digest& digest,
                                             const std::vector<WantedRange>& wanted,
                                             const Origins& origins, const FetchTerms& terms) {
    static auto& started = metrics::counter("weir_fetches_total", "Blob fetches started");
    static auto& joined =
        metrics::counter("weir_fetch_joins_total", "Requests that joined a running fetch");
    const std::string group = fetch_group(origins, terms.scope);
    std::lock_guard lock(mutex_);
    if (stopped_) throw Failure(Kind::draining, "weir is shutting down");
    Fetches& beside = fetches_[digest];
    // One that has just ended may still be writing its end to disk and database: the new one waits
    // for that.
    std::shared_ptr<Fetch> predecessor;
    bool owns = true;
    for (const auto& fetch : beside) {
        if (fetch->group() == group && fetch->want(wanted, origins)) {
            joined.Increment();
            return {fetch, false};
        }
        if (!fetch->owns()) continue;
        if (fetch->running()) owns = false;
        predecessor = fetch;
    }
    auto fetch = std::make_shared<Fetch>(context_, digest, group, owns,
                                         owns ? std::move(predecessor) : nullptr, terms);
    fetch->want(wanted, origins);
    beside.push_back(fetch);
    started.Increment();
    fetch->start([this, digest, raw = fetch.get()] { ended(digest, raw); });
    return {fetch, true};
}

std::shared_ptr<Fetch> FetchTable::find(const oci::Digest& digest, const std::string& group) const {
    std::lock_guard lock(mutex_);
    const auto at = fetches_.find(digest);
    if (at == fetches_.end()) return nullptr;
    for (const auto& fetch : at->second)
        if (fetch->group() == group && fetch->running()) return fetch;
    return nullptr;
}

std::shared_ptr<Fetch> FetchTable::nearly_there(const oci::Digest& digest,
                                                const std::string& group) const {
    std::lock_guard lock(mutex_);
    const auto at = fetches_.find(digest);
    if (at == fetches_.end()) return nullptr;
    for (const auto& fetch : at->second)
        if (fetch->group() != group && fetch->nearly_there()) return fetch;
    return nullptr;
}

std::shared_ptr<Fetch> FetchTable::owner(const oci::Digest& digest) const {
    std::lock_guard lock(mutex_);
    const auto at = fetches_.find(digest);
    if (at == fetches_.end()) return nullptr;
    for (auto fetch = at->second.rbegin(); fetch != at->second.rend(); ++fetch)
        if ((*fetch)->owns()) return *fetch;
    return nullptr;
}

// What the others have of it is needed by their readers alone.
std::shared_ptr<Fetch> FetchTable::overtake(Fetch& winner) {
    std::lock_guard lock(mutex_);
    const auto at = fetches_.find(winner.digest());
    if (at == fetches_.end()) return nullptr;
    std::shared_ptr<Fetch> ending;
    bool owned = winner.owns();
    for (const auto& fetch : at->second) {
        if (fetch.get() == &winner) continue;
        const bool runs = fetch->overtaken();
        if (!fetch->owns()) continue;
        if (runs) {
            owned = true;
        } else {
            ending = fetch;
        }
    }
    if (owned) return nullptr;
    winner.own();
    return ending;
}

std::shared_ptr<Fetch> FetchTable::sweeper(const oci::Digest& digest) {
    std::lock_guard lock(mutex_);
    if (stopped_ || fetches_.contains(digest)) return nullptr;
    auto fetch = std::make_shared<Fetch>(context_, digest, "", true, nullptr);
    fetch->close([this, digest, raw = fetch.get()] { ended(digest, raw); });
    fetches_[digest].push_back(fetch);
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
    const auto waiting = before_all ? owner(digest) : nullptr;
    if (waiting) co_await waiting->tidy(LeftOver::cut);
}

void FetchTable::ended(const oci::Digest& digest, const Fetch* fetch) {
    std::lock_guard lock(mutex_);
    const auto at = fetches_.find(digest);
    if (at == fetches_.end()) return;
    std::erase_if(at->second, [&](const auto& entry) { return entry.get() == fetch; });
    if (at->second.empty()) fetches_.erase(at);
}

Task<> FetchTable::stop() {
    std::vector<std::shared_ptr<Fetch>> all;
    {
        std::lock_guard lock(mutex_);
        stopped_ = true;
        for (const auto& [digest, fetches] : fetches_)
            all.insert(all.end(), fetches.begin(), fetches.end());
    }
    for (const auto& fetch : all) fetch->cancel(Failure(Kind::draining, "weir is shutting down"));
    for (const auto& fetch : all) co_await fetch->join();
}

size_t FetchTable::size() const {
    std::lock_guard lock(mutex_);
    size_t all = 0;
    for (const auto& [digest, fetches] : fetches_) all += fetches.size();
    return all;
}

}  // namespace weir::cache
