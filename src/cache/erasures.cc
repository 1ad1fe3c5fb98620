#include "cache/erasures.h"

#include <utility>

#include "async/loop.h"
#include "base/failure.h"
#include "base/log.h"

namespace weir::cache {
namespace {
constexpr size_t kPage = 256;
// Of a disk that gives up nothing, with their sizes; what is beyond is erased by its row, and
// counts no more before.
constexpr size_t kMaxRemembered = 1 << 16;
// Between two pages others go first.
constexpr Duration kPause = std::chrono::milliseconds(1);
}  // namespace

Erasures::Erasures(meta::Upkeep& upkeep, store::Store& store, store::Space* space, Pool& pool)
    : upkeep_(upkeep), store_(store), space_(space), pool_(pool) {}

// The file is off the disk; `size` as far as the caller knows it.
void Erasures::done(const oci::Digest& digest, uint64_t generation, uint64_t size) {
    {
        std::lock_guard lock(mutex_);
        if (const auto stuck = stuck_.extract(generation)) size = stuck.mapped().size;
        unreported_.push_back({digest, generation});
    }
    if (space_ && size > 0) space_->release(size);
}

Task<> Erasures::erase(GoneFile file) {
    try {
        co_await store_.erase(file.digest, file.generation);
    } catch (const Failure&) {
        bool kept = false;
        {
            std::lock_guard lock(mutex_);
            kept = stuck_.size() < kMaxRemembered;
            if (kept) stuck_.emplace(file.generation, file);
        }
        if (!kept && space_) space_->release(file.size);
        throw;
    }
    done(file.digest, file.generation, file.size);
}

Task<> Erasures::report() {
    std::vector<meta::Erasure> gone;
    {
        std::lock_guard lock(mutex_);
        gone.swap(unreported_);
    }
    if (!gone.empty()) co_await pool_.run([this, &gone] { upkeep_.erased(gone); });
}

Task<> Erasures::retry() {
    std::vector<GoneFile> files;
    {
        std::lock_guard lock(mutex_);
        for (const auto& [generation, file] : stuck_) files.push_back(file);
    }
    for (const GoneFile& file : files) {
        try {
            co_await store_.erase(file.digest, file.generation);
            // Somebody else may have been first: then it counts no more.
            done(file.digest, file.generation, 0);
        } catch (const Failure& failure) {
            log::debug("cache", "a file that has to go stays: {}", failure.what());
        }
    }
    co_await report();
}

size_t Erasures::stuck() const {
    std::lock_guard lock(mutex_);
    return stuck_.size();
}

Task<size_t> Erasures::erase_left_over(const std::atomic<bool>& stopping) {
    size_t count = 0;
    std::optional<meta::Erasure> after;
    while (!stopping) {
        const auto page =
            co_await pool_.run([this, after] { return upkeep_.erasures(after, kPage); });
        std::string failed;
        for (const auto& file : page) {
            if (stopping) break;
            try {
                count += co_await store_.erase(file.digest, file.generation) ? 1 : 0;
                done(file.digest, file.generation, 0);
            } catch (const Failure& failure) {
                failed = failure.what();
            }
        }
        if (!failed.empty()) log::warn("cache", "a file that has to go stays: {}", failed);
        co_await report();
        if (page.size() < kPage) break;
        after = page.back();
        co_await sleep_for(kPause);
    }
    co_return count;
}

}  // namespace weir::cache
