#include "upstream/challenges.h"

#include <algorithm>

namespace weir::upstream {

std::optional<Challenges::Found> Challenges::of(std::string_view repository, TimePoint now) const {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(repository);
    if (found != entries_.end() && now < found->second.until)
        return Found{found->second.known, false};
    if (hint_ && now < hint_->until) return Found{hint_->known, true};
    return std::nullopt;
}

void Challenges::learn(std::string_view repository, Purpose purpose, const Known& known,
                       TimePoint now) {
    if (known.realm.size() > kMaxChallengeText || known.service.size() > kMaxChallengeText) return;
    const auto at = static_cast<size_t>(purpose);
    std::lock_guard lock(mutex_);
    auto found = entries_.find(repository);
    if (found == entries_.end()) {
        if (entries_.size() >= kMaxChallenged)
            entries_.erase(std::ranges::min_element(
                entries_, {}, [](const auto& entry) { return entry.second.until; }));
        found = entries_.emplace(repository, Entry{known, {}}).first;
    }
    Known merged = known;
    merged.actions = found->second.known.actions;
    const std::string& actions = known.actions[at];
    merged.actions[at] = actions.size() <= kMaxActionsText ? actions : "pull";
    found->second = {std::move(merged), now + kChallengeLife};
}

void Challenges::confirm(std::string_view repository, TimePoint now) {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(repository);
    if (found != entries_.end() && now < found->second.until) hint_ = found->second;
}

void Challenges::suggest(const Known& known, TimePoint now) {
    if (known.realm.size() > kMaxChallengeText || known.service.size() > kMaxChallengeText) return;
    std::lock_guard lock(mutex_);
    hint_ = Entry{known, now + kChallengeLife};
}

void Challenges::forget(std::string_view repository, const Known& known) {
    std::lock_guard lock(mutex_);
    const auto found = entries_.find(repository);
    if (found != entries_.end() && found->second.known.same_as(known)) entries_.erase(found);
    if (hint_ && hint_->known.same_as(known)) hint_.reset();
}

void Challenges::forget() {
    std::lock_guard lock(mutex_);
    entries_.clear();
    hint_.reset();
}

size_t Challenges::size() const {
    std::lock_guard lock(mutex_);
    return entries_.size();
}

}  // namespace weir::upstream
