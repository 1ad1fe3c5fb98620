// What is known of public registries besides the specification (features.md 4.6).
#include <algorithm>

#include "config/registries.h"

namespace weir::config {
namespace {

struct Known {
    std::string_view host;  // of the URL; ".suffix" for all below
    Quirks quirks;
};
constexpr Known kKnown[] = {
    {"registry-1.docker.io", {.hub = true}},
    {"index.docker.io", {.hub = true}},
    {"docker.io", {.hub = true}},
    {"mirror.gcr.io", {.hub = true}},
    {"registry.k8s.io", {.redirects_manifests = true, .no_challenge = true}},
    {"mcr.microsoft.com", {.redirects_manifests = true, .no_challenge = true}},
    {"public.ecr.aws", {.head_lacks_digest = true}},
    {".amazonaws.com", {.head_lacks_digest = true}},
};

// The public registries, with the URL that serves each.
constexpr std::pair<std::string_view, std::string_view> kPublic[] = {
    {"docker.io", "https://registry-1.docker.io"},
    {"ghcr.io", "https://ghcr.io"},
    {"quay.io", "https://quay.io"},
    {"gcr.io", "https://gcr.io"},
    {"registry.k8s.io", "https://registry.k8s.io"},
    {"mcr.microsoft.com", "https://mcr.microsoft.com"},
    {"public.ecr.aws", "https://public.ecr.aws"},
    {"nvcr.io", "https://nvcr.io"},
    {"registry.gitlab.com", "https://registry.gitlab.com"},
};

}  // namespace

Quirks quirks_of(const Url& url) {
    const std::string& host = url.host.host;
    for (const Known& known : kKnown) {
        if (host == known.host || (known.host.starts_with('.') && host.ends_with(known.host)))
            return known.quirks;
    }
    return {};
}

std::vector<Registry> public_registries() {
    std::vector<Registry> registries;
    for (const auto& [name, url] : kPublic) {
        Registry& registry = registries.emplace_back();
        registry.urls = {std::string(url)};
        registry.on_demand = true;
        registry.content = {{.prefix = "**",
                             .destination = "/" + std::string(name),
                             .tags_regex = {},
                             .tags_exclude_regex = {}}};
    }
    return registries;
}

}  // namespace weir::config
