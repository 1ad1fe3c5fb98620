// cache/fetch_space.cc: the space of a Fetch: promised before bytes are written, counted once they
// stay. Nothing is written that was not promised.
#include <algorithm>
#include <utility>

#include "cache/fetch.h"
#include "cache/segment.h"

namespace weir::cache {

// Of `total` bytes on the disk, those that are neither counted nor promised.
uint64_t Fetch::unpromised_locked(uint64_t total) const {
    return total - std::min(total, counted_ + reservation_.bytes());
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

bool Fetch::reserve() {
    std::lock_guard one(promising_);
    uint64_t rest = 0;
    {
        std::lock_guard lock(mutex_);
        if (state_ != State::running) return true;
        rest = unpromised_locked(foreseen_locked());
    }
    return rest == 0 || promise(rest);
}

// What could not be foreseen: a body whose length nobody told, an answer that brings more than was
// asked for. It takes its space a chunk at a time, or just what it needs where that is too much.
bool Fetch::reserve_for(uint64_t first, uint64_t end) {
    std::lock_guard one(promising_);
    uint64_t rest = 0, step = 0;
    {
        std::lock_guard lock(mutex_);
        meta::Extents all = claimed_;
        all.insert(first, end);
        rest = unpromised_locked(all.total());
        step = std::max(rest, context_.options.chunk_bytes);
        if (size_) step = std::clamp(unpromised_locked(*size_), rest, step);
    }
    return rest == 0 || (step > rest && promise(step)) || promise(rest);
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

// Until there is room for what is foreseen, then transfers that paused for it go on. Without any
// the fetch has failed.
Task<> Fetch::ensure_room() {
    if (!reserve()) {
        uint64_t rest = 0;
        {
            std::lock_guard lock(mutex_);
            rest = unpromised_locked(foreseen_locked());
        }
        // More may be wanted by the time that there is room: then there has to be room for that
        // too.
        if (!context_.make_room || !co_await context_.make_room(rest) || !reserve())
            fail(std::make_exception_ptr(no_room()));
    }
    std::vector<Firing> out;
    std::vector<std::shared_ptr<client::TransferHandle>> paused;
    {
        std::lock_guard lock(mutex_);
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
