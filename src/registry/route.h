// registry/route.h: what a path under /v2 asks for.
//
// Read from its tail, because repository names contain slashes (distribution-spec 1.1,
// "Endpoints"). Pure; fuzzed.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::registry {

enum class RouteKind : uint8_t { ping, catalog, manifest, blob, tags, referrers, unknown };

// "manifest": the word for logs and metrics.
const char* route_name(RouteKind);

// Views into the path, or into `buffer`.
struct Route {
    RouteKind kind = RouteKind::unknown;
    std::string_view before;     // of /mirrors/hub/v2/...: mirrors/hub
    std::string_view name;       // between /v2/ and the tail; not checked
    std::string_view reference;  // tag or digest; not checked
    bool escaped = false;        // it was sent with escapes: it has one reading only
};

enum class Paths : uint8_t {
    strict,    // /v2/... and nothing else; escapes only in the reference, where ":" may need one
    tolerant,  // doubled slashes are one, and something may stand before /v2/; not beside escapes
};

// `path` as sent. One that is not read as it stands is written into `buffer`, which must outlive
// the route. Whom the parts mean is for config/routing.h.
Route parse_route(std::string_view path, Paths paths, std::string& buffer);

}  // namespace weir::registry
