// registry/request_metrics.h: what is counted of each answer.
#pragma once
#include <array>
#include <atomic>

#include "base/metrics.h"
#include "http/message.h"

namespace weir::registry {

// Any thread; handles are made when a combination is seen first.
class RequestMetrics {
public:
    void count(const http::Response&, const http::Outcome&);

private:
    static constexpr size_t kRoutes = 16, kClasses = 6, kStates = 16;
    using Handle = std::atomic<metrics::Counter*>;
    std::array<std::array<std::array<Handle, kStates>, kClasses>, kRoutes> requests_{};
    std::array<Handle, kRoutes> aborted_{};
    std::array<Handle, kRoutes> client_bytes_{};
    std::array<Handle, kStates> cache_bytes_{};
    std::array<std::atomic<metrics::Histogram*>, kRoutes> first_byte_{};
};

}  // namespace weir::registry
