// upstream/metrics.h: what one upstream counts.
#pragma once
#include <array>
#include <string>

#include "base/metrics.h"
#include "upstream/upstream.h"

namespace weir::upstream {

struct Metrics {
    explicit Metrics(const std::string& upstream);
    metrics::Counter& requests(Outcome outcome) { return *requests_[static_cast<size_t>(outcome)]; }

    metrics::Counter& bytes;
    metrics::Histogram& seconds_to_head;
    metrics::Gauge& breaker_open;  // how many of its mirrors
    metrics::Gauge& limit;
    metrics::Gauge& remaining;

private:
    std::array<metrics::Counter*, kOutcomes> requests_;
};

}  // namespace weir::upstream
