// cache/fetch_drive.cc: the driver of a Fetch: prepare and fill. How a segment gets its bytes is in
// fetch_segments.cc, how a Fetch ends in fetch_end.cc.
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
constexpr Duration kLingerTime = 200ms;
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
    bool broken = false;
    try {
        if (context_.settled) co_await context_.settled();
        const auto place = co_await take_place();
        co_await prepare();
        co_await fill();
        co_await finish();
    } catch (const std::exception& error) {
        // The disk or the database broke, or there was no room: what is on disk stays for the next
        // request.
        log::warn("cache", "fetch of {} failed: {}", digest_.text(), error.what());
        fail(std::current_exception());
        broken = true;
    }
    stop_segments();
    co_await settle();
    if (broken) co_await salvage();
    conclude();
}

// Out of the table first: whoever comes from now on starts anew.
void Fetch::conclude() {
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
    Found found = co_await context_.pool.run([&metadata, digest, anew = terms_.anew] {
        Found f;
        f.blob = metadata.find_blob(digest);
        if (anew) f.blob.reset();
        if (!f.blob || !f.blob->on_disk) f.staging = metadata.find_staging(digest);
        return f;
    });
    if (found.blob && found.blob->on_disk) {
        if (auto file = co_await context_.store.open(digest, found.blob->generation)) {
            std::vector<Firing> out;
            {
                std::lock_guard lock(mutex_);
                file_ = std::move(file);
                private_of_ = found.blob->private_of;
                size_ = found.blob->size;
                have_.insert(0, *size_);
                verified_ = true;
                state_ = State::stored;
                fire_locked(out);
            }
            for (const Firing& firing : out) firing.fire();
            co_return;
        }
        // The row outlived its file: the bytes come again, from the durable tier if they are there.
        const uint64_t lost = found.blob->generation;
        log::warn("cache", "the file of {} is gone; fetching it again", digest.text());
        co_await context_.pool.run([this, digest, lost] { context_.lose(digest, lost); });
        context_.space.release(found.blob->size);
    }
    if (found.blob && found.blob->in_s3) {
        // What comes back from there is no less private than it was, whichever file it goes to.
        std::lock_guard lock(mutex_);
        private_of_ = found.blob->private_of;
    }
    const auto left_by = context_.left_by.get(digest);
    if (found.staging && left_by && *left_by != group_) {
        std::lock_guard lock(mutex_);
        owns_ = false;
    }
    if (!owns()) co_return co_await prepare_unnamed();
    if (found.staging) {
        auto staging = co_await context_.store.reopen(digest, found.staging->generation);
        // The process died, or the disk failed, between the commit and its row.
        if (!staging)
            staging = co_await context_.store.take_back(digest, found.staging->generation);
        const bool sound = !context_.renounced.get(digest) && may_take(found.staging->private_of);
        if (staging && sound && !found.staging->extents.empty()) {
            // One that the pass at the start did not come to may have more in it.
            co_await keep_only(staging, found.staging->extents);
            adopt_staging(*found.staging, std::move(staging));
            co_return;
        }
        co_await context_.store.discard_left_over(digest, found.staging->generation);
        context_.renounced.erase(digest);
    }
    meta::StagingRow row;
    row.digest = digest;
    row.updated = context_.clock.wall();
    row.generation = co_await context_.pool.run([&metadata, row]() mutable {
        row.generation = metadata.next_generation();
        metadata.put_staging(row);
        return row.generation;
    });
    if (found.staging) context_.space.release(found.staging->extents.total());
    auto staging = co_await context_.store.stage(digest, row.generation, std::nullopt);
    std::vector<Firing> out;
    {
        std::lock_guard lock(mutex_);
        staging_ = std::move(staging);
        file_ = staging_->file;
        // What is in the durable tier has a known size.
        if (found.blob && found.blob->in_s3 && !size_) size_ = found.blob->size;
        check_sum_locked(out);  // of an empty blob: there is nothing to ask for
        fire_locked(out);
    }
    for (const Firing& firing : out) firing.fire();
}

// What an earlier fetch left may be somebody's: of another login, or of one that is not known.
bool Fetch::may_take(const std::string& private_of) const {
    return private_of.empty() || private_of + "\n" == terms_.scope;
}

// Beside the fetch that owns the row. No crash leaves a file that has no name.
Task<> Fetch::prepare_unnamed() {
    auto& metadata = context_.metadata;
    const auto generation =
        co_await context_.pool.run([&metadata] { return metadata.next_generation(); });
    auto staging = co_await context_.store.stage(digest_, generation, std::nullopt);
    co_await context_.store.discard(staging);
    std::lock_guard lock(mutex_);
    staging_ = std::move(staging);
    file_ = staging_->file;
    unnamed_ = true;
}

void Fetch::adopt_staging(const meta::StagingRow& row, std::shared_ptr<store::Staging> staging) {
    std::vector<Firing> out;
    {
        std::lock_guard lock(mutex_);
        staging_ = std::move(staging);
        file_ = staging_->file;
        have_ = claimed_ = row.extents;
        size_ = row.size;
        if (private_of_.empty()) private_of_ = row.private_of;
        resumed_ = true;
        counted_ = row_bytes_ = row.extents.total();
        fire_locked(out);
    }
    for (const Firing& firing : out) firing.fire();
    log::info("cache", "going on with {}: {} of {} bytes are here", digest_.text(),
              row.extents.total(), row.size.value_or(0));
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
            const bool there = file_->read_at(hashed_, piece) == piece.size();
            if (there) hasher_.update(piece);
            std::lock_guard lock(mutex_);
            if (!there) {
                doubtful_ = true;
                throw Failure(Kind::io, fmt::format("staging of {} is shorter than its extents",
                                                    digest_.text()));
            }
            hashed_ += piece.size();
        } catch (...) {
            Wakes wakes;
            {
                std::lock_guard lock(mutex_);
                hashing_ = false;
                fail_locked(std::current_exception(), wakes);
                // It may have ended before, and its driver waits for this.
                if (driver_) wakes.firings.push_back(*driver_);
            }
            wakes.act();
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
        co_await ensure_room();
        spawn_work();
        bool record_due = false;
        {
            std::lock_guard lock(mutex_);
            record_due = received_ - recorded_ >= context_.options.record_bytes && !verified_;
            const bool busy = !segments_.empty() || hashing_;
            if (state_ != State::running || verified_ || mismatch_) {
                if (!busy) break;
            } else if (!busy && !wants_more_locked()) {
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
        if (park_unread() || (!fired && all_here())) stop_segments();
    }
    std::lock_guard lock(mutex_);
    driver_.reset();
}

// A blob that is all here, right or wrong, needs no more bytes: transfers end by themselves (which
// keeps their connections) or, soon, by force.
TimePoint Fetch::patience() const {
    return context_.clock.now() + (all_here() ? kLingerTime : kCrawlTime);
}

bool Fetch::all_here() const {
    std::lock_guard lock(mutex_);
    return verified_ || mismatch_;
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

}  // namespace weir::cache
