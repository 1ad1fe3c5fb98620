#include "status/status.h"

#include <utility>

#include "status/gauges.h"

namespace weir::status {
namespace {

http::Response text_answer(int status, const char* route, std::string text) {
    http::Response response(status);
    response.set("Content-Type", "text/plain; charset=utf-8");
    response.set("Cache-Control", "no-store");
    response.set_body(std::make_shared<const std::string>(std::move(text)));
    response.notes.route = route;
    return response;
}

bool reads(const http::Request& request) {
    return request.method == http::Method::get || request.method == http::Method::head;
}

}  // namespace

Status::Status(Options options, http::Handler& next, Pool& pool)
    : options_(std::move(options)), next_(next), pool_(pool) {
    set_build_info(options_.version);
}

Status::~Status() = default;

std::optional<http::Response> Status::own_answer(const http::Request& request) const {
    const Phase phase = phase_.load(std::memory_order_relaxed);
    if (request.path == "/livez") return text_answer(200, "health", "ok\n");
    if (request.path == "/startupz") {
        if (phase == Phase::starting) return text_answer(503, "health", "starting\n");
        return text_answer(200, "health", "ok\n");
    }
    if (request.path == "/readyz") {
        if (phase == Phase::starting) return text_answer(503, "health", "not ready: starting\n");
        if (phase == Phase::draining) return text_answer(503, "health", "not ready: draining\n");
        // Still ready: what the disk has is served, and the rest comes from upstreams.
        const std::string missing = sources_.degraded ? sources_.degraded() : "";
        return text_answer(200, "health",
                           missing.empty() ? "ok\n" : "ok, degraded: " + missing + "\n");
    }
    if (request.path == "/")
        return text_answer(200, "health",
                           "weir " + options_.version +
                               ": a pull-through cache for container images. The registry is "
                               "under /v2/.\n");
    return std::nullopt;
}

std::optional<http::Response> Status::handle_now(http::Request& request) {
    if (request.path.starts_with("/v2")) return next_.handle_now(request);
    if (!reads(request)) return std::nullopt;
    if (auto own = own_answer(request)) return own;
    return next_.handle_now(request);  // a registry's name may stand before /v2/
}

Task<http::Response> Status::handle(http::Request& request) {
    if (!request.path.starts_with("/v2") && options_.metrics && reads(request) &&
        request.path == options_.metrics_path)
        co_return co_await metrics();
    co_return co_await next_.handle(request);
}

Task<http::Response> Status::metrics() {
    if (sources_.cache != nullptr) {
        const auto snapshot = co_await sources_.cache->snapshot();
        set_cache_gauges(snapshot);
    }
    if (sources_.upstreams) set_upstream_gauges(sources_.upstreams());
    if (sources_.used_bytes) set_used_bytes(sources_.used_bytes());
    // The text is long; the loop has better things to do.
    auto text = co_await pool_.run([] {
        set_process_gauges();
        return metrics::expose();
    });
    http::Response response;
    response.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    response.set_body(std::make_shared<const std::string>(std::move(text)));
    response.notes.route = "metrics";
    co_return response;
}

http::Response Status::failed(const http::Request* request, std::exception_ptr error) {
    return next_.failed(request, error);
}

void Status::finished(const http::Request& request, const http::Response& response,
                      const http::Outcome& outcome) {
    next_.finished(request, response, outcome);
}

}  // namespace weir::status
