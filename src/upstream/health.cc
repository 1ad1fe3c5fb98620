#include "upstream/health.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::upstream {
namespace {

std::chrono::seconds whole_seconds(Duration duration) {
    return std::max(std::chrono::ceil<std::chrono::seconds>(duration), std::chrono::seconds(1));
}

size_t index(Purpose purpose) {
    return static_cast<size_t>(purpose);
}

}  // namespace

const char* state_name(Health::State state) {
    switch (state) {
        case Health::State::closed:
            return "closed";
        case Health::State::open:
            return "open";
        case Health::State::probing:
            return "probing";
        case Health::State::later:
            return "later";
    }
    return "closed";
}

Health::Health(uint32_t failures, std::chrono::milliseconds set_aside, Random& random)
    : limit_(std::max(failures, 1u)), first_wait_(set_aside), random_(random) {
    forget();
}

Health::Row Health::fresh() const {
    Row row;
    row.open_for = first_wait_;
    return row;
}

void Health::forget() {
    std::lock_guard lock(mutex_);
    link_ = fresh();
    for (Lane& lane : lanes_) {
        lane = {};
        lane.host = fresh();
    }
}

size_t Health::troubles() const {
    std::lock_guard lock(mutex_);
    size_t sum = 0;
    for (const Lane& lane : lanes_) sum += lane.troubles.size();
    return sum;
}

Health::Way Health::way_of(const Row& row, TimePoint now, uint32_t max_probes) const {
    if (now < row.later_until) return Way::later;
    if (!row.open) return Way::free;
    return now >= row.open_until && row.probes < max_probes ? Way::probe : Way::aside;
}

// What the host's row says to a repository whose own row is `own` (nullptr: it has none).
Health::Way Health::host_way(const Lane& lane, const Row* own, TimePoint now) const {
    const Row& host = lane.host;
    const bool innocent = !own || (own->failures == 0 && now >= own->later_until);
    const bool has_room = host.probes < kMaxProbes;
    if (now < host.later_until) return innocent && has_room ? Way::probe : Way::later;
    if (host.open && lane.answered && innocent) return has_room ? Way::probe : Way::aside;
    return way_of(host, now);
}

Health::State Health::state(TimePoint now) const {
    std::lock_guard lock(mutex_);
    State state = State::closed;
    const auto add = [&](const Row& row) {
        if (row.open)
            state = row.probes > 0 || now >= row.open_until ? State::probing : State::open;
    };
    for (const Lane& lane : lanes_) {
        if (state == State::closed || state == State::later) add(lane.host);
        if (state != State::closed) continue;
        const auto held = [&](const auto& entry) { return now < entry.second.later_until; };
        if (now < lane.host.later_until || std::ranges::any_of(lane.troubles, held))
            state = State::later;
    }
    if (link_.open) add(link_);
    return state;
}

bool Health::usable(Purpose purpose, std::string_view repository, TimePoint now) const {
    std::lock_guard lock(mutex_);
    const Lane& lane = lanes_[index(purpose)];
    const auto found = lane.troubles.find(repository);
    const Row* own = found == lane.troubles.end() ? nullptr : &found->second;
    for (const Way way :
         {own ? way_of(*own, now) : Way::free, way_of(link_, now), host_way(lane, own, now)})
        if (way == Way::later || way == Way::aside) return false;
    return true;
}

std::optional<Health::Refusal> Health::enter(Purpose purpose, std::string_view repository,
                                             TimePoint now, Ticket& ticket) {
    std::lock_guard lock(mutex_);
    ticket = {};
    Lane& lane = lanes_[index(purpose)];
    const auto found = lane.troubles.find(repository);
    Row* own = found == lane.troubles.end() ? nullptr : &found->second;
    const Way host = host_way(lane, own, now), link = way_of(link_, now);
    const Way mine = own ? way_of(*own, now) : Way::free;
    const auto refuse = [&](const Row& row, Way way) {
        if (way == Way::later) {
            const auto left = whole_seconds(row.later_until - now);
            return Refusal{Outcome::throttled,
                           fmt::format("asked to come back in {} s", left.count()), left};
        }
        return Refusal{Outcome::unreachable, fmt::format("set aside after: {}", row.why),
                       whole_seconds(row.open_until - now)};
    };
    const auto stops = [](Way way) { return way == Way::later || way == Way::aside; };
    if (stops(mine)) return refuse(*own, mine);
    if (stops(link)) return refuse(link_, link);
    if (stops(host)) return refuse(lane.host, host);
    ticket.own_probe = mine == Way::probe;
    ticket.link_probe = link == Way::probe;
    ticket.host_probe = host == Way::probe;
    if (ticket.own_probe) ++own->probes;
    if (ticket.link_probe) ++link_.probes;
    if (ticket.host_probe) ++lane.host.probes;
    return std::nullopt;
}

void Health::fail(Row& row, bool was_probe, bool may_open, TimePoint now, std::string_view why) {
    row.why = why.substr(0, kMaxWhyBytes);
    row.touched = now;
    ++row.failures;
    if (row.open && !was_probe) return;  // a request from before it was set aside
    if (!row.open && !may_open) return;
    if (row.open) row.open_for = std::min<Duration>(row.open_for * 2, kMaxSetAside);
    row.open = true;
    // Up to a tenth longer, so that many replicas don't probe in step.
    const auto extra =
        static_cast<int64_t>(static_cast<double>(row.open_for.count()) * 0.1 * random_.unit());
    row.open_until = now + row.open_for + Duration(extra);
}

Health::Row& Health::trouble(Lane& lane, std::string_view repository, TimePoint now) {
    const auto found = lane.troubles.find(repository);
    if (found != lane.troubles.end()) return found->second;
    if (lane.troubles.size() >= kMaxTroubles)
        lane.troubles.erase(std::ranges::min_element(
            lane.troubles, {}, [](const auto& entry) { return entry.second.touched; }));
    Row& row = lane.troubles.emplace(repository, fresh()).first->second;
    row.touched = now;
    return row;
}

void Health::note(std::vector<std::string>& names, std::string_view repository) {
    if (names.size() < kHostFaultRepositories &&
        std::ranges::find(names, repository) == names.end())
        names.emplace_back(repository);
}

void Health::leave(Purpose purpose, std::string_view repository, Ticket ticket, Sign sign,
                   TimePoint now, std::string_view why) {
    std::lock_guard lock(mutex_);
    Lane& lane = lanes_[index(purpose)];
    const auto found = lane.troubles.find(repository);
    const auto release = [](Row& row) { row.probes -= std::min(row.probes, 1u); };
    if (ticket.link_probe) release(link_);
    if (ticket.host_probe) release(lane.host);
    if (ticket.own_probe && found != lane.troubles.end()) release(found->second);
    switch (sign) {
        case Sign::none:
            return;
        case Sign::good: {
            link_ = fresh();
            lane.host = fresh();
            lane.answered = false;
            lane.failed.clear();
            lane.held.clear();
            if (found == lane.troubles.end()) return;
            const TimePoint later = found->second.later_until;
            if (now < later) {  // a request from before it was told so
                found->second = fresh();
                found->second.later_until = later;
            } else {
                lane.troubles.erase(found);
            }
            return;
        }
        case Sign::dead:
            fail(link_, ticket.link_probe, link_.failures + 1 >= limit_, now, why);
            return;
        case Sign::bad:
        case Sign::silent: {
            if (sign == Sign::bad) link_ = fresh();
            lane.answered |= sign == Sign::bad;
            note(lane.failed, repository);
            const bool of_many = lane.failed.size() >= kHostFaultRepositories;
            Row& own = trouble(lane, repository, now);
            fail(own, ticket.own_probe, own.failures + 1 >= limit_, now, why);
            fail(lane.host, ticket.host_probe, of_many && lane.host.failures + 1 >= limit_, now,
                 why);
            return;
        }
    }
}

std::chrono::seconds Health::hold_off(Purpose purpose, std::string_view repository, TimePoint now,
                                      std::optional<std::chrono::seconds> wish) {
    const auto heeded =
        std::clamp(wish.value_or(kDefaultRetryAfter), std::chrono::seconds(0), kMaxRetryAfter);
    std::lock_guard lock(mutex_);
    Lane& lane = lanes_[index(purpose)];
    Row& own = trouble(lane, repository, now);
    own.touched = now;
    own.later_until = std::max(own.later_until, now + heeded);
    note(lane.held, repository);
    if (lane.held.size() >= kHostFaultRepositories)
        lane.host.later_until = std::max(lane.host.later_until, now + heeded);
    return heeded;
}

}  // namespace weir::upstream
