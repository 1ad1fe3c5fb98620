#include "s3/metrics.h"

namespace weir::s3 {

const char* verb_name(Verb verb) {
    static constexpr std::array<const char*, kVerbs> kNames = {
        "head",     "get",   "put",    "create",      "part",
        "complete", "abort", "remove", "remove_many", "list"};
    return kNames[static_cast<size_t>(verb)];
}

Metrics& Metrics::get() {
    static Metrics metrics;
    return metrics;
}

Metrics::Metrics()
    : received(metrics::counter("weir_s3_bytes_total", "Object bytes between weir and S3",
                                {{"direction", "received"}})),
      sent(metrics::counter("weir_s3_bytes_total", "Object bytes between weir and S3",
                            {{"direction", "sent"}})) {
    for (size_t v = 0; v < kVerbs; ++v) {
        const std::string verb = verb_name(static_cast<Verb>(v));
        seconds_[v] = &metrics::latency(
            "weir_s3_head_seconds", "From a request to the head of S3's answer", {{"verb", verb}});
        for (size_t o = 0; o < requests_[v].size(); ++o)
            requests_[v][o] = &metrics::counter(
                "weir_s3_requests_total", "Requests to S3, each try, by what came of them",
                {{"verb", verb}, {"outcome", outcome_name(static_cast<Outcome>(o))}});
    }
}

}  // namespace weir::s3
