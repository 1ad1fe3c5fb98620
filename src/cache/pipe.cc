#include "cache/pipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/failure.h"
#include "base/text.h"

namespace weir::cache {
namespace {

using client::BodyAction;

void fire_all(const std::vector<Firing>& firings) {
    for (const auto& firing : firings) firing.fire();
}

bool same_origins(const Origins& a, const Origins& b) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
        return x->key() == y->key() && x->proves() == y->proves();
    });
}

}  // namespace

Pipe::Pipe(RelayRequest request, uint64_t capacity, Clock& clock)
    : request_(std::move(request)),
      capacity_(capacity),
      end_(request_.first + request_.length),
      clock_(clock),
      gathers_until_(clock.now() + kGatherTime),
      position_(request_.first),
      hasher_(request_.digest.algorithm()) {
    const bool to_end = request_.size && end_ == *request_.size;
    verify_ = to_end && (request_.first == 0 || request_.prefix);
}

// `from` is locked.
Pipe::Pipe(const Pipe& from, uint64_t offset)
    : request_(from.request_),
      capacity_(from.capacity_),
      end_(from.end_),
      clock_(from.clock_),
      cloned_(true),
      position_(from.position_),
      verify_(from.verify_),
      hasher_(from.hasher_),
      ignores_ranges_(from.ignores_ranges_),
      done_(from.done_),
      error_(from.error_) {
    for (const auto& piece : from.pieces_)
        if (piece.end() > offset) pieces_.push_back(piece);
}

// --- the transfer

BodyAction Pipe::on_head(const upstream::BlobHead& head) {
    std::lock_guard lock(mutex_);
    cursor_ = head.first;
    const bool other_size = request_.size && head.whole_size && *head.whole_size != *request_.size;
    contradicted_ = contradicted_ || other_size;
    ignores_ranges_ = ignores_ranges_ || head.first < position_;
    if (closed_ || head.first > position_ || other_size) return BodyAction::stop;
    return BodyAction::go_on;
}

BodyAction Pipe::on_data(std::span<const std::byte> data) {
    Wakes wakes;
    bool stop = false, pause = false;
    {
        std::lock_guard lock(mutex_);
        if (closed_ || resting_) return BodyAction::stop;
        const uint64_t skip = std::min<uint64_t>(position_ - cursor_, data.size());
        const auto fresh =
            data.subspan(skip).first(std::min<uint64_t>(data.size() - skip, end_ - position_));
        if (!fresh.empty() && !has_room_locked(fresh.size())) {
            pause = paused_ = true;
            paused_since_ = clock_.now();
            if (minder_) wakes.push_back(*minder_);
        } else {
            cursor_ += data.size();
            std::optional<crypto::Hasher> before;
            if (verify_) before = hasher_;
            stop = verify_ && !hash_locked(fresh);
            if (!stop) append_locked(fresh, std::move(before));
            stop = stop || (position_ == end_ && cursor_ > end_);
            wake_readers_locked(wakes);
        }
    }
    fire_all(wakes);
    if (pause) return BodyAction::pause;
    return stop ? BodyAction::stop : BodyAction::go_on;
}

// What comes before the request's first byte was given to the reader already.
void Pipe::append_locked(std::span<const std::byte> fresh, std::optional<crypto::Hasher> before) {
    const uint64_t given =
        std::min<uint64_t>(request_.first - std::min(request_.first, position_), fresh.size());
    const auto shown = fresh.subspan(given);
    if (!shown.empty()) {
        // A sum in the middle of a piece is not kept: the window is never cut there.
        if (given > 0) before.reset();
        pieces_.push_back({position_ + given, std::make_shared<const std::string>(as_text(shown)),
                           std::move(before)});
        const TimePoint now = clock_.now();
        for (auto& [number, reader] : readers_)
            if (!reader.behind_since) reader.behind_since = now;
    }
    position_ += fresh.size();
    if (position_ == end_) end_locked();
}

// false: these bytes are not those that the reader was given.
bool Pipe::hash_locked(std::span<const std::byte> fresh) {
    const auto& shown = request_.shown;
    const uint64_t bound = shown && shown->sum ? shown->length : 0;
    if (position_ < bound && bound <= position_ + fresh.size()) {
        const auto front = fresh.first(bound - position_);
        hasher_.update(front);
        fresh = fresh.subspan(front.size());
        if (hasher_.digest() != *shown->sum) {
            error_ = std::make_exception_ptr(Failure(
                Kind::upstream_bad,
                fmt::format("what was given of {} is not what comes now", request_.digest.text())));
            return false;
        }
    }
    hasher_.update(fresh);
    return true;
}

void Pipe::end_locked() {
    if (!verify_ || hasher_.digest() == request_.digest) {
        done_ = true;
    } else {
        error_ = std::make_exception_ptr(
            Failure(Kind::upstream_bad,
                    fmt::format("what the upstream sent is not {}", request_.digest.text())));
    }
}

void Pipe::started(std::shared_ptr<client::TransferHandle> handle) {
    bool cancel = false;
    {
        std::lock_guard lock(mutex_);
        handle_ = handle;
        paused_ = resting_ = false;
        paused_for_ = {};
        cancel = closed_;
    }
    if (cancel) handle->cancel();
}

// --- the window

uint64_t Pipe::least_offset_locked() const {
    uint64_t least = position_;
    for (const auto& [number, reader] : readers_) least = std::min(least, reader.offset);
    return least;
}

uint64_t Pipe::most_offset_locked() const {
    uint64_t most = 0;
    for (const auto& [number, reader] : readers_) most = std::max(most, reader.offset);
    return most;
}

// Read bytes stay as long as there is room, for those who may yet join.
bool Pipe::has_room_locked(uint64_t bytes) {
    const auto held = [this] { return pieces_.empty() ? 0 : position_ - pieces_.front().first; };
    const uint64_t least = least_offset_locked();
    const uint64_t capacity = capacity_locked();
    if (clock_.now() < gathers_until_) return pieces_.empty() || held() + bytes <= capacity;
    while (held() + bytes > capacity && !pieces_.empty() && pieces_.front().end() <= least)
        pieces_.pop_front();
    return pieces_.empty() || position_ - least + bytes <= capacity;
}

uint64_t Pipe::window_bytes() const {
    std::lock_guard lock(mutex_);
    uint64_t bytes = 0;
    for (const auto& piece : pieces_) bytes += piece.bytes->size();
    return bytes;
}

void Pipe::cut_window_locked(uint64_t end) {
    while (!pieces_.empty() && pieces_.back().first >= end) {
        auto& last = pieces_.back();
        if (verify_ && !last.before) return;
        if (verify_) hasher_ = *std::move(last.before);
        position_ = last.first;
        pieces_.pop_back();
    }
}

void Pipe::wake_readers_locked(Wakes& wakes) {
    for (auto& [number, reader] : readers_)
        if (auto waiting = std::exchange(reader.waiting, std::nullopt)) wakes.push_back(*waiting);
}

void Pipe::unpause_locked(TimePoint now) {
    if (!std::exchange(paused_, false)) return;
    paused_for_ += now - paused_since_;
}

// After room was made: what was waiting for it goes on. The handle is to be resumed.
std::shared_ptr<client::TransferHandle> Pipe::make_progress_locked(Wakes& wakes) {
    const uint64_t unread = position_ - least_offset_locked();
    std::shared_ptr<client::TransferHandle> resume;
    const bool gathers = clock_.now() < gathers_until_;
    if (paused_ && !gathers && (unread == 0 || unread <= capacity_locked() * 3 / 4)) {
        unpause_locked(clock_.now());
        resume = handle_;
        if (minder_) wakes.push_back(*minder_);
    }
    if (runner_ && (wanted_locked() || closed_)) {
        wakes.push_back(*runner_);
        runner_.reset();
    }
    return resume;
}

// --- readers

std::optional<uint64_t> Pipe::join(const RelayRequest& wish) {
    std::lock_guard lock(mutex_);
    if (closed_ || error_) return std::nullopt;
    if (numbers_ > 0) {
        const bool same = wish.digest == request_.digest && wish.size == request_.size &&
                          wish.first + wish.length == end_ && !wish.prefix && !wish.shown &&
                          !request_.shown && same_origins(wish.origins, request_.origins);
        const uint64_t base = pieces_.empty() ? position_ : pieces_.front().first;
        if (!same || wish.first < base || wish.first > position_) return std::nullopt;
    }
    const TimePoint now = clock_.now();
    Reader& reader = readers_[++numbers_];
    reader.offset = wish.first;
    reader.joined = now;
    if (wish.first < position_) reader.behind_since = now;
    return numbers_;
}

std::optional<Pipe::Taken> Pipe::take(uint64_t number, uint64_t max, const Firing& firing) {
    std::shared_ptr<client::TransferHandle> resume;
    Wakes wakes;
    Taken taken;
    {
        std::lock_guard lock(mutex_);
        if (moved_.contains(number)) return std::nullopt;
        Reader& reader = readers_.at(number);
        const uint64_t withheld = verify_ && !done_ && position_ == end_ ? 1 : 0;
        const uint64_t there = position_ - std::min(position_, reader.offset);
        const uint64_t ready = there - std::min(withheld, there);
        if (ready == 0) {
            if (error_) std::rethrow_exception(error_);
            taken.end = done_ && reader.offset == end_;
            if (taken.end) return taken;
            reader.waiting = firing;
            reader.behind_since.reset();
            const TimePoint now = clock_.now();
            if (starves_locked(reader, now)) part_from_laggards_locked(now, wakes);
        } else {
            if (const auto since = std::exchange(reader.hungry_since, std::nullopt))
                reader.hungry_for += clock_.now() - *since;
            const auto piece = std::ranges::find_if(
                pieces_, [&](const Piece& p) { return reader.offset < p.end(); });
            check(piece != pieces_.end() && piece->first <= reader.offset,
                  "what a reader has not read is in the window");
            const uint64_t from = reader.offset - piece->first;
            const uint64_t count = std::min({ready, max, piece->bytes->size() - from});
            taken.piece = piece->bytes;
            taken.bytes = weir::as_bytes(std::string_view(*piece->bytes).substr(from, count));
            reader.offset += count;
            if (reader.offset == position_) reader.behind_since.reset();
        }
        resume = make_progress_locked(wakes);
    }
    fire_all(wakes);
    if (resume) resume->resume();
    if (!taken.piece) return std::nullopt;
    return taken;
}

bool Pipe::lacks_room_locked() const {
    return paused_ || (resting_bytes_ && !wanted_locked());
}

// It has nothing to read, and for how long altogether.
bool Pipe::starves_locked(Reader& reader, TimePoint now) const {
    if (reader.hungry_since) reader.hungry_for += now - *reader.hungry_since;
    reader.hungry_since = now;
    return lacks_room_locked() && reader.hungry_for >= kLagTime &&
           reader.hungry_for >= (now - reader.joined) / 2;
}

void Pipe::part_from_laggards_locked(TimePoint now, Wakes& wakes) {
    const auto lags = [now](const Reader& reader) {
        return reader.behind_since && *reader.behind_since + kLagTime <= now;
    };
    uint64_t least = UINT64_MAX;
    for (const auto& [number, reader] : readers_)
        if (lags(reader)) least = std::min(least, reader.offset);
    if (least == UINT64_MAX) return;
    const auto slow = std::shared_ptr<Pipe>(new Pipe(*this, least));
    for (auto next = readers_.begin(); next != readers_.end();) {
        const auto at = next++;
        Reader& reader = at->second;
        if (!lags(reader)) continue;
        const uint64_t there = ++slow->numbers_;
        slow->readers_[there] = {.offset = reader.offset,
                                 .behind_since = now,
                                 .joined = now,
                                 .hungry_since = {},
                                 .hungry_for = {},
                                 .waiting = {}};
        moved_[at->first] = {slow, there};
        if (reader.waiting) wakes.push_back(*reader.waiting);
        readers_.erase(at);
    }
}

std::optional<Pipe::Moved> Pipe::moved(uint64_t number) {
    std::lock_guard lock(mutex_);
    const auto node = moved_.extract(number);
    return node ? std::optional(node.mapped()) : std::nullopt;
}

void Pipe::leave(uint64_t number) {
    std::shared_ptr<client::TransferHandle> resume, cancel;
    std::optional<Moved> moved;
    Wakes wakes;
    {
        std::lock_guard lock(mutex_);
        if (const auto at = moved_.find(number); at != moved_.end()) {
            moved = at->second;
            moved_.erase(at);
        } else {
            readers_.erase(number);
            if (readers_.empty()) {
                closed_ = true;
                cancel = handle_;
                if (minder_) wakes.push_back(*minder_);
            }
            resume = make_progress_locked(wakes);
        }
    }
    fire_all(wakes);
    if (cancel) {
        cancel->cancel();
    } else if (resume) {
        resume->resume();
    }
    if (moved) moved->to->leave(moved->number);
}

// --- the runner

bool Pipe::take_start() {
    std::lock_guard lock(mutex_);
    return !std::exchange(begun_, true);
}

void Pipe::begin_anew() {
    std::lock_guard lock(mutex_);
    hasher_ = crypto::Hasher(request_.digest.algorithm());
    position_ = 0;
}

bool Pipe::wanted_locked() const {
    if (done_ || error_ || closed_ || position_ == end_) return false;
    if (!resting_bytes_) return true;
    // Nearly empty for the reader that is furthest, and with room for what the slowest holds.
    const uint64_t capacity = capacity_locked();
    return position_ - std::min(position_, most_offset_locked()) <= capacity / 4 &&
           position_ - least_offset_locked() <= capacity * 3 / 4;
}

bool Pipe::wanted(const Firing& firing) {
    std::lock_guard lock(mutex_);
    if (done_ || error_ || closed_) return true;  // over(): nothing to wait for
    const bool now = wanted_locked();
    if (!now) runner_ = firing;
    if (now && resting_bytes_) {
        if (clock_.now() - asked_enough_ <= kAtOnce) *resting_bytes_ *= 2;
        if (*resting_bytes_ >= capacity_) resting_bytes_.reset();
    }
    return now;
}

upstream::BlobRange Pipe::next_range() const {
    std::lock_guard lock(mutex_);
    upstream::BlobRange range;
    range.first = position_;
    range.size = request_.size;
    // The closed form wherever it is a part: some know no other.
    if (position_ > 0 || !request_.size || end_ < *request_.size) range.last = end_ - 1;
    if (resting_bytes_) {
        const uint64_t unread = position_ - least_offset_locked();
        const uint64_t bytes = *resting_bytes_ - std::min(unread, *resting_bytes_ * 3 / 4);
        if (position_ + bytes < end_) range.last = position_ + bytes - 1;
    }
    return range;
}

bool Pipe::rests() {
    std::lock_guard lock(mutex_);
    if (!resting_bytes_) return false;
    if (!std::exchange(resting_, false)) asked_enough_ = clock_.now();
    unpause_locked(clock_.now());
    return true;
}

TimePoint Pipe::rest_due(const Firing& firing) {
    std::lock_guard lock(mutex_);
    minder_ = firing;
    if (!paused_) return kNever;
    if (paused_since_ < gathers_until_) return gathers_until_;
    if (ignores_ranges_) return kNever;
    return paused_since_ + (kPauseTime - std::min<Duration>(paused_for_, kPauseTime));
}

void Pipe::rest(TimePoint now) {
    std::shared_ptr<client::TransferHandle> cancel, resume;
    {
        std::lock_guard lock(mutex_);
        if (!paused_ || resting_) return;
        const bool gathered = paused_since_ < gathers_until_;
        if (!gathered && ignores_ranges_) return;
        unpause_locked(now);
        if (gathered) {
            paused_for_ = {};
            resume = handle_;
        } else {
            resting_ = true;
            resting_bytes_ = std::min(kRestBytes, capacity_);
            asked_enough_ = now - kAtOnce * 2;
            cut_window_locked(most_offset_locked() + *resting_bytes_);
            has_room_locked(0);  // gives back what all have read
            cancel = handle_;
        }
    }
    if (cancel) cancel->cancel();
    if (resume) resume->resume();
}

uint64_t Pipe::position() const {
    std::lock_guard lock(mutex_);
    return position_;
}

bool Pipe::over() const {
    std::lock_guard lock(mutex_);
    return closed_ || done_ || error_;
}

bool Pipe::contradicted() const {
    std::lock_guard lock(mutex_);
    return contradicted_;
}

void Pipe::fail(std::exception_ptr error) {
    Wakes wakes;
    {
        std::lock_guard lock(mutex_);
        if (!done_ && !error_) error_ = std::move(error);
        wake_readers_locked(wakes);
        if (runner_) wakes.push_back(*runner_);
        if (minder_) wakes.push_back(*minder_);
    }
    fire_all(wakes);
}

void Pipe::stop() {
    fail(std::make_exception_ptr(Failure(Kind::draining, "weir is shutting down")));
    std::shared_ptr<client::TransferHandle> handle;
    {
        std::lock_guard lock(mutex_);
        if (error_) {
            pieces_.clear();
            for (auto& [number, reader] : readers_)
                reader.offset = std::max(reader.offset, position_);
        }
        closed_ = true;
        handle = handle_;
    }
    if (handle) handle->cancel();
}

}  // namespace weir::cache
