#include "http/http_metrics.h"

namespace weir::http {

HttpMetrics& http_metrics() {
    static HttpMetrics all{
        metrics::gauge("weir_http_connections", "Connections that are open"),
        metrics::counter("weir_http_connections_accepted_total", "Connections accepted"),
        metrics::counter("weir_http_connections_refused_total",
                         "Connections refused at the limit of connections or descriptors"),
        metrics::counter("weir_http_bad_requests_total", "Requests refused before routing"),
        metrics::counter("weir_http_handshakes_failed_total", "TLS handshakes that failed"),
    };
    return all;
}

}  // namespace weir::http
