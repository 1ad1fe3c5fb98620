#include "registry/route.h"

#include <optional>

#include "base/text.h"

namespace weir::registry {
namespace {

constexpr std::string_view kRoot = "/v2/";

// Cuts the last component off `path`; nullopt when there is no slash.
std::optional<std::string_view> take_last(std::string_view& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const std::string_view last = path.substr(slash + 1);
    path = path.substr(0, slash);
    return last;
}

// <name>/<noun>/<reference>, or <name>/tags/list.
Route parse_tail(std::string_view path) {
    Route route;
    const auto reference = take_last(path);
    const auto noun = take_last(path);
    if (!reference || !noun || path.empty()) return route;
    route.name = path;
    route.reference = *reference;
    if (*noun == "manifests") {
        route.kind = RouteKind::manifest;
    } else if (*noun == "blobs") {
        route.kind = RouteKind::blob;
    } else if (*noun == "referrers") {
        route.kind = RouteKind::referrers;
    } else if (*noun == "tags" && *reference == "list") {
        route.kind = RouteKind::tags;
    }
    return route;
}

}  // namespace

const char* route_name(RouteKind kind) {
    switch (kind) {
        case RouteKind::ping:
            return "ping";
        case RouteKind::catalog:
            return "catalog";
        case RouteKind::manifest:
            return "manifest";
        case RouteKind::blob:
            return "blob";
        case RouteKind::tags:
            return "tags";
        case RouteKind::referrers:
            return "referrers";
        case RouteKind::unknown:
            return "other";
    }
    return "other";
}

Route parse_route(std::string_view path, std::string& decoded) {
    if (path.find('%') != std::string_view::npos) {
        auto plain = percent_decode(path);
        if (!plain) return {};
        decoded = std::move(*plain);
        path = decoded;
    }
    if (path.starts_with("/v2/v2/")) path.remove_prefix(3);
    if (path == "/v2" || path == kRoot)
        return {.kind = RouteKind::ping, .name = {}, .reference = {}};
    if (!path.starts_with(kRoot)) return {};
    path.remove_prefix(kRoot.size());
    if (path == "_catalog") return {.kind = RouteKind::catalog, .name = {}, .reference = {}};
    return parse_tail(path);
}

}  // namespace weir::registry
