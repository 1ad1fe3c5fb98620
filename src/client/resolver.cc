#include "client/resolver.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/metrics.h"

namespace weir::client {
namespace {

// What every machine takes for itself, whatever anybody says (RFC 6761 section 6.3).
Resolver::Result this_machine(std::string_view name) {
    static const auto itself =
        std::make_shared<const Found>(Found{.what = Found::What::addresses,
                                            .addresses = {"::1", "127.0.0.1"},
                                            .ttl = {},
                                            .detail = {}});
    if (name.ends_with('.')) name.remove_suffix(1);
    return name == "localhost" || name.ends_with(".localhost") ? itself : nullptr;
}

void count(Found::What what) {
    static constexpr const char* kName = "weir_name_lookups_total";
    static constexpr const char* kHelp = "Names that were looked up, by what came of it";
    static auto& addresses = metrics::counter(kName, kHelp, {{"result", "addresses"}});
    static auto& absent = metrics::counter(kName, kHelp, {{"result", "absent"}});
    static auto& silent = metrics::counter(kName, kHelp, {{"result", "silent"}});
    switch (what) {
        case Found::What::addresses:
            return addresses.Increment();
        case Found::What::absent:
            return absent.Increment();
        case Found::What::silent:
            return silent.Increment();
    }
}

}  // namespace

Resolver::Resolver(std::unique_ptr<NameService> service, Clock& clock)
    : Resolver(std::move(service), clock, Limits()) {}

Resolver::Resolver(std::unique_ptr<NameService> service, Clock& clock, Limits limits)
    : service_(std::move(service)),
      clock_(clock),
      limits_(limits),
      lookups_(limits.max_lookups, limits.max_queued),
      generation_(service_->generation()) {}

Resolver::Asked Resolver::ask(const std::string& party, const std::string& name, Done done) {
    Asked asked{.known = this_machine(name)};
    if (asked.known) return asked;
    Start start;
    {
        std::lock_guard lock(mutex_);
        follow_changes_locked();
        Entry& entry = entries_[name];
        if (entry.found && clock_.now() < entry.expires) {
            asked.known = entry.found;
            return asked;
        }
        asked.ticket = ++tickets_;
        if (!entry.looking) {
            using Took = FairQueue<std::string>::Took;
            const Took took = lookups_.take(party, name);
            if (took == Took::full) {
                Found full;
                full.detail = "too many names are being looked up for this upstream";
                asked.known = std::make_shared<const Found>(std::move(full));
                if (!entry.found) entries_.erase(name);
                return asked;
            }
            entry.looking = true;
            entry.party = party;
            if (took == Took::place) start.push_back(name);
        }
        entry.waiters.push_back({asked.ticket, std::move(done)});
    }
    begin(start);
    return asked;
}

void Resolver::begin(const Start& names) {
    for (const auto& name : names)
        service_->look_up(name, [weak = weak_from_this(), name](Found found) {
            if (const auto self = weak.lock()) self->finish(name, std::move(found));
        });
}

void Resolver::finish(const std::string& name, Found found) {
    count(found.what);
    Result result;
    std::vector<Waiter> waiters;
    Start start;
    {
        std::lock_guard lock(mutex_);
        const auto at = entries_.find(name);
        if (at == entries_.end() || !at->second.looking) return;
        Entry& entry = at->second;
        entry.looking = false;
        lookups_.give_back(entry.party);
        start = next_locked();
        waiters.swap(entry.waiters);
        keep_locked(name, entry, std::move(found));
        result = entry.found;
        while (ages_.size() > limits_.max_names) drop_locked(entries_.find(ages_.front()));
    }
    for (const auto& waiter : waiters) waiter.done(result);
    begin(start);
}

void Resolver::keep_locked(const std::string& name, Entry& entry, Found found) {
    const TimePoint now = clock_.now();
    if (entry.found) ages_.erase(entry.age);
    entry.age = ages_.insert(ages_.end(), name);
    const bool knew = entry.found && entry.found->what == Found::What::addresses;
    if (found.what == Found::What::silent && knew && now < entry.got + limits_.max_stale) {
        entry.expires = now + limits_.silent_ttl;
        return;
    }
    Duration life = limits_.silent_ttl;
    if (found.what == Found::What::absent) life = limits_.absent_ttl;
    if (found.what == Found::What::addresses)
        life = std::clamp(found.ttl, limits_.min_ttl, limits_.max_ttl);
    if (found.addresses.size() > limits_.max_addresses)
        found.addresses.resize(limits_.max_addresses);
    entry.found = std::make_shared<const Found>(std::move(found));
    entry.got = now;
    entry.expires = now + life;
}

void Resolver::leave(const std::string& name, uint64_t ticket) {
    std::lock_guard lock(mutex_);
    const auto at = entries_.find(name);
    if (at == entries_.end()) return;
    Entry& entry = at->second;
    std::erase_if(entry.waiters, [&](const auto& waiter) { return waiter.ticket == ticket; });
    if (!entry.looking || !entry.waiters.empty()) return;
    // One that runs is let run: its answer will be asked for again.
    const auto is = [&](const std::string& waiting) { return waiting == name; };
    if (!lookups_.withdraw(entry.party, is)) return;
    entry.looking = false;
    if (!entry.found) entries_.erase(at);
}

void Resolver::doubt(const std::string& name) {
    std::lock_guard lock(mutex_);
    const auto at = entries_.find(name);
    if (at == entries_.end() || !at->second.found) return;
    at->second.expires = std::min(at->second.expires, at->second.got + limits_.min_ttl);
}

// An answer that is here goes; who waits for one gets it when it comes.
void Resolver::drop_locked(std::unordered_map<std::string, Entry>::iterator at) {
    Entry& entry = at->second;
    ages_.erase(entry.age);
    entry.found.reset();
    if (!entry.looking) entries_.erase(at);
}

void Resolver::follow_changes_locked() {
    const uint64_t generation = service_->generation();
    if (std::exchange(generation_, generation) == generation) return;
    while (!ages_.empty()) drop_locked(entries_.find(ages_.front()));
}

Resolver::Start Resolver::next_locked() {
    Start start;
    while (auto name = lookups_.next()) start.push_back(std::move(*name));
    return start;
}

size_t Resolver::names() const {
    std::lock_guard lock(mutex_);
    return ages_.size();
}

}  // namespace weir::client
