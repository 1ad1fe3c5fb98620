#include "upstream/realm.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "client/guard.h"

namespace weir::upstream {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

// Registries whose token server is elsewhere, both over https at its usual port. What is not here
// needs trustedHosts: that two hosts share a domain says nothing of who owns them.
constexpr std::array<Pair, 10> kTokenServers{{
    {"registry-1.docker.io", "auth.docker.io"},
    {"index.docker.io", "auth.docker.io"},
    {"docker.io", "auth.docker.io"},
    {"registry.gitlab.com", "gitlab.com"},
    {"lscr.io", "ghcr.io"},
    {"docker.elastic.co", "docker-auth.elastic.co"},
    {"registry.digitalocean.com", "api.digitalocean.com"},
    {"rg.fr-par.scw.cloud", "api.scaleway.com"},
    {"rg.nl-ams.scw.cloud", "api.scaleway.com"},
    {"rg.pl-waw.scw.cloud", "api.scaleway.com"},
}};

constexpr uint16_t kHttpPort = 80, kHttpsPort = 443;

bool is_token_server(const client::Url& registry, const client::Url& realm) {
    return registry.secure() && realm.secure() && registry.port == kHttpsPort &&
           realm.port == kHttpsPort &&
           std::ranges::find(kTokenServers, Pair(registry.host, realm.host)) != kTokenServers.end();
}

// A registry behind a front that ends TLS, and does not know it.
void mend_scheme(client::Url& realm, const client::Url& registry) {
    if (!registry.secure() || realm.secure() || realm.host != registry.host) return;
    const bool usual = realm.port == kHttpPort && registry.port == kHttpsPort;
    if (!usual && realm.port != registry.port) return;
    realm.scheme = registry.scheme;
    realm.port = registry.port;
}

}  // namespace

std::expected<Realm, std::string> judge_realm(std::string_view text, const client::Url& registry,
                                              bool inside,
                                              const std::vector<std::string>& trusted_hosts) {
    auto url = client::Url::parse(text);
    if (!url) return std::unexpected("its token realm is no plain http or https address");
    mend_scheme(*url, registry);
    Realm realm;
    realm.url = *std::move(url);
    const std::string& host = realm.url.host;
    const bool trusted = std::ranges::any_of(
        trusted_hosts, [&](const auto& entry) { return client::names(entry, realm.url); });
    realm.own_origin = realm.url.same_origin(registry);
    realm.guard.enabled = host != registry.host && !trusted;
    realm.guard.allow_loopback = client::is_loopback_host(registry.host);
    realm.guard.allow_private = inside || client::is_private_host(registry.host);
    const auto kind = client::classify_host(host);
    if (kind && !client::allowed(realm.guard, *kind))
        return std::unexpected(fmt::format("its token realm {} is a {} address", host,
                                           client::address_kind_name(*kind)));
    if (registry.secure() && !realm.url.secure())
        return std::unexpected(fmt::format("its token realm at {} is not https", host));
    realm.takes_credential = realm.own_origin || trusted || is_token_server(registry, realm.url);
    return realm;
}

std::string actions_of(std::string_view challenge_scope, std::string_view repository) {
    const std::string prefix = fmt::format("repository:{}:", repository);
    for (const auto scope : split(challenge_scope, ' ')) {
        if (!scope.starts_with(prefix)) continue;
        const auto actions = scope.substr(prefix.size());
        const auto writes = [](std::string_view action) {
            return action.empty() || action == "push" || action == "delete" || action == "*";
        };
        if (!std::ranges::any_of(split(actions, ','), writes)) return std::string(actions);
    }
    return "pull";
}

}  // namespace weir::upstream
