#include "registry/request_metrics.h"

#include <chrono>
#include <cstring>
#include <string>

namespace weir::registry {
namespace {

// The words of http::Notes; the last stands for every other.
constexpr const char* kRouteNames[] = {"manifest", "blob",   "ping",    "tags", "referrers",
                                       "catalog",  "health", "metrics", "other"};
constexpr const char* kStateNames[] = {"hit_memory", "hit_disk", "hit_s3",   "joined", "miss",
                                       "stale",      "relay",    "negative", ""};
constexpr const char* kClassNames[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};

template <size_t N>
size_t index_of(const char* const (&names)[N], const char* word) {
    for (size_t i = 0; i + 1 < N; ++i)
        if (names[i] == word || std::strcmp(names[i], word) == 0) return i;
    return N - 1;
}

template <class T, class Make>
T& resolve(std::atomic<T*>& handle, Make make) {
    T* known = handle.load(std::memory_order_acquire);
    if (known == nullptr) {
        known = &make();  // the same object for every thread that gets here
        handle.store(known, std::memory_order_release);
    }
    return *known;
}

}  // namespace

void RequestMetrics::count(const http::Response& response, const http::Outcome& outcome) {
    static_assert(std::size(kRouteNames) <= kRoutes && std::size(kStateNames) <= kStates &&
                  std::size(kClassNames) <= kClasses);
    const size_t route = index_of(kRouteNames, response.notes.route);
    const size_t state = index_of(kStateNames, response.notes.cache);
    const size_t status_class = response.status >= 100 && response.status < 600
                                    ? static_cast<size_t>(response.status / 100)
                                    : 0;
    resolve(requests_[route][status_class][state], [&]() -> auto& {
        return metrics::counter("weir_requests_total", "Requests answered",
                                {{"route", kRouteNames[route]},
                                 {"status", kClassNames[status_class]},
                                 {"cache", kStateNames[state]}});
    }).Increment();
    if (outcome.aborted) {
        resolve(aborted_[route], [&]() -> auto& {
            return metrics::counter("weir_aborted_answers_total",
                                    "Answers that ended before their last byte",
                                    {{"route", kRouteNames[route]}});
        }).Increment();
    }
    if (outcome.body_bytes_sent > 0) {
        const auto bytes = static_cast<double>(outcome.body_bytes_sent);
        resolve(client_bytes_[route], [&]() -> auto& {
            return metrics::counter("weir_client_bytes_total", "Body bytes sent to clients",
                                    {{"route", kRouteNames[route]}});
        }).Increment(bytes);
        resolve(cache_bytes_[state], [&]() -> auto& {
            return metrics::counter("weir_cache_bytes_total",
                                    "Body bytes sent to clients, by where they came from",
                                    {{"cache", kStateNames[state]}});
        }).Increment(bytes);
    }
    resolve(first_byte_[route], [&]() -> auto& {
        return metrics::latency("weir_first_byte_seconds",
                                "From a request's head to the head of its answer",
                                {{"route", kRouteNames[route]}});
    }).Observe(std::chrono::duration<double>(outcome.time_to_first_byte).count());
}

}  // namespace weir::registry
