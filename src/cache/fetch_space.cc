// cache/fetch_space.cc: the space of a Fetch. It follows the bytes, not an upstream's word: a step
// at a time is promised, before bytes are written, and what has been written counts as used. A size
// that an upstream claims moves nobody else's blob; one that could not be held at all is relayed at
// once. Where room runs out the transfer pauses until it is made, else the rest is relayed.
#include <algorithm>
#include <utility>

#include "cache/fetch.h"
#include "cache/segment.h"

namespace weir::cache {
namespace {
constexpr int kRoomTries = 4;
}  // namespace

// Of `total` bytes on the disk, those that are neither counted nor promised.
uint64_t Fetch::unpromised_locked(uint64_t total) const {
    return total - std::min(total, counted_ + reservation_.bytes());
}

// What is written or allocated ahead takes room on the disk, wherever the next bytes come.
uint64_t Fetch::taken_locked(const meta::Extents& claimed) const {
    uint64_t bytes = claimed.total();
    for (auto gap = claimed.first_gap(0, allocated_to_); gap;
         gap = claimed.first_gap(gap->end, allocated_to_))
        bytes += gap->end - gap->first;
    return bytes;
}

// What is to be on the disk, as far as it can be foreseen: all of a whole blob; of ranges what is
// here and the chunks that are wanted. 0 before the size is known.
uint64_t Fetch::foreseen_locked() {
    if (!size_) return 0;
    resolve_wanted_locked();
    if (whole_) return *size_;
    meta::Extents all = claimed_;
    for (const auto& [first, end] : wanted_.list()) all.insert(first, end);
    return all.total();
}

// The next step, when the one before is used up. What a transfer pauses for is part of it.
bool Fetch::reserve() {
    std::lock_guard one(promising_);
    uint64_t need = 0, step = 0;
    {
        std::lock_guard lock(mutex_);
        if (state_ != State::running) return true;
        count_written_locked();
        const uint64_t left = unpromised_locked(foreseen_locked());
        const uint64_t ahead = counted_ + reservation_.bytes() -
                               std::min(taken_locked(claimed_), counted_ + reservation_.bytes());
        if (ahead >= std::max<uint64_t>(room_bytes_, 1) || (left == 0 && room_bytes_ == 0))
            return true;
        need = room_bytes_ - std::min(room_bytes_, ahead);
        step = std::max(need, std::min(left, context_.options.space_step_bytes));
    }
    if (step == 0 || promise(step)) return true;
    return need > 0 && need < step && promise(need);
}

// For bytes that are about to be written: a step, or just what is needed where that is too much.
bool Fetch::reserve_for(uint64_t first, uint64_t end) {
    std::lock_guard one(promising_);
    uint64_t rest = 0, step = 0;
    {
        std::lock_guard lock(mutex_);
        count_written_locked();
        meta::Extents all = claimed_;
        all.insert(first, end);
        rest = unpromised_locked(taken_locked(all));
        step = std::max(rest, context_.options.space_step_bytes);
        const uint64_t foreseen = foreseen_locked();
        if (foreseen > 0) step = std::clamp(unpromised_locked(foreseen), rest, step);
    }
    return rest == 0 || (step > rest && promise(step)) || promise(rest);
}

// Written bytes count as used from here on: the file system knows them too, and what it was asked
// before must not be taken for them twice.
void Fetch::count_written_locked() {
    const uint64_t written = have_.total();
    if (written <= counted_) return;
    const uint64_t part = std::min(written - counted_, reservation_.bytes());
    reservation_.keep_part(part);
    counted_ += part;
}

bool Fetch::promise(uint64_t bytes) {
    auto reservation = context_.space.reserve(bytes);
    if (!reservation) return false;
    std::lock_guard lock(mutex_);
    reservation_.add(std::move(*reservation));
    return true;
}

Failure Fetch::no_room() const {
    return Failure(Kind::no_space, fmt::format("no room for {}", digest_.text()));
}

// What was promised at the front is taken from the disk before it is written, so that a full disk
// says so first. Segments ahead of the front do without.
void Fetch::allocate_ahead(uint64_t offset) {
    uint64_t end = 0;
    {
        std::lock_guard lock(mutex_);
        // Beyond the end of a body that told no length nothing may stay.
        if (!whole_ || !size_ || claimed_.end_from(0) < offset) return;
        const uint64_t promised = counted_ + reservation_.bytes();
        end = std::min(offset + promised - std::min(taken_locked(claimed_), promised), *size_);
        allocated_ = true;
        allocated_to_ = std::max(allocated_to_, end);
    }
    staging_->file->allocate(end);
}

// Bytes of which nobody told how many there will be are not worth others' place.
bool Fetch::may_make_room() const {
    return context_.make_room && size();
}

// Without anybody who makes room all of it has to fit as things are.
bool Fetch::could_hold(uint64_t foreseen) {
    if (context_.make_room) return context_.space.could_hold(foreseen);
    uint64_t rest = 0;
    {
        std::lock_guard lock(mutex_);
        rest = unpromised_locked(foreseen);
    }
    return context_.space.lacks(rest) == 0;
}

// A transfer that found no room for its next bytes pauses until there is some.
void Fetch::want_room(uint64_t bytes) {
    std::optional<Firing> driver;
    {
        std::lock_guard lock(mutex_);
        room_wanted_ = true;
        room_bytes_ = std::max(room_bytes_, bytes);
        driver = driver_;
    }
    if (driver) driver->fire();
}

// Until there is room for the next step, then transfers that paused for it go on. Without any the
// fetch has failed.
Task<> Fetch::ensure_room() {
    // What was made may be taken by another by the time that this one looks.
    for (int tries = 0; !reserve(); ++tries) {
        uint64_t rest = 0, foreseen = 0;
        {
            std::lock_guard lock(mutex_);
            foreseen = foreseen_locked();
            rest = std::max(room_bytes_, std::min(unpromised_locked(foreseen),
                                                  context_.options.space_step_bytes));
        }
        // More may be wanted by now than could be held at all.
        const bool vain = tries == kRoomTries || !may_make_room() || !could_hold(foreseen);
        if (vain || !co_await context_.make_room(rest)) {
            fail(std::make_exception_ptr(no_room()));
            break;
        }
    }
    std::vector<Firing> out;
    std::vector<std::shared_ptr<client::TransferHandle>> paused;
    {
        std::lock_guard lock(mutex_);
        room_bytes_ = 0;
        if (!std::exchange(room_wanted_, false)) co_return;
        fire_locked(out);
        if (state_ == State::running)
            for (const auto& segment : segments_)
                if (segment->handle) paused.push_back(segment->handle);
    }
    for (const auto& firing : out) firing.fire();
    for (const auto& handle : paused) handle->resume();
}

// Of this blob `total` bytes stay on disk: that much counts as used, what was promised beyond is
// given back.
void Fetch::count_space_locked(uint64_t total) {
    if (total < counted_) {
        context_.space.release(counted_ - total);
    } else {
        const uint64_t more = total - counted_;
        const uint64_t promised = std::min(more, reservation_.bytes());
        reservation_.keep_part(promised);
        if (more > promised) context_.space.add(more - promised);
    }
    counted_ = total;
    reservation_ = {};
}

}  // namespace weir::cache
