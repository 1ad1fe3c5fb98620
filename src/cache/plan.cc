// cache/plan.cc: which range of the blob to ask for next. The fetch's mutex is held throughout.
#include <algorithm>

#include "cache/fetch.h"
#include "cache/segment.h"

namespace weir::cache {
namespace {
// Ranges at once for one blob when only ranges are wanted, and transfers for readers that are far
// ahead.
constexpr size_t kMaxRangeSegments = 4;
constexpr size_t kMaxUrgentSegments = 3;
// What comes before the first byte that is wanted makes its reader wait; what comes after, nobody.
constexpr uint64_t kMaxLeadBytes = 64 * 1024;
const FetchPolicy kNoOrigins;

// How much of the end is asked for when a client wants the last bytes of it.
uint64_t suffix_bytes(const WantedRange& spec, uint64_t chunk_bytes) {
    return std::max(spec.last.value_or(0), std::min(chunk_bytes, kMaxLeadBytes));
}
}  // namespace

uint64_t Fetch::align_down(uint64_t offset) const {
    return offset - offset % std::min(context_.options.chunk_bytes, kMaxLeadBytes);
}

uint64_t Fetch::align_up(uint64_t offset) const {
    const uint64_t chunk = context_.options.chunk_bytes;
    if (offset > UINT64_MAX - chunk) return UINT64_MAX;
    return (offset + chunk - 1) / chunk * chunk;
}

const FetchPolicy& Fetch::policy_locked() const {
    return origins_.empty() ? kNoOrigins : origins_.front()->policy();
}

bool Fetch::gives_parts_locked() const {
    return origins_.empty() ||
           std::any_of(origins_.begin(), origins_.end(),
                       [](const auto& origin) { return origin->gives_parts(); });
}

void Fetch::resolve_wanted_locked() {
    const uint64_t size = *size_;
    for (const WantedRange& spec : specs_) {
        uint64_t first = 0;
        uint64_t begin = 0;
        uint64_t end = size;
        if (spec.first) {
            first = *spec.first;
            begin = align_down(first);
            if (spec.last) end = std::min(size, align_up(std::min(*spec.last, size) + 1));
        } else {
            const uint64_t asked = suffix_bytes(spec, context_.options.chunk_bytes);
            first = size - std::min(size, spec.last.value_or(0));
            // Where the one request begins that was made before the size was known: what lies
            // before it would be a second one, for nobody.
            begin = std::max(align_down(first), size - std::min(size, asked));
        }
        // A range that turns out to be all of it is promised what a whole is.
        whole_ = whole_ || (first == 0 && end == size);
        if (first < size) wanted_.insert(begin, end);
    }
    specs_.clear();
    if (whole_) wanted_.insert(0, size);
}

// The size isn't known: one request, which tells it.
std::optional<Fetch::Plan> Fetch::plan_blind_locked() const {
    Plan plan;
    plan.range.first = have_.end_from(0);
    if (whole_ || specs_.empty()) {
        const FetchPolicy& policy = policy_locked();
        if (policy.segments > 1) plan.limit = plan.range.first + policy.segment_bytes;
        return plan;
    }
    const WantedRange& spec = specs_.front();
    if (!spec.first) {
        plan.range.suffix = suffix_bytes(spec, context_.options.chunk_bytes);
        return plan;
    }
    plan.range.first = have_.end_from(align_down(*spec.first));
    if (spec.last && *spec.last < UINT64_MAX) plan.limit = align_up(*spec.last + 1);
    // All of it is here but the size of the whole, which comes with any other byte.
    if (plan.limit <= plan.range.first) plan.limit = align_up(plan.range.first + 1);
    return plan;
}

// A reader waits far ahead of the transfer that would bring its bytes, or where none will for now:
// it gets one of its own, and the other one ends where that begins.
std::optional<Fetch::Plan> Fetch::plan_urgent_locked() {
    size_t urgent = 0;
    for (const auto& segment : segments_) urgent += segment->urgent ? 1 : 0;
    if (urgent >= kMaxUrgentSegments) return std::nullopt;
    for (const Waiter& waiter : waiters_) {
        if (waiter.offset >= *size_ || have_.end_from(waiter.offset) > waiter.offset) continue;
        const auto covering = std::find_if(segments_.begin(), segments_.end(), [&](const auto& s) {
            return s->position <= waiter.offset && waiter.offset < s->limit;
        });
        uint64_t first = align_down(waiter.offset);
        uint64_t end = std::min(*size_, align_up(waiter.wake_at));
        if (covering != segments_.end()) {
            const uint64_t ahead = waiter.offset - (*covering)->position;
            if (ahead <= context_.options.range_ahead_bytes) continue;
            first = std::max(first, (*covering)->position);
            end = std::min(end, (*covering)->limit);
        }
        // What others bring is left to them.
        for (const auto& segment : segments_) {
            if (covering != segments_.end() && segment == *covering) continue;
            if (segment->limit <= waiter.offset) first = std::max(first, segment->limit);
            if (segment->position > waiter.offset) end = std::min(end, segment->position);
        }
        // The gap that holds the waiter's byte.
        auto gap = have_.first_gap(first, end);
        while (gap && gap->end <= waiter.offset) gap = have_.first_gap(gap->end, end);
        if (!gap || gap->first > waiter.offset) continue;
        Plan plan;
        plan.urgent = true;
        plan.range.first = gap->first;
        plan.limit = gap->end;
        if (covering != segments_.end()) (*covering)->limit = plan.range.first;
        return plan;
    }
    return std::nullopt;
}

// Something that was asked for is neither here nor on its way.
bool Fetch::wants_more_locked() {
    if (!size_) return true;
    resolve_wanted_locked();
    for (const auto& [first, end] : wanted_.list())
        if (!have_.contains(first, end)) return true;
    return whole_ && hashed_ < *size_;
}

std::optional<Fetch::Plan> Fetch::plan_locked() {
    if (state_ != State::running || mismatch_ || verified_) return std::nullopt;
    const bool parts = gives_parts_locked();
    // Whatever is asked for comes from the start: all of it is kept.
    if (!parts) {
        whole_ = true;
        if (size_ && segments_.size() == 1 && segments_.front()->all)
            segments_.front()->limit = *size_;
    }
    if (!size_) {
        if (!segments_.empty()) return std::nullopt;
        return plan_blind_locked();
    }
    resolve_wanted_locked();
    const FetchPolicy& policy = policy_locked();
    const bool segmented = parts && policy.segments > 1 && *size_ >= policy.segment_min_bytes;
    const size_t usual = segmented ? policy.segments : whole_ ? 1 : kMaxRangeSegments;
    size_t running = 0;
    for (const auto& segment : segments_) running += segment->urgent ? 0 : 1;
    if (running >= usual && !parts) return std::nullopt;
    if (running >= usual) return plan_urgent_locked();

    for (const auto& [first, end] : wanted_.list()) {
        uint64_t cursor = first;
        while (const auto gap = have_.first_gap(cursor, end)) {
            // What is on its way already is not asked for again.
            uint64_t gap_end = gap->end;
            bool covered = false;
            for (const auto& segment : segments_) {
                if (segment->position <= gap->first && gap->first < segment->limit) {
                    cursor = segment->limit;
                    covered = true;
                    break;
                }
                if (segment->position > gap->first) gap_end = std::min(gap_end, segment->position);
            }
            if (covered) {
                if (cursor >= end) break;
                continue;
            }
            Plan plan;
            plan.range.first = gap->first;
            plan.limit = segmented ? std::min(gap_end, gap->first + policy.segment_bytes) : gap_end;
            return plan;
        }
    }
    return plan_urgent_locked();
}

}  // namespace weir::cache
