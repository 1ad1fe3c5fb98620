// http/http_metrics.h: what this room counts.
#pragma once
#include "base/metrics.h"

namespace weir::http {

struct HttpMetrics {
    metrics::Gauge& connections;
    metrics::Counter& accepted;
    metrics::Counter& refused;
    metrics::Counter& bad_requests;
    metrics::Counter& handshakes_failed;
};

HttpMetrics& http_metrics();

}  // namespace weir::http
