// async/shares.h: how places that many use are shared, so that nobody's trouble takes all of them.
//
// One rule for every kind of place (fetches, relays, transfers, requests of an upstream, look-ups
// of names), of `total` places, by key (an upstream's name, a purpose):
//   - A key that holds fewer than its own places (a sixteenth of the total, at least one) gets one
//     more, whatever the others hold. The total can be exceeded by these, so keys must be few:
//     names from the configuration, never a client's words.
//   - Beyond them it gets one more while it holds less than three times as many as are free. So one
//     key alone reaches three quarters; the more misbehave, the less each of them gets.
//   - Who can't have one at once waits in a queue of its key, whose length is bounded by the same
//     rule. Places that come free go to the keys by turns, within a key in order of arrival.
// A total of one or two can be had whole by one key: the others have their own beside it.
#pragma once
#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"

namespace weir {

// The count alone. No lock of its own.
class Shares {
public:
    explicit Shares(size_t total) : total_(total) {}

    bool may_take(const std::string& key) const {
        const size_t held = this->held(key);
        if (held < own()) return true;
        return taken_ < total_ && held < kGreed * (total_ - taken_);
    }
    void take(const std::string& key) {
        ++held_[key];
        ++taken_;
    }
    void give_back(const std::string& key) {
        const auto at = held_.find(key);
        check(at != held_.end(), "a place is given back once");
        if (--at->second == 0) held_.erase(at);
        --taken_;
    }
    size_t held(const std::string& key) const {
        const auto at = held_.find(key);
        return at == held_.end() ? 0 : at->second;
    }
    size_t taken() const { return taken_; }
    size_t total() const { return total_; }
    void set_total(size_t total) { total_ = total; }

private:
    static constexpr size_t kGreed = 3;
    static constexpr size_t kOwnPart = 16;
    size_t own() const { return std::max<size_t>(total_ / kOwnPart, 1); }

    size_t total_;
    size_t taken_ = 0;
    std::map<std::string, size_t> held_;
};

// The count with its queues. No lock of its own; after each call that may have freed a place ask
// next() until it has nobody.
template <class Waiter>
class FairQueue {
public:
    enum class Took { place, queued, full };

    FairQueue(size_t places, size_t queue_places) : places_(places), queue_(queue_places) {}

    // Who is `queued` comes out of next() once, or is withdrawn.
    Took take(const std::string& key, Waiter waiter) {
        if (!waiters_.contains(key) && places_.may_take(key)) {
            places_.take(key);
            return Took::place;
        }
        if (queue_.total() == 0 || !queue_.may_take(key)) return Took::full;
        queue_.take(key);
        waiters_[key].push_back(std::move(waiter));
        return Took::queued;
    }

    void give_back(const std::string& key) { places_.give_back(key); }

    // The next one that has a place from now on.
    std::optional<Waiter> next() {
        auto at = waiters_.upper_bound(last_);
        for (size_t seen = 0; seen < waiters_.size(); ++seen, ++at) {
            if (at == waiters_.end()) at = waiters_.begin();
            if (!places_.may_take(at->first)) continue;
            last_ = at->first;
            places_.take(last_);
            queue_.give_back(last_);
            std::optional<Waiter> waiter(std::move(at->second.front()));
            at->second.pop_front();
            if (at->second.empty()) waiters_.erase(at);
            return waiter;
        }
        return std::nullopt;
    }

    // false: it waits no longer.
    template <class Is>
    bool withdraw(const std::string& key, Is is) {
        const auto at = waiters_.find(key);
        if (at == waiters_.end()) return false;
        const auto found = std::ranges::find_if(at->second, is);
        if (found == at->second.end()) return false;
        at->second.erase(found);
        queue_.give_back(key);
        if (at->second.empty()) waiters_.erase(at);
        return true;
    }

    const Shares& places() const { return places_; }
    size_t waiting() const { return queue_.taken(); }
    size_t waiting(const std::string& key) const { return queue_.held(key); }
    void set_places(size_t places) { places_.set_total(places); }

private:
    Shares places_;
    Shares queue_;
    std::map<std::string, std::deque<Waiter>> waiters_;
    std::string last_;
};

}  // namespace weir
