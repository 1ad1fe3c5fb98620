// cache/memory.h: one budget of bytes for all that is remembered, and how it is split.
//
// Each kind has its own share, so that none can push another out, and the shares add up to the
// budget. What is weighed is the bytes with keys and overhead.
#pragma once
#include <algorithm>
#include <cstdint>

namespace weir::cache {

inline constexpr const char* kMemoryGauge = "weir_memory_bytes";
inline constexpr const char* kMemoryGaugeHelp =
    "Bytes of what is remembered, by kind; together within weir.memory.bytes";

inline constexpr uint64_t kMemoryBytes = 128ull << 20;  // weir.memory.bytes

struct MemoryShares {
    uint64_t memos = 0;      // what requests meant and the header lines of their answers
    uint64_t manifests = 0;  // bytes of manifests
    uint64_t tags = 0;       // what tags point at
    uint64_t links = 0;      // what may be served under which repository: two tables, half each
    uint64_t index = 0;      // blobs that are stored
    uint64_t lists = 0;      // tags/list and referrers
    uint64_t negative = 0;   // what upstreams said no to: three tables, a third each
    uint64_t answers = 0;    // what is only being read by somebody (cache/answers.h)
};

// In 32nds of the budget; of manifests no more than `most_manifests` (weir.memory.manifestBytes):
// what that leaves over is for answers.
constexpr MemoryShares split_memory(uint64_t budget, uint64_t most_manifests) {
    const uint64_t part = budget / 32;
    const uint64_t manifests = std::min(10 * part, most_manifests);
    return {.memos = 4 * part,
            .manifests = manifests,
            .tags = 2 * part,
            .links = 2 * part,
            .index = 2 * part,
            .lists = 5 * part,
            .negative = part,
            .answers = 6 * part + (10 * part - manifests)};
}

}  // namespace weir::cache
