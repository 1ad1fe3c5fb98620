#include "cache/evictor.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"

namespace weir::cache {
namespace {
using namespace std::chrono_literals;
constexpr Duration kLookInterval = 1s;
constexpr Duration kRoomTime = 2s;
constexpr size_t kPage = 64;        // victims a transaction looks at
constexpr size_t kMaxPages = 4096;  // of one run, so that it ends
constexpr size_t kLeftOverPage = 16;
// A disk that keeps so many files that have to go gains nothing by more of them.
constexpr size_t kMaxStuck = 16;
constexpr auto kLeftOverAge = std::chrono::minutes(1);
constexpr int kMaxRoomFlights = 8;

class Wish {
public:
    Wish(std::atomic<uint64_t>& sum, uint64_t bytes) : sum_(sum), bytes_(bytes) { sum_ += bytes_; }
    ~Wish() { sum_ -= bytes_; }
    Wish(const Wish&) = delete;
    Wish& operator=(const Wish&) = delete;

private:
    std::atomic<uint64_t>& sum_;
    const uint64_t bytes_;
};
}  // namespace

Evictor::Evictor(EvictionOptions options, meta::Metadata& metadata, meta::Upkeep& upkeep,
                 Erasures& erasures, store::Space& space, Blobs& blobs, Pool& pool, Clock& clock,
                 Scope& scope, std::function<DiskSpace()> file_system)
    : options_(std::move(options)),
      metadata_(metadata),
      upkeep_(upkeep),
      erasures_(erasures),
      space_(space),
      blobs_(blobs),
      pool_(pool),
      clock_(clock),
      scope_(scope),
      file_system_(std::move(file_system)),
      rooms_(scope) {}

void Evictor::start(Loop& loop, std::function<Task<>()> settled) {
    scope_.spawn(loop, [this, settled = std::move(settled)] { return run(settled); });
}

void Evictor::wake() {
    std::lock_guard lock(mutex_);
    if (runner_) runner_->fire();
}

void Evictor::stop() {
    stopping_ = true;
    wake();
}

void Evictor::set_options(EvictionOptions options) {
    {
        std::lock_guard lock(mutex_);
        options_ = std::move(options);
    }
    wake();
}

EvictionOptions Evictor::options() const {
    std::lock_guard lock(mutex_);
    return options_;
}

Task<> Evictor::run(std::function<Task<>()> settled) {
    co_await settled();
    Signal signal;
    {
        std::lock_guard lock(mutex_);
        runner_.emplace(signal);
    }
    while (!stopping_) {
        try {
            co_await look();
        } catch (const Failure& failure) {
            log::warn("cache", "eviction: {}", failure.what());
        }
        co_await signal.wait(clock_.now() + kLookInterval);
    }
    std::lock_guard lock(mutex_);
    runner_.reset();
}

// How many bytes have to go so that `wanted` more stay below the high watermark; then down to the
// low one.
uint64_t Evictor::over_watermark(uint64_t wanted) const {
    const EvictionOptions options = this->options();
    if (options.max_bytes == UINT64_MAX) return 0;
    const auto whole = static_cast<double>(options.max_bytes);
    const auto high = static_cast<uint64_t>(whole * options.high);
    const auto low = static_cast<uint64_t>(whole * options.low);
    const uint64_t now = space_.used() + space_.reserved() + wanted;
    return now > high ? now - std::min(now, low) : 0;
}

// Verbs beside this server store and remove too.
Task<> Evictor::count_others() {
    const int64_t bytes = co_await pool_.run([this] { return upkeep_.disk_bytes_by_others(); });
    if (bytes > 0) space_.add(static_cast<uint64_t>(bytes));
    if (bytes < 0) space_.release(static_cast<uint64_t>(-bytes));
}

Task<> Evictor::look() {
    co_await erasures_.retry();
    co_await count_others();
    space_.set_metadata(co_await pool_.run([this] { return upkeep_.metadata_bytes(); }));
    const EvictionOptions options = this->options();
    if (const uint64_t bytes = over_watermark(0))
        co_await evict(Goal{bytes, "", std::nullopt, "watermark"});
    const DiskSpace disk = co_await pool_.run([this] { return file_system_(); });
    if (disk.free_bytes < options.min_free_bytes)
        co_await evict(
            Goal{options.min_free_bytes - disk.free_bytes, "", std::nullopt, "free space"});
    for (const auto& [upstream, quota] : options.quotas) {
        const uint64_t used = co_await pool_.run([this, name = upstream] {
            return upkeep_.disk_bytes_of(name) + upkeep_.metadata_bytes_of(name);
        });
        if (used > quota) co_await evict(Goal{used - quota, upstream, std::nullopt, "quota"});
    }
    if (options.max_age > Duration{}) {
        const auto age = std::chrono::duration_cast<std::chrono::microseconds>(options.max_age);
        co_await evict(Goal{UINT64_MAX, "", clock_.wall() - age, "age"});
    }
}

Task<uint64_t> Evictor::evict(Goal goal) {
    static auto& blobs_total = metrics::counter("weir_evictions_total", "Blobs evicted from disk");
    static auto& bytes_total =
        metrics::counter("weir_evicted_bytes_total", "Bytes evicted from disk");
    uint64_t freed = 0;
    if (!goal.accessed_before && goal.upstream.empty() && goal.bytes > 0)
        freed += co_await drop_left_overs(goal.bytes);
    // What was read a moment ago counts: the choice is made on the database's numbers.
    auto touches = blobs_.touches().take();
    if (!touches.empty()) co_await pool_.run([this, &touches] { metadata_.touch(touches); });
    const bool s3 = options().durable_tier;
    size_t limit = kPage;
    for (size_t page = 0; page < kMaxPages && freed < goal.bytes && !stopping_; ++page) {
        if (erasures_.stuck() >= kMaxStuck) break;
        const auto victims = co_await pool_.run([this, goal, s3, limit] {
            return upkeep_.disk_victims(goal.upstream, goal.accessed_before, s3, limit);
        });
        size_t taken = 0;
        for (const auto& victim : victims) {
            if (freed >= goal.bytes) break;
            if (blobs_.in_use(victim.digest)) continue;
            const bool gone = co_await pool_.run([this, victim] { return upkeep_.evict(victim); });
            if (!gone) continue;
            blobs_.forget(victim.digest);
            co_await erasures_.erase({victim.digest, victim.generation, victim.size});
            freed += victim.size;
            ++taken;
            blobs_total.Increment();
            bytes_total.Increment(static_cast<double>(victim.size));
        }
        co_await erasures_.report();
        if (victims.size() < limit) break;
        // Only what is in use was offered: look further down the list.
        if (taken == 0) limit *= 2;
    }
    if (freed > 0) log::debug("cache", "evicted {} bytes ({})", freed, goal.reason);
    co_return freed;
}

// Parts of blobs that nobody went on with count too, and are the cheapest to lose.
Task<uint64_t> Evictor::drop_left_overs(uint64_t bytes) {
    uint64_t freed = 0;
    const auto rows = co_await pool_.run([this] { return metadata_.stagings(kLeftOverPage); });
    for (const auto& row : rows) {
        if (freed >= bytes) break;
        // One that was being filled a moment ago may be taken up soon; when that was in the future,
        // the calendar has moved and nobody knows.
        const auto age = clock_.wall() - row.updated;
        if (age >= decltype(age){} && age < kLeftOverAge) continue;
        freed += co_await blobs_.fetches().drop_left_over(row.digest);
    }
    co_return freed;
}

Task<bool> Evictor::make_room(uint64_t bytes) {
    if (!space_.could_hold(bytes)) co_return false;
    const Wish wish(wished_, bytes);
    const TimePoint deadline = clock_.now() + kRoomTime;
    // A flight that was under way may not have heard of this wish: the next one has.
    for (int flights = 0; flights < kMaxRoomFlights; ++flights) {
        uint64_t freed = 0;
        try {
            freed = co_await rooms_.run("room", [this] { return make_room_for_all(); }, deadline);
        } catch (const Failure&) {
            co_return false;
        }
        if (space_.lacks(bytes) == 0) co_return true;
        if (freed == 0 && flights > 0) co_return false;
    }
    co_return false;
}

Task<uint64_t> Evictor::make_room_for_all() {
    const uint64_t wished = wished_;
    const uint64_t lacking = space_.lacks(wished);
    if (lacking == 0) co_return 0;
    Goal goal;
    goal.bytes = std::max(over_watermark(wished), lacking);
    goal.reason = "room";
    co_return co_await evict(std::move(goal));
}

}  // namespace weir::cache
