#include "meta/sqlite/pins.h"

namespace weir::meta {

std::vector<Pin> Pins::stored(Connection& c) {
    std::vector<Pin> pins;
    Query q(c, "SELECT repository, tag FROM pins ORDER BY repository, tag");
    while (q.next()) pins.push_back({q.text(0), q.text(1)});
    return pins;
}

void Pins::configure(std::vector<Pin> pins) {
    std::lock_guard lock(mutex_);
    configured_ = std::move(pins);
}

bool Pins::keeps(std::string_view repository) {
    std::lock_guard lock(mutex_);
    return matched_locked(std::string(repository)).whole;
}

bool Pins::keeps(std::string_view repository, std::string_view tag) {
    std::lock_guard lock(mutex_);
    return keeps_locked(std::string(repository), tag);
}

void Pins::forget(std::span<const oci::Digest> digests) {
    if (digests.empty()) return;
    std::lock_guard lock(mutex_);
    ++epoch_;
    for (const auto& digest : digests) pinned_.erase(digest.hash());
}

// Another process may have stored a pin: the few rows are read each time.
void Pins::load_locked(Connection& c) {
    std::vector<Pin> all = stored(c);
    all.insert(all.end(), configured_.begin(), configured_.end());
    if (all == loaded_) return;
    loaded_ = std::move(all);
    rules_.clear();
    repositories_.clear();
    pinned_.clear();
    ++epoch_;
    bool any_tags = false;
    for (const auto& pin : loaded_) {
        rules_.push_back({Pattern(pin.repository), Pattern(pin.tag), pin.tag == "*"});
        any_tags = any_tags || pin.tag != "*";
    }
    any_tags_ = any_tags;
}

const Pins::Matched& Pins::matched_locked(const std::string& repository) {
    if (repositories_.size() >= kMaxRepositories) repositories_.clear();
    const auto [at, fresh] = repositories_.try_emplace(repository);
    if (fresh) {
        for (size_t i = 0; i < rules_.size(); ++i) {
            if (!rules_[i].repository.matches(repository)) continue;
            if (rules_[i].whole)
                at->second.whole = true;
            else
                at->second.tags.push_back(i);
        }
    }
    return at->second;
}

bool Pins::keeps_locked(const std::string& repository, std::string_view tag) {
    for (const size_t i : matched_locked(repository).tags)
        if (rules_[i].tag.matches(tag)) return true;
    return false;
}

Pins::View Pins::view(Connection& c) {
    View view(*this, c);
    std::lock_guard lock(mutex_);
    load_locked(c);
    view.epoch_ = epoch_;
    return view;
}

bool Pins::View::pinned(const oci::Digest& blob) {
    {
        std::lock_guard lock(owner_.mutex_);
        if (owner_.rules_.empty()) return false;
        if (owner_.pinned_.contains(blob.hash())) return true;
    }
    if (!find(blob)) return false;
    std::lock_guard lock(owner_.mutex_);
    // Something was unpinned since this view began: it may have been this.
    if (owner_.epoch_ == epoch_ && owner_.pinned_.size() < kMaxPinned)
        owner_.pinned_.insert(blob.hash());
    return true;
}

bool Pins::View::find(const oci::Digest& blob) {
    Query linked(connection_,
                 "SELECT r.name FROM links AS l CROSS JOIN repositories AS r "
                 "ON r.id = l.repository WHERE l.digest = ?",
                 blob);
    while (linked.next())
        if (owner_.keeps(linked.text(0))) return true;
    Query named(connection_,
                "SELECT r.name FROM refs AS f CROSS JOIN manifests AS m ON m.id = f.manifest "
                "CROSS JOIN links AS l ON l.digest = m.digest "
                "CROSS JOIN repositories AS r ON r.id = l.repository WHERE f.digest = ?",
                blob);
    while (named.next())
        if (owner_.keeps(named.text(0))) return true;
    Query below(connection_,
                "SELECT r.name FROM refs AS f CROSS JOIN manifests AS m ON m.id = f.manifest "
                "CROSS JOIN refs AS g ON g.digest = m.digest "
                "CROSS JOIN manifests AS p ON p.id = g.manifest "
                "CROSS JOIN links AS l ON l.digest = p.digest "
                "CROSS JOIN repositories AS r ON r.id = l.repository WHERE f.digest = ?",
                blob);
    while (below.next())
        if (owner_.keeps(below.text(0))) return true;
    if (!owner_.any_tags_) return false;
    Query direct(connection_,
                 "SELECT r.name, t.name FROM refs AS f "
                 "CROSS JOIN manifests AS m ON m.id = f.manifest "
                 "CROSS JOIN tags AS t ON t.digest = m.digest "
                 "CROSS JOIN repositories AS r ON r.id = t.repository WHERE f.digest = ?",
                 blob);
    while (direct.next())
        if (owner_.keeps(direct.text(0), direct.text(1))) return true;
    Query child(connection_,
                "SELECT r.name, t.name FROM refs AS f "
                "CROSS JOIN manifests AS m ON m.id = f.manifest "
                "CROSS JOIN refs AS g ON g.digest = m.digest "
                "CROSS JOIN manifests AS p ON p.id = g.manifest "
                "CROSS JOIN tags AS t ON t.digest = p.digest "
                "CROSS JOIN repositories AS r ON r.id = t.repository WHERE f.digest = ?",
                blob);
    while (child.next())
        if (owner_.keeps(child.text(0), child.text(1))) return true;
    return false;
}

}  // namespace weir::meta
