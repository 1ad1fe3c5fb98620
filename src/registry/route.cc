#include "registry/route.h"

#include <algorithm>
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

Route parse_route(std::string_view path, Paths paths, std::string& buffer) {
    const size_t escape = path.find('%');
    const bool escaped = escape != std::string_view::npos;
    if (escaped) {
        // A rule of a front that goes by path must not have to know all spellings of a name.
        if (paths == Paths::strict && escape < path.rfind('/')) return {};
        auto plain = percent_decode(path);
        if (!plain) return {};
        buffer = std::move(*plain);
        path = buffer;
    } else if (paths == Paths::tolerant && path.find("//") != std::string_view::npos) {
        buffer.assign(path);
        const auto both = [](char a, char b) { return a == '/' && b == '/'; };
        buffer.erase(std::unique(buffer.begin(), buffer.end(), both), buffer.end());
        path = buffer;
    }
    std::string_view before;
    if (paths == Paths::tolerant && !escaped && path != "/v2" && !path.starts_with(kRoot)) {
        const size_t root = path.ends_with("/v2") ? path.size() - 3 : path.find(kRoot);
        if (root == std::string_view::npos || !path.starts_with('/')) return {};
        before = path.substr(1, root - 1);
        path.remove_prefix(root);
    }
    Route route;
    if (path == "/v2" || path == kRoot) {
        route.kind = RouteKind::ping;
    } else if (path.starts_with(kRoot)) {
        path.remove_prefix(kRoot.size());
        // The ping of a client that doubles it.
        if (paths == Paths::tolerant && !escaped && (path == "v2" || path == "v2/"))
            route.kind = RouteKind::ping;
        else if (path == "_catalog" && before.empty())
            route.kind = RouteKind::catalog;
        else
            route = parse_tail(path);
    }
    route.before = before;
    route.escaped = escaped;
    return route;
}

}  // namespace weir::registry
