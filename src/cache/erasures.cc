#include "cache/erasures.h"

#include <utility>

#include "async/loop.h"
#include "base/failure.h"
#include "base/log.h"

namespace weir::cache {
namespace {
constexpr size_t kPage = 256;
// Between two pages others go first.
constexpr Duration kPause = std::chrono::milliseconds(1);
}  // namespace

Task<> report_erased(meta::Upkeep& upkeep, Pool& pool, std::vector<meta::Erasure>& files) {
    const auto gone = std::exchange(files, {});
    if (!gone.empty()) co_await pool.run([&upkeep, &gone] { upkeep.erased(gone); });
}

Task<size_t> erase_left_over(meta::Upkeep& upkeep, store::Store& store, Pool& pool,
                             const std::atomic<bool>& stopping) {
    size_t count = 0;
    std::optional<meta::Erasure> after;
    while (!stopping) {
        const auto page =
            co_await pool.run([&upkeep, after] { return upkeep.erasures(after, kPage); });
        std::vector<meta::Erasure> gone;
        std::string failed;
        for (const auto& file : page) {
            if (stopping) break;
            try {
                count += co_await store.erase(file.digest, file.generation) ? 1 : 0;
                gone.push_back(file);
            } catch (const Failure& failure) {
                failed = failure.what();
            }
        }
        if (!failed.empty()) log::warn("cache", "a file that has to go stays: {}", failed);
        co_await report_erased(upkeep, pool, gone);
        if (page.size() < kPage) break;
        after = page.back();
        co_await sleep_for(kPause);
    }
    co_return count;
}

}  // namespace weir::cache
