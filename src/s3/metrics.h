// s3/metrics.h: what weir counts of S3.
#pragma once
#include <array>

#include "base/metrics.h"
#include "s3/bucket.h"

namespace weir::s3 {

enum class Verb { head, get, put, create, part, complete, abort, remove, remove_many, list };
inline constexpr size_t kVerbs = 10;
const char* verb_name(Verb);

struct Metrics {
    static Metrics& get();
    // Each try counts.
    metrics::Counter& requests(Verb verb, Outcome outcome) {
        return *requests_[static_cast<size_t>(verb)][static_cast<size_t>(outcome)];
    }
    metrics::Histogram& seconds_to_head(Verb verb) { return *seconds_[static_cast<size_t>(verb)]; }
    metrics::Counter& received;
    metrics::Counter& sent;

private:
    Metrics();
    std::array<std::array<metrics::Counter*, 5>, kVerbs> requests_;
    std::array<metrics::Histogram*, kVerbs> seconds_;
};

}  // namespace weir::s3
