// cache/fetch_segments.cc: how a segment of a Fetch is brought: which origin is asked, how long,
// and what its answer means.
#include <algorithm>

#include "base/log.h"
#include "cache/fetch.h"
#include "cache/segment.h"

namespace weir::cache {
namespace {
using namespace std::chrono_literals;
// Rounds over all origins for a blob of which no byte has come yet.
constexpr uint32_t kFirstByteRounds = 3;
constexpr Duration kRoundDelay = 100ms;
constexpr Duration kMaxRoundDelay = 2s;
// Of a blob that has begun: seldom enough that a moment's outage does not open a breaker.
constexpr Duration kRestRoundDelay = 250ms;
constexpr Duration kMaxRestRoundDelay = 1s;
constexpr Duration kMinAttempt = 1s;
// In every such round the whole is asked for in place of the rest: what a request with Range does
// to a host may be anything.
constexpr uint32_t kPlainRound = 2;
// How long an origin that gave wrong bytes of a blob is asked for it only when no other is left.
constexpr Duration kBadOriginTime = 10min;
}  // namespace

// Of those that were not tried in this round: one that works; else one that is slow or set aside;
// else the one whose wrong bytes are the longest ago.
std::shared_ptr<Origin> Fetch::choose_origin(const std::set<std::string>& tried) const {
    std::lock_guard lock(mutex_);
    std::shared_ptr<Origin> second_choice, last_choice;
    TimePoint oldest = kNever;
    for (const auto& origin : origins_) {
        if (tried.contains(origin->key()) || convicted_.contains(origin->key())) continue;
        const auto until = context_.bad_origins.get(bad_key(*origin));
        if (until && *until > context_.clock.now()) {
            if (*until >= oldest) continue;
            oldest = *until;
            last_choice = origin;
            continue;
        }
        if (origin->usable() && !slow_.contains(origin->key())) return origin;
        if (!second_choice) second_choice = origin;
    }
    return second_choice ? second_choice : last_choice;
}

bool Fetch::untried_locked(const std::set<std::string>& tried) const {
    return std::any_of(origins_.begin(), origins_.end(), [&](const auto& origin) {
        return !tried.contains(origin->key()) && !convicted_.contains(origin->key());
    });
}

Task<> Fetch::run_segment(std::shared_ptr<Segment> segment) {
    try {
        co_await pursue(segment);
    } catch (...) {
        fail(std::current_exception());
    }
    std::optional<Firing> driver;
    {
        std::lock_guard lock(mutex_);
        std::erase(segments_, segment);
        driver = driver_;
    }
    if (driver) driver->fire();
}

Task<> Fetch::pursue(std::shared_ptr<Segment> segment) {
    SegmentRound round;
    round.started = context_.clock.now();
    for (;;) {
        {
            std::lock_guard lock(mutex_);
            // Another request may have brought the next bytes.
            if (segment->suffix == 0)
                segment->position = std::max(
                    segment->position, std::min(have_.end_from(segment->position), segment->limit));
            if (state_ != State::running || verified_ || mismatch_ || segment->done()) co_return;
        }
        if (auto origin = choose_origin(round.tried)) {
            co_await attempt(segment, origin, round);
        } else if (!co_await next_round(segment, round)) {
            co_return;
        }
    }
}

// One request to one origin, and what its end means for the round.
Task<> Fetch::attempt(std::shared_ptr<Segment> segment, std::shared_ptr<Origin> origin,
                      SegmentRound& round) {
    segment->begin(origin);
    upstream::BlobRange range;
    {
        std::lock_guard lock(mutex_);
        range.first = segment->position;
        range.suffix = segment->suffix;
        range.size = size_;
        range.plain = round.number > 0 && round.number % kPlainRound == 0;
        const bool to_the_end = size_ ? segment->limit >= *size_ : segment->limit == UINT64_MAX;
        // The closed form wherever it can be had: some know no other.
        if (!to_the_end)
            range.last = segment->limit - 1;
        else if (size_ && range.first > 0 && range.suffix == 0)
            range.last = *size_ - 1;
    }
    const TimePoint now = context_.clock.now();
    const auto answer = co_await origin->read(
        digest_, range, segment, [segment](auto handle) { segment->started(std::move(handle)); },
        now + head_time(round));

    std::string problem;
    bool progress = false;
    bool done = false;
    uint64_t position = 0;
    if (answer.beyond && !learn_size(*answer.beyond, *origin))
        segment->contradicted(*answer.beyond);
    {
        std::lock_guard lock(mutex_);
        if (answer.beyond && size_) {
            segment->suffix = 0;
            segment->limit = std::min(segment->limit, *size_);
        }
        position = segment->position;
        progress = segment->attempt_bytes > 0 || (range.suffix == 0 && position > range.first);
        if (segment->bad) problem = segment->problem;
        segment->handle.reset();
        segment->answered = false;
        done = segment->done();
    }
    if (progress) round.forget();
    if (!problem.empty()) co_return blame(*origin, problem, round);
    using upstream::TransferEnd;
    if (answer.end == TransferEnd::complete && !range.last && range.suffix == 0 && !size()) {
        // No length was announced: the end of the body tells it.
        if (learn_size(position, *origin)) {
            std::lock_guard lock(mutex_);
            prove_locked(*origin, {0, position, answer.with_login});
            co_return;
        }
        segment->contradicted(position);
        co_return blame(*origin, segment->problem, round);
    }
    if (done || !running()) co_return;
    if (answer.end == TransferEnd::stalled) {
        std::lock_guard lock(mutex_);
        slow_.insert(origin->key());
    }
    if (answer.end == TransferEnd::none) {
        round.verdict.add(answer);
    } else {
        upstream::Answer broken;
        broken.outcome = upstream::Outcome::failed;
        broken.detail = fmt::format("{} broke the transfer off", origin->upstream_name());
        round.verdict.add(broken);
        log::info("cache", "{}: {} {} at byte {}", digest_.text(), origin->key(),
                  answer.end == TransferEnd::stalled ? "stalled" : "broke off", position);
    }
    // A cut that brought something is taken up at once, by the same origin too; anything else is
    // the next one's turn.
    if (!progress || answer.end == TransferEnd::stalled) round.tried.insert(origin->key());
}

void Fetch::blame(Origin& origin, const std::string& problem, SegmentRound& round) {
    log::warn("cache", "{}: {} is asked for it only after the others for a while: {}",
              digest_.text(), origin.key(), problem);
    origin.report_bad();
    context_.bad_origins.put(bad_key(origin), context_.clock.now() + kBadOriginTime);
    upstream::Answer answer;
    answer.outcome = upstream::Outcome::failed;
    answer.detail = fmt::format("{}: {}", origin.upstream_name(), problem);
    round.verdict.add(answer);
    round.tried.insert(origin.key());
}

// How long an origin may take to begin its answer: all of them together stay within the time of a
// miss.
Duration Fetch::head_time(const SegmentRound& round) const {
    std::lock_guard lock(mutex_);
    const Duration limit = context_.options.miss_timeout * 9 / 10;
    const Duration left =
        std::max<Duration>(round.started + limit - context_.clock.now(), kMinAttempt);
    const size_t others =
        origins_.size() > round.tried.size() ? origins_.size() - round.tried.size() : 1;
    return std::max<Duration>(left / static_cast<int64_t>(others), kMinAttempt);
}

// Whether asking all origins once more could bring the bytes.
bool Fetch::hope_locked(const SegmentRound& round) const {
    if (round.verdict.empty() || round.verdict.all_not_found()) return false;
    const TimePoint now = context_.clock.now();
    // Readers have begun: they only see a pause. So will those who wait for the first byte of
    // another part: an origin that was set aside, and is tried again, takes one request at first.
    // But where every origin says no, their clients may know of another.
    if (answered_) {
        const Duration patience = round.verdict.may_yet_come()
                                      ? context_.options.no_progress_timeout
                                      : context_.options.rest_timeout;
        return now - std::max(progress_, round.started) < patience;
    }
    return round.verdict.worth_a_retry() && round.number + 1 < kFirstByteRounds &&
           now - round.started < context_.options.miss_timeout * 7 / 10;
}

Failure Fetch::verdict_locked(const SegmentRound& round) const {
    const std::string what = fmt::format("blob {}", digest_.text());
    // Who gave something else did not say that it isn't there.
    if (!convicted_.empty() && (round.verdict.empty() || round.verdict.all_not_found()))
        return Failure(Kind::upstream_bad, what + ": what the upstreams sent is something else");
    return round.verdict.failure(Kind::blob_unknown, what);
}

// Every origin was tried and brought nothing. false: nothing more is to be tried.
Task<bool> Fetch::next_round(std::shared_ptr<Segment> segment, SegmentRound& round) {
    Signal signal;
    Wakes wakes;
    Duration delay{};
    const TimePoint now = context_.clock.now();
    {
        std::lock_guard lock(mutex_);
        // Another request may have brought an origin meanwhile.
        if (untried_locked(round.tried)) co_return true;
        if (doubtful_ && state_ == State::running) {
            // Nobody has a rest that fits what is here, so what is here is not the blob.
            mismatch_ = true;
            if (driver_) wakes.firings.push_back(*driver_);
        } else if (!hope_locked(round)) {
            fail_locked(std::make_exception_ptr(verdict_locked(round)), wakes);
        } else {
            const uint32_t shift = std::min<uint32_t>(round.number, 5);
            delay = answered_
                        ? std::min<Duration>(kRestRoundDelay * (1 << shift), kMaxRestRoundDelay)
                        : std::min<Duration>(kRoundDelay * (1 << shift), kMaxRoundDelay);
            delay += Duration(context_.random.below(static_cast<uint64_t>(delay.count()) / 4 + 1));
            segment->wake.emplace(signal);
        }
    }
    wakes.act();
    if (delay == Duration{}) co_return false;
    co_await signal.wait(now + delay);
    {
        std::lock_guard lock(mutex_);
        segment->wake.reset();
    }
    round.tried.clear();
    round.verdict = {};
    ++round.number;
    co_return true;
}

}  // namespace weir::cache
