// cache/fetch_drive.cc: the driver of a Fetch: prepare and fill. How it ends is in fetch_end.cc.
//
// The driver is one coroutine on one loop. It starts segments (each a coroutine of its own), has
// the front hashed, records extents, and ends the fetch: stored, parked or failed. Nobody else
// changes State to an end but fail().
#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "cache/fetch.h"
#include "cache/segment.h"

namespace weir::cache {
namespace {
using namespace std::chrono_literals;
constexpr uint64_t kHashStepBytes = 1 << 20;
// Rounds over all origins for a blob of which no byte has come yet.
constexpr int kFirstByteRounds = 3;
constexpr Duration kRoundDelay = 100ms;
constexpr Duration kMaxRoundDelay = 2s;
constexpr Duration kMinAttempt = 1s;
constexpr Duration kLingerTime = 200ms;
// How long an origin that gave wrong bytes of a blob is not asked for it again.
constexpr Duration kBadOriginTime = 10min;
}  // namespace

void Fetch::start(std::function<void()> ended) {
    ended_ = std::move(ended);
    context_.scope.spawn(Loop::current(), [self = shared_from_this()] { return self->drive(); });
}

Task<> Fetch::join() {
    Signal signal;
    for (;;) {
        {
            std::lock_guard lock(mutex_);
            if (ended_flag_) co_return;
            joiners_.push_back(Firing(signal));
        }
        co_await signal.wait();
    }
}

Task<> Fetch::drive() {
    if (predecessor_) {
        co_await predecessor_->join();
        predecessor_.reset();
    }
    try {
        auto permit =
            co_await context_.permits.acquire(context_.clock.now() + context_.options.miss_timeout);
        co_await prepare();
        co_await fill();
        co_await finish();
    } catch (const std::exception& error) {
        // The disk or the database broke, or there was no room: what is on disk stays for the next
        // request.
        log::warn("cache", "fetch of {} failed: {}", digest_.text(), error.what());
        fail(std::current_exception());
    }
    co_await settle();
    // Out of the table first: whoever comes from now on starts anew and waits for this end.
    ended_();
    std::vector<Firing> joiners;
    {
        std::lock_guard lock(mutex_);
        if (state_ == State::running) state_ = State::parked;
        ended_flag_ = true;
        driver_.reset();
        joiners.swap(joiners_);
    }
    for (const Firing& joiner : joiners) joiner.fire();
}

// Until no segment and no hashing job uses this fetch any more.
Task<> Fetch::settle() {
    Signal signal;
    for (;;) {
        {
            std::lock_guard lock(mutex_);
            if (segments_.empty() && !hashing_) {
                driver_.reset();
                co_return;
            }
            driver_.emplace(signal);
        }
        co_await signal.wait();
    }
}

// What an earlier request or process left: the stored blob (it may have been stored between the
// caller's look and now), or extents to go on from; else a new staging file.
Task<> Fetch::prepare() {
    struct Found {
        std::optional<meta::BlobRow> blob;
        std::optional<meta::StagingRow> staging;
    };
    auto& metadata = context_.metadata;
    const auto digest = digest_;
    Found found = co_await context_.pool.run([&metadata, digest] {
        Found f;
        f.blob = metadata.find_blob(digest);
        if (!f.blob) f.staging = metadata.find_staging(digest);
        return f;
    });
    if (found.blob) {
        if (auto file = co_await context_.store.open(digest, found.blob->generation)) {
            std::vector<Firing> out;
            {
                std::lock_guard lock(mutex_);
                file_ = std::move(file);
                size_ = found.blob->size;
                have_.insert(0, *size_);
                verified_ = true;
                state_ = State::stored;
                fire_locked(out);
            }
            for (const Firing& firing : out) firing.fire();
            co_return;
        }
        // The row outlived its file: drop it and fetch again.
        const uint64_t lost = found.blob->generation;
        log::warn("cache", "the file of {} is gone; fetching it again", digest.text());
        co_await context_.pool.run(
            [&metadata, digest, lost] { metadata.remove_blob(digest, lost); });
        context_.space.release(found.blob->size);
    }
    if (found.staging) {
        auto staging = co_await context_.store.reopen(digest, found.staging->generation);
        if (staging && adopt_staging(*found.staging, staging)) co_return;
        co_await context_.store.discard_left_over(digest, found.staging->generation);
    }
    meta::StagingRow row;
    row.digest = digest;
    row.updated = context_.clock.wall();
    row.generation = co_await context_.pool.run([&metadata, row]() mutable {
        row.generation = metadata.next_generation();
        metadata.put_staging(row);
        return row.generation;
    });
    auto staging = co_await context_.store.stage(digest, row.generation, std::nullopt);
    std::lock_guard lock(mutex_);
    staging_ = std::move(staging);
    file_ = staging_->file;
}

bool Fetch::adopt_staging(const meta::StagingRow& row, std::shared_ptr<store::Staging> staging) {
    if (row.extents.empty()) return false;
    std::optional<store::Space::Reservation> reservation;
    if (row.size) {
        // What is here counts as used already; the rest is promised now.
        reservation = context_.space.reserve(*row.size - std::min(*row.size, row.extents.total()));
        if (!reservation)
            throw Failure(Kind::no_space,
                          fmt::format("no room for the rest of {}", digest_.text()));
    }
    std::vector<Firing> out;
    {
        std::lock_guard lock(mutex_);
        staging_ = std::move(staging);
        file_ = staging_->file;
        have_ = row.extents;
        size_ = row.size;
        resumed_ = true;
        counted_ = row.extents.total();
        if (reservation) reservation_ = std::move(*reservation);
        fire_locked(out);
    }
    for (const Firing& firing : out) firing.fire();
    log::info("cache", "going on with {}: {} of {} bytes are here", digest_.text(),
              row.extents.total(), row.size.value_or(0));
    return true;
}

void Fetch::spawn_work() {
    std::vector<std::shared_ptr<Segment>> fresh;
    bool hash = false;
    {
        std::lock_guard lock(mutex_);
        while (auto plan = plan_locked()) {
            segments_.push_back(std::make_shared<Segment>(shared_from_this(), plan->range.first,
                                                          plan->limit, plan->range.suffix,
                                                          plan->urgent));
            fresh.push_back(segments_.back());
        }
        if (!hashing_ && !verified_ && !mismatch_ && state_ == State::running &&
            have_.end_from(hashed_) > hashed_)
            hash = hashing_ = true;
    }
    for (auto& segment : fresh)
        context_.scope.spawn(Loop::current(), [self = shared_from_this(), segment] {
            return self->run_segment(segment);
        });
    if (hash) context_.pool.post([self = shared_from_this()] { self->hash_ahead(); });
}

// On the pool: brings the hasher up to the front, from the page cache. Owns the hasher while
// hashing_ is set.
void Fetch::hash_ahead() {
    std::vector<Firing> out;
    std::vector<std::byte> buffer(kHashStepBytes);
    for (;;) {
        uint64_t bytes = 0;
        {
            std::lock_guard lock(mutex_);
            bytes = have_.end_from(hashed_) - hashed_;
            if (bytes == 0 || state_ != State::running) {
                hashing_ = false;
                check_sum_locked(out);
                if (driver_) out.push_back(*driver_);
                break;
            }
        }
        const auto piece = std::span(buffer).first(std::min<uint64_t>(bytes, buffer.size()));
        try {
            if (file_->read_at(hashed_, piece) != piece.size())
                throw Failure(Kind::io, fmt::format("staging of {} is shorter than its extents",
                                                    digest_.text()));
            hasher_.update(piece);
            std::lock_guard lock(mutex_);
            hashed_ += piece.size();
        } catch (...) {
            {
                std::lock_guard lock(mutex_);
                hashing_ = false;
            }
            fail(std::current_exception());
            return;
        }
    }
    for (const Firing& firing : out) firing.fire();
}

// Until the blob is verified, found wrong, failed, or (for ranges) all that was wanted is there.
Task<> Fetch::fill() {
    Signal signal;
    {
        std::lock_guard lock(mutex_);
        driver_.emplace(signal);
    }
    for (;;) {
        spawn_work();
        bool record_due = false;
        {
            std::lock_guard lock(mutex_);
            record_due = received_ - recorded_ >= context_.options.record_bytes && !verified_;
            const bool busy = !segments_.empty() || hashing_;
            if (state_ != State::running || verified_ || mismatch_) {
                if (!busy) break;
            } else if (!busy && size_ && specs_.empty()) {
                if (policy_locked().rest && !whole_) {
                    whole_ = true;
                    continue;
                }
                // All that was wanted is here, and it is not the whole: parked, unless somebody
                // wants more meanwhile.
                state_ = State::parked;
                break;
            }
        }
        if (record_due) {
            co_await record();
            continue;
        }
        const bool fired = co_await signal.wait(patience());
        if (!fired) stop_segments();
    }
    std::lock_guard lock(mutex_);
    driver_.reset();
}

// A verified blob needs no more bytes: transfers end by themselves (which keeps their connections)
// or, soon, by force.
TimePoint Fetch::patience() const {
    std::lock_guard lock(mutex_);
    return verified_ ? context_.clock.now() + kLingerTime : kNever;
}

void Fetch::stop_segments() {
    std::vector<std::shared_ptr<client::TransferHandle>> handles;
    std::vector<Firing> out;
    {
        std::lock_guard lock(mutex_);
        for (const auto& segment : segments_) {
            if (segment->handle) handles.push_back(segment->handle);
            if (segment->wake) out.push_back(*segment->wake);
        }
    }
    for (const auto& handle : handles) handle->cancel();
    for (const Firing& firing : out) firing.fire();
}

std::shared_ptr<Origin> Fetch::choose_origin(const std::set<std::string>& tried) const {
    std::lock_guard lock(mutex_);
    std::shared_ptr<Origin> second_choice;
    for (const auto& origin : origins_) {
        if (tried.contains(origin->key())) continue;
        const auto until = context_.bad_origins.get(bad_key(*origin));
        if (until && *until > context_.clock.now()) continue;
        if (origin->usable() && !slow_.contains(origin->key())) return origin;
        if (!second_choice) second_choice = origin;
    }
    return second_choice;
}

Task<> Fetch::run_segment(std::shared_ptr<Segment> segment) {
    SegmentRound round;
    round.started = context_.clock.now();
    while (true) {
        {
            std::lock_guard lock(mutex_);
            // Another request may have brought the next bytes.
            if (segment->suffix == 0)
                segment->position = std::max(
                    segment->position, std::min(have_.end_from(segment->position), segment->limit));
            if (state_ != State::running || verified_ || segment->done()) break;
        }
        auto origin = choose_origin(round.tried);
        if (!origin) {
            if (!co_await next_round(segment, round)) break;
            continue;
        }
        co_await attempt(segment, origin, round);
    }
    std::optional<Firing> driver;
    {
        std::lock_guard lock(mutex_);
        std::erase(segments_, segment);
        driver = driver_;
    }
    if (driver) driver->fire();
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
        const bool to_the_end = size_ ? segment->limit >= *size_ : segment->limit == UINT64_MAX;
        if (!to_the_end) range.last = segment->limit - 1;
    }
    const TimePoint now = context_.clock.now();
    const auto answer = co_await origin->read(
        digest_, range, segment, [segment](auto handle) { segment->started(std::move(handle)); },
        now + head_time(round));

    std::string problem;
    bool progress = false;
    bool done = false;
    {
        std::lock_guard lock(mutex_);
        progress = segment->attempt_bytes > 0;
        problem = segment->bad ? segment->problem : "";
        segment->handle.reset();
        done = segment->done();
    }
    if (progress) round.forget();
    if (!problem.empty()) {
        co_return blame(*origin, problem, round);
    }
    using upstream::TransferEnd;
    if (answer.end == TransferEnd::complete && !size()) {
        // No length was announced: the end of the body tells it.
        learn_size(segment->position);
        co_return;
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
                  answer.end == TransferEnd::stalled ? "stalled" : "broke off", segment->position);
    }
    // A cut that brought something is taken up at once, by the same origin too; anything else is
    // the next one's turn.
    if (!progress || answer.end == TransferEnd::stalled) round.tried.insert(origin->key());
}

void Fetch::blame(Origin& origin, const std::string& problem, SegmentRound& round) {
    log::warn("cache", "{}: {} is not asked for it again for a while: {}", digest_.text(),
              origin.key(), problem);
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

// Every origin was tried and brought nothing. false: the fetch has failed.
Task<bool> Fetch::next_round(std::shared_ptr<Segment> segment, SegmentRound& round) {
    Signal signal;
    const TimePoint now = context_.clock.now();
    Duration delay{};
    {
        std::lock_guard lock(mutex_);
        bool again = false;
        if (received_ > 0 || resumed_) {
            // Readers have begun: go on trying as long as there is hope, they only see a pause.
            again =
                now - std::max(progress_, round.started) < context_.options.no_progress_timeout &&
                !round.verdict.empty();
        } else {
            again = round.verdict.worth_a_retry() && round.number + 1 < kFirstByteRounds &&
                    now - round.started < context_.options.miss_timeout * 7 / 10;
        }
        if (again) {
            const uint32_t shift = std::min<uint32_t>(round.number, 5);
            delay = std::min<Duration>(kRoundDelay * (1 << shift), kMaxRoundDelay);
            delay += Duration(context_.random.below(static_cast<uint64_t>(delay.count()) / 4 + 1));
            segment->wake.emplace(signal);
        }
    }
    if (delay == Duration{}) {
        fail(std::make_exception_ptr(
            round.verdict.failure(Kind::blob_unknown, fmt::format("blob {}", digest_.text()))));
        co_return false;
    }
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
