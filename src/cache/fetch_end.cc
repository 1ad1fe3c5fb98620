// cache/fetch_end.cc: how a Fetch ends: stored, begun anew, or left for the next request; and what
// it records meanwhile.
#include <algorithm>

#include "base/log.h"
#include "cache/fetch.h"
#include "cache/gate.h"

namespace weir::cache {
namespace {
constexpr size_t kCopyStepBytes = 1 << 20;
}  // namespace

// Extents become part of the database only after their bytes are on disk; with them, who may be
// given them: after a restart no upstream has to say so again.
Task<meta::Extents> Fetch::record() {
    meta::StagingRow row;
    std::shared_ptr<store::Staging> staging;
    std::vector<std::string> proven;
    {
        std::lock_guard lock(mutex_);
        row.digest = digest_;
        row.generation = staging_->generation;
        row.size = size_;
        row.extents = have_;
        row.private_of = private_of_;
        // Where a copy is stored that it has no claim to, the last byte decides.
        if (!terms_.anew) proven = proven_now_locked();
        recorded_ = received_;
        staging = staging_;
        if (unnamed_ || overtaken_) co_return row.extents;
    }
    row.updated = context_.clock.wall();
    co_await context_.store.sync(staging);
    auto& metadata = context_.metadata;
    co_await context_.pool.run([&metadata, row, proven] {
        for (const auto& repository : proven) link_by_word(metadata, repository, row.digest);
        metadata.put_staging(row);
    });
    row_bytes_ = row.extents.total();
    co_return row.extents;
}

Task<> Fetch::finish() {
    bool verified = false, mismatch = false, stored = false;
    {
        std::lock_guard lock(mutex_);
        stored = state_ == State::stored;
        verified = verified_;
        mismatch = mismatch_;
    }
    if (stored) co_return;
    if (verified) co_return co_await store_blob();
    if (mismatch) co_return co_await restart_or_fail();
    co_await end_partial();
}

Task<> Fetch::store_blob() {
    if (context_.admits && !context_.admits(digest_, *size_)) {
        // Whoever reads it has the file open; it is not worth its place on the disk yet.
        auto& metadata = context_.metadata;
        const auto digest = digest_;
        std::vector<std::string> proven;
        {
            std::lock_guard lock(mutex_);
            proven = proven_now_locked();
        }
        co_await context_.pool.run([&metadata, digest, proven] {
            for (const auto& repository : proven) metadata.link(repository, digest);
        });
        co_await drop_file();
        std::lock_guard lock(mutex_);
        state_ = State::stored;
        co_return;
    }
    bool kept = true;
    {
        std::lock_guard lock(mutex_);
        kept = !overtaken_;
    }
    if (kept && context_.overtake)
        if (const auto ending = context_.overtake(*this)) co_await ending->join();
    if (!kept || (unnamed_ && !co_await make_named())) {
        // Its readers have it; it is stored already, or there is no room to keep it.
        co_await drop_file();
        std::lock_guard lock(mutex_);
        state_ = State::stored;
        co_return;
    }
    co_await context_.store.commit(staging_);
    meta::BlobRow row;
    std::vector<std::string> proven;
    {
        std::lock_guard lock(mutex_);
        row.size = *size_;
        row.upstream = upstream_name_;
        row.private_of = private_of_;
        proven = proven_now_locked();
    }
    row.digest = digest_;
    row.generation = staging_->generation;
    row.created = row.accessed = context_.clock.wall();
    auto& metadata = context_.metadata;
    const bool fresh = co_await context_.pool.run([&metadata, row, proven] {
        const bool inserted = metadata.put_blob(row, proven.empty() ? "" : proven.front());
        for (size_t i = 1; i < proven.size(); ++i) metadata.link(proven[i], row.digest);
        return inserted;
    });
    if (!fresh) co_await context_.store.erase(digest_, row.generation);
    if (fresh && context_.stored) context_.stored();
    context_.left_by.erase(digest_);
    std::lock_guard lock(mutex_);
    row_bytes_ = fresh ? row.size : 0;
    count_space_locked(row_bytes_);
    state_ = State::stored;
}

// What another left, or is filling still, of a blob that is whole now.
Task<> Fetch::clear_row() {
    auto& metadata = context_.metadata;
    const auto digest = digest_;
    const auto row =
        co_await context_.pool.run([&metadata, digest] { return metadata.find_staging(digest); });
    if (!row) co_return;
    // The file first: a row without a file is harmless.
    co_await context_.store.discard_left_over(digest, row->generation);
    if (!owns()) co_return;  // it counts at its owner's
    co_await context_.pool.run([&metadata, digest] { metadata.remove_staging(digest); });
    context_.space.release(row->extents.total());
}

// What has no name is written again under one: rare, and from the page cache.
Task<bool> Fetch::make_named() {
    co_await clear_row();
    auto room = context_.space.reserve(*size_);
    if (!room) co_return false;
    auto& metadata = context_.metadata;
    const auto generation =
        co_await context_.pool.run([&metadata] { return metadata.next_generation(); });
    auto named = co_await context_.store.stage(digest_, generation, std::nullopt);
    std::exception_ptr error;
    try {
        co_await context_.pool.run([from = file_, to = named->file, size = *size_] {
            std::vector<std::byte> buffer(kCopyStepBytes);
            for (uint64_t at = 0; at < size;) {
                const auto piece =
                    std::span(buffer).first(std::min<uint64_t>(buffer.size(), size - at));
                if (from->read_at(at, piece) != piece.size())
                    throw Failure(Kind::io, "a staging file is shorter than its extents");
                to->write_at(at, piece);
                at += piece.size();
            }
        });
    } catch (...) {
        error = std::current_exception();
    }
    if (error) {
        co_await context_.store.discard(named);
        std::rethrow_exception(error);
    }
    std::lock_guard lock(mutex_);
    staging_ = std::move(named);
    unnamed_ = false;
    co_return true;
}

// All bytes have arrived and they are not the blob. Those who have seen bytes are cut; if nobody
// has, the next origin is tried within this same fetch.
Task<> Fetch::restart_or_fail() {
    SegmentRound unused;
    Origins guilty;
    {
        std::lock_guard lock(mutex_);
        // Bytes of an earlier process may be what is wrong: nobody is blamed for them.
        for (const auto& origin : origins_) {
            const auto& key = origin->key();
            if (resumed_ || !(contributed_.contains(key) || size_from_ == key)) continue;
            guilty.push_back(origin);
            convicted_.insert(key);
        }
    }
    for (const auto& origin : guilty) blame(*origin, "wrong digest", unused);
    co_await drop_file();
    Failure wrong(Kind::upstream_bad,
                  fmt::format("what the upstream sent is not {}", digest_.text()));
    bool again = false;
    {
        std::lock_guard lock(mutex_);
        again = !shown_ && untried_locked({}) && state_ == State::running;
        if (again) {
            have_.clear();
            claimed_.clear();
            allocated_to_ = 0;
            wanted_.clear();
            // A head that was given promised this size; a right blob of another size can't be
            // served under it.
            if (head_given_) promised_size_ = size_;
            size_.reset();
            room_asked_ = false;
            hasher_ = crypto::Hasher(digest_.algorithm());
            hashed_ = received_ = recorded_ = 0;
            contributed_.clear();
            size_from_.clear();
            upstream_name_.clear();
            proven_.clear();
            private_of_.clear();
            resumed_ = mismatch_ = doubtful_ = false;
            whole_ = true;
            staging_.reset();
            file_.reset();
        }
    }
    if (!again) {
        fail(std::make_exception_ptr(wrong));
        co_return;
    }
    co_await prepare();
    co_await fill();
    co_await finish();
}

// Ranges that were wanted have arrived, or the fetch failed half-way: what is here is kept for the
// next request.
Task<> Fetch::end_partial() {
    bool any = false;
    {
        std::lock_guard lock(mutex_);
        // What had no room and no known size would have none the next time.
        any = !unnamed_ && !overtaken_ && !have_.empty() && !doubtful_ && !mismatch_ &&
              (size_ || !unkept_);
    }
    if (!any) co_return co_await drop_file();
    const auto recorded = co_await record();
    context_.left_by.put(digest_, group_);
    bool more = false;
    {
        std::lock_guard lock(mutex_);
        more = allocated_ || claimed_ != recorded;
    }
    try {
        if (more) co_await keep_only(staging_, recorded);
    } catch (const Failure& failure) {
        log::warn("cache", "what is here of {} takes more room than is counted: {}", digest_.text(),
                  failure.what());
    }
    std::lock_guard lock(mutex_);
    count_space_locked(row_bytes_);
}

Task<> Fetch::keep_only(std::shared_ptr<store::Staging> staging, meta::Extents extents) {
    return context_.pool.run([staging = std::move(staging), extents = std::move(extents)] {
        uint64_t kept_to = 0;
        for (const auto& extent : extents.list()) {
            staging->file->release(kept_to, extent.first);
            kept_to = extent.end;
        }
        staging->file->cut(kept_to);
    });
}

// Nothing of this stays. The file goes first: a row without a file is harmless, a file without a
// row would never be found.
Task<> Fetch::drop_file() {
    if (!staging_) co_return;
    co_await context_.store.discard(staging_);
    if (!unnamed_) {
        auto& metadata = context_.metadata;
        const auto digest = digest_;
        co_await context_.pool.run([&metadata, digest] { metadata.remove_staging(digest); });
        context_.left_by.erase(digest_);
    }
    std::lock_guard lock(mutex_);
    row_bytes_ = 0;
    count_space_locked(0);
}

Task<uint64_t> Fetch::sweep(LeftOver fate) {
    uint64_t freed = 0;
    std::exception_ptr error;
    try {
        freed = co_await tidy(fate);
    } catch (...) {
        error = std::current_exception();
    }
    conclude();
    if (error) std::rethrow_exception(error);
    co_return freed;
}

Task<uint64_t> Fetch::tidy(LeftOver fate) {
    auto& metadata = context_.metadata;
    const auto digest = digest_;
    bool stored = false;
    const auto row = co_await context_.pool.run([&metadata, digest, &stored] {
        auto staging = metadata.find_staging(digest);
        const auto blob = metadata.find_blob(digest);
        stored = staging && blob && blob->on_disk && blob->generation == staging->generation;
        return staging;
    });
    if (!row) co_return 0;
    const bool sound = !context_.renounced.get(digest);
    // The process may have died between its commit and its row.
    if (fate == LeftOver::cut && sound && !row->extents.empty()) {
        auto staging = co_await context_.store.reopen(digest, row->generation);
        if (!staging && !stored)
            staging = co_await context_.store.take_back(digest, row->generation);
        if (staging) {
            co_await keep_only(std::move(staging), row->extents);
            co_return 0;
        }
    }
    // The file first, as in drop_file().
    co_await context_.store.discard_left_over(digest, row->generation);
    if (!stored) co_await context_.store.erase(digest, row->generation);
    context_.renounced.erase(digest);
    co_await context_.pool.run([&metadata, digest] { metadata.remove_staging(digest); });
    const uint64_t freed = row->extents.total();
    context_.space.release(freed);
    co_return freed;
}

// After the disk or the database failed: keeps what can be kept, and what counts as used is again
// what the database knows.
Task<> Fetch::salvage() {
    try {
        co_await end_partial();
        co_return;
    } catch (const std::exception& error) {
        log::warn("cache", "what has arrived of {} is lost: {}", digest_.text(), error.what());
    }
    co_await renounce();
    std::lock_guard lock(mutex_);
    count_space_locked(row_bytes_);
}

// Readers may have been shown more than the row tells of, so the file is not cut to that: it goes,
// and whoever reads it has it open. The row stays, counts on, and harms nobody.
Task<> Fetch::renounce() {
    if (!staging_) co_return;
    try {
        co_await context_.store.discard(staging_);
        co_await context_.store.erase(digest_, staging_->generation);
        co_return;
    } catch (const std::exception& error) {
        log::warn("cache", "what is here of {} takes more room than is counted: {}", digest_.text(),
                  error.what());
    }
    context_.renounced.put(digest_, true);
}

}  // namespace weir::cache
