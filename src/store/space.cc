#include "store/space.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/failure.h"

namespace weir::store {
namespace {
constexpr Duration kProbeInterval = std::chrono::seconds(1);

// The numbers come from configuration and from upstreams' headers: no sum goes over the end.
uint64_t sum(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}
uint64_t over(uint64_t wanted, uint64_t limit) {
    return wanted - std::min(wanted, limit);
}
}  // namespace

struct Space::State {
    std::mutex mutex;
    Limits limits;
    uint64_t used = 0;
    uint64_t metadata = 0;  // beside what is used
    uint64_t reserved = 0;
    std::function<DiskSpace()> file_system;
    Clock* clock = nullptr;
    std::optional<TimePoint> probed;
    uint64_t free_at_probe = 0;
    uint64_t kept_since_probe = 0;  // was free at the probe and isn't any more

    uint64_t free_now() {
        const TimePoint now = clock->now();
        if (!probed || now - *probed >= kProbeInterval) {
            probed = now;
            try {
                free_at_probe = file_system().free_bytes;
            } catch (const Failure&) {
                free_at_probe = 0;  // a disk that doesn't even answer that gets nothing promised
            }
            kept_since_probe = 0;
        }
        const uint64_t gone = std::min(free_at_probe, kept_since_probe);
        return free_at_probe - gone;
    }
    // What is reserved may or may not have been allocated on the disk already; it is counted as if
    // not.
    uint64_t lacks(uint64_t bytes) {
        const uint64_t more = sum(reserved, bytes);
        return std::max(over(sum(used + metadata, more), limits.max_bytes),
                        over(sum(more, limits.min_free_bytes), free_now()));
    }
};

Space::Space(Limits limits, uint64_t used, std::function<DiskSpace()> file_system, Clock& clock)
    : state_(std::make_shared<State>()) {
    state_->limits = limits;
    state_->used = used;
    state_->file_system = std::move(file_system);
    state_->clock = &clock;
}

std::optional<Space::Reservation> Space::reserve(uint64_t bytes) {
    State& s = *state_;
    std::lock_guard lock(s.mutex);
    if (s.lacks(bytes) > 0) return std::nullopt;
    s.reserved += bytes;
    return Reservation(state_, bytes);
}

uint64_t Space::lacks(uint64_t bytes) const {
    std::lock_guard lock(state_->mutex);
    return state_->lacks(bytes);
}

bool Space::could_hold(uint64_t bytes) const {
    State& s = *state_;
    std::lock_guard lock(s.mutex);
    return sum(bytes, s.metadata) <= s.limits.max_bytes &&
           sum(bytes, s.limits.min_free_bytes) <= sum(s.free_now(), s.used);
}

void Space::release(uint64_t bytes) {
    std::lock_guard lock(state_->mutex);
    state_->used -= std::min(state_->used, bytes);
    state_->probed.reset();
}

void Space::add(uint64_t bytes) {
    std::lock_guard lock(state_->mutex);
    state_->used += bytes;
    state_->kept_since_probe += bytes;
}

void Space::set_metadata(uint64_t bytes) {
    std::lock_guard lock(state_->mutex);
    state_->metadata = bytes;
}

bool Space::grow_metadata(uint64_t bytes) {
    State& s = *state_;
    std::lock_guard lock(s.mutex);
    const uint64_t free = s.free_now();
    if (s.reserved > free || bytes > free - s.reserved) return false;
    if (free - s.reserved - bytes < s.limits.min_free_bytes) return false;
    s.kept_since_probe += bytes;
    return true;
}

void Space::set_limits(Limits limits) {
    std::lock_guard lock(state_->mutex);
    state_->limits = limits;
}

uint64_t Space::used() const {
    std::lock_guard lock(state_->mutex);
    return state_->used + state_->metadata;
}

uint64_t Space::reserved() const {
    std::lock_guard lock(state_->mutex);
    return state_->reserved;
}

Space::Reservation& Space::Reservation::operator=(Reservation&& other) noexcept {
    Reservation before(std::move(*this));
    state_ = std::move(other.state_);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
}

Space::Reservation::~Reservation() {
    if (!state_) return;
    std::lock_guard lock(state_->mutex);
    state_->reserved -= bytes_;
}

void Space::Reservation::add(Reservation other) noexcept {
    if (!state_) {
        *this = std::move(other);
        return;
    }
    bytes_ += std::exchange(other.bytes_, 0);
}

void Space::Reservation::keep() {
    check(state_ != nullptr, "a reservation is kept once");
    keep_part(bytes_);
}

void Space::Reservation::keep_part(uint64_t bytes) {
    check(bytes <= bytes_, "no more is kept than was promised");
    if (bytes == 0) return;
    std::lock_guard lock(state_->mutex);
    state_->reserved -= bytes;
    state_->used += bytes;
    state_->kept_since_probe += bytes;
    bytes_ -= bytes;
}

}  // namespace weir::store
