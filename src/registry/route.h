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

// Views into the path, or into `decoded`.
struct Route {
    RouteKind kind = RouteKind::unknown;
    std::string_view name;       // between /v2/ and the tail; not checked
    std::string_view reference;  // tag or digest; not checked
};

// `path` as sent. A path with escapes is decoded into `decoded`, which must outlive the route. A
// doubled /v2/v2/, which containerd sends when override_path is missing, is one.
Route parse_route(std::string_view path, std::string& decoded);

}  // namespace weir::registry
