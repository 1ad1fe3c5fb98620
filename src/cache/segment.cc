#include "cache/segment.h"

#include <fmt/format.h>

#include "base/log.h"

namespace weir::cache {

using client::BodyAction;

void Segment::begin(std::shared_ptr<Origin> next) {
    std::lock_guard lock(fetch_->mutex_);
    origin = std::move(next);
    handle.reset();
    attempt_bytes = 0;
    all = false;
    bad = contradicts = false;
    problem.clear();
}

void Segment::started(std::shared_ptr<client::TransferHandle> transfer) {
    bool cancel = false;
    {
        std::lock_guard lock(fetch_->mutex_);
        handle = transfer;
        cancel = fetch_->state_ != Fetch::State::running || fetch_->verified_;
    }
    if (cancel) transfer->cancel();
}

BodyAction Segment::on_head(const upstream::BlobHead& head) {
    try {
        {
            std::lock_guard lock(fetch_->mutex_);
            if (fetch_->state_ != Fetch::State::running || fetch_->verified_)
                return BodyAction::stop;
            if (suffix == 0 && head.first > position) {
                bad = true;
                problem = fmt::format("asked from byte {}, got from byte {}", position, head.first);
                return BodyAction::stop;
            }
            // A whole answer to a suffix request is read from its start: limit and position follow
            // from the size.
            if (suffix > 0) {
                if (!head.whole_size) {
                    bad = true;
                    problem = "a partial answer that does not tell the size of the whole";
                    return BodyAction::stop;
                }
                position = head.first;
                suffix = 0;
            }
            from_start_ = head.first < position;
            all = head.all;
            if (fetch_->upstream_name_.empty()) fetch_->upstream_name_ = origin->upstream_name();
        }
        cursor_ = head.first;
        if (head.whole_size && !fetch_->learn_size(*head.whole_size, *origin)) {
            contradicted(*head.whole_size);
            return BodyAction::stop;
        }
        {
            std::lock_guard lock(fetch_->mutex_);
            fetch_->prove_locked(*origin, head);
            // What comes whatever was asked for is taken, where all of it is wanted.
            if (head.all && head.whole_size && fetch_->whole_ && fetch_->segments_.size() == 1)
                limit = *head.whole_size;
        }
        return under_way();
    } catch (...) {
        fetch_->fail(std::current_exception());
        return BodyAction::stop;
    }
}

// From now on the bytes of this answer are promised to readers.
BodyAction Segment::under_way() {
    std::vector<Firing> out;
    BodyAction action = BodyAction::go_on;
    {
        std::lock_guard lock(fetch_->mutex_);
        answered = fetch_->answered_ = true;
        fetch_->fire_locked(out);
        if (fetch_->room_wanted_) action = BodyAction::pause;
        // The blob ends before what was asked for: nothing of it is wanted.
        if (position >= limit && position > 0) action = BodyAction::stop;
    }
    for (const Firing& firing : out) firing.fire();
    return action;
}

void Segment::contradicted(uint64_t whole_size) {
    std::lock_guard lock(fetch_->mutex_);
    bad = contradicts = true;
    if (whole_size == 0) {
        problem = "says that the blob has no bytes, which is another blob";
        return;
    }
    problem = fmt::format("says the blob has {} bytes, it was said to have {}", whole_size,
                          fetch_->size_.value_or(0));
}

Segment::Step Segment::next_step(uint64_t available) {
    std::lock_guard lock(fetch_->mutex_);
    if (fetch_->state_ != Fetch::State::running) return {Step::What::stop, 0};
    const uint64_t end = fetch_->claimed_.end_from(cursor_);
    if (end > cursor_) {
        // Present already, or being written: what another segment or an earlier request brought is
        // never written again, so that what was hashed is what is in the file.
        if (position < end && cursor_ <= position) position = std::min(end, limit);
        if (position >= limit) return {Step::What::stop, 0};
        if (!from_start_ && end - cursor_ > kSwallowBytes && cursor_ + available < end)
            return {Step::What::stop, 0};
        return {Step::What::skip, std::min(available, end - cursor_)};
    }
    if (cursor_ >= limit) return {Step::What::stop, 0};
    if (fetch_->size_ && cursor_ >= *fetch_->size_) {
        bad = true;
        problem = "more bytes than the blob has";
        return {Step::What::stop, 0};
    }
    uint64_t bytes = std::min(available, limit - cursor_);
    if (const auto gap = fetch_->claimed_.first_gap(cursor_, cursor_ + bytes))
        bytes = gap->end - cursor_;
    fetch_->claimed_.insert(cursor_, cursor_ + bytes);
    if (fetch_->unpromised_locked(fetch_->taken_locked(fetch_->claimed_)) == 0)
        return {Step::What::write, bytes};
    fetch_->claimed_.erase(cursor_, cursor_ + bytes);
    return {Step::What::reserve, bytes};
}

BodyAction Segment::on_data(std::span<const std::byte> data) {
    try {
        const uint64_t begun = cursor_;
        while (!data.empty()) {
            const Step step = next_step(data.size());
            if (step.what == Step::What::stop) return BodyAction::stop;
            if (step.what == Step::What::reserve) {
                if (fetch_->reserve_for(cursor_, cursor_ + step.bytes)) {
                    fetch_->allocate_ahead(cursor_);
                    continue;
                }
                if (!fetch_->may_make_room()) throw fetch_->no_room();
                // All of these bytes come again; those that were written are stepped over.
                cursor_ = begun;
                fetch_->want_room(step.bytes);
                return BodyAction::pause;
            }
            const auto piece = data.first(step.bytes);
            data = data.subspan(step.bytes);
            if (step.what == Step::What::write) {
                fetch_->staging_->file->write_at(cursor_, piece);
                fetch_->arrived(*this, cursor_, piece);
            }
            cursor_ += step.bytes;
        }
        std::lock_guard lock(fetch_->mutex_);
        // The end of a whole answer ends by itself, which keeps the connection for the next
        // request.
        const bool natural_end = fetch_->size_ && limit >= *fetch_->size_;
        return done() && !natural_end ? BodyAction::stop : BodyAction::go_on;
    } catch (...) {
        fetch_->fail(std::current_exception());
        return BodyAction::stop;
    }
}

}  // namespace weir::cache
