#include "upstream/metrics.h"

namespace weir::upstream {

Metrics::Metrics(const std::string& upstream)
    : bytes(metrics::counter("weir_upstream_bytes_total", "Blob bytes received from an upstream",
                             {{"upstream", upstream}})),
      seconds_to_head(metrics::latency("weir_upstream_head_seconds",
                                       "From a request to the head of an upstream's answer",
                                       {{"upstream", upstream}})),
      breaker_open(metrics::gauge("weir_upstream_breaker_open",
                                  "Mirrors of an upstream that are set aside after failures",
                                  {{"upstream", upstream}})),
      limit(metrics::gauge("weir_upstream_ratelimit_limit",
                           "Requests that an upstream grants, as it says",
                           {{"upstream", upstream}})),
      remaining(metrics::gauge("weir_upstream_ratelimit_remaining",
                               "Requests that an upstream still grants, as it says",
                               {{"upstream", upstream}})) {
    for (size_t i = 0; i < requests_.size(); ++i)
        requests_[i] = &metrics::counter(
            "weir_upstream_requests_total", "Requests to an upstream, by what came of them",
            {{"upstream", upstream}, {"outcome", outcome_name(static_cast<Outcome>(i))}});
}

}  // namespace weir::upstream
