// status/status.h: what operators and their machines ask: /metrics, /livez, /readyz, /startupz.
//
// A handler in front of the registry: what isn't its own goes on to the next one, and so does the
// end of every answer, for the access log. Any loop.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "async/pool.h"
#include "cache/cache.h"
#include "http/message.h"
#include "upstream/upstream.h"

namespace weir::status {

enum class Phase { starting, ready, draining };

class Status : public http::Handler {
public:
    struct Options {
        bool metrics = true;
        std::string metrics_path = "/metrics";
        std::string version;
    };
    // What the gauges are read from when somebody asks for metrics.
    struct Sources {
        cache::Cache* cache = nullptr;
        std::function<std::vector<upstream::Status>()> upstreams;
        std::function<uint64_t()> used_bytes;  // on disk, of blobs and staging
        // What is missing while weir serves all the same ("s3 gives no answer"); empty: nothing.
        // Cheap.
        std::function<std::string()> degraded;
    };

    // `next`, `pool` and what the sources refer to outlive it.
    Status(Options options, http::Handler& next, Pool& pool);
    ~Status() override;

    // Before the first request.
    void set_sources(Sources sources) { sources_ = std::move(sources); }
    // Any thread.
    void set_phase(Phase phase) { phase_.store(phase, std::memory_order_relaxed); }

    Task<http::Response> handle(http::Request& request) override;
    std::optional<http::Response> handle_now(http::Request& request) override;
    http::Response failed(const http::Request* request, std::exception_ptr error) override;
    void finished(const http::Request& request, const http::Response& response,
                  const http::Outcome& outcome) override;

private:
    std::optional<http::Response> own_answer(const http::Request& request) const;
    Task<http::Response> metrics();

    const Options options_;
    http::Handler& next_;
    Pool& pool_;
    Sources sources_;
    std::atomic<Phase> phase_{Phase::starting};
};

}  // namespace weir::status
