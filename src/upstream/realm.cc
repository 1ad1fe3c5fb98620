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

// Registries whose token server is elsewhere.
constexpr std::array<Pair, 5> kPairs{{
    {"registry-1.docker.io", "auth.docker.io"},
    {"index.docker.io", "auth.docker.io"},
    {"docker.io", "auth.docker.io"},
    {"registry.gitlab.com", "gitlab.com"},
    {"lscr.io", "ghcr.io"},
}};

// Domains whose children belong to different people.
constexpr std::array<std::string_view, 12> kShared{
    "azurecr.io", "amazonaws.com",  "pkg.dev",  "gcr.io",       "github.io",    "cloudfront.net",
    "ngrok.io",   "ngrok-free.app", "jfrog.io", "aliyuncs.com", "myqcloud.com", "ocir.io"};

// "co.uk" and its like: a short second level under a country.
bool is_public_suffix(std::string_view domain) {
    if (std::ranges::find(kShared, domain) != kShared.end()) return true;
    const auto dot = domain.find('.');
    if (dot == std::string_view::npos) return true;
    const auto rest = domain.substr(dot + 1);
    return rest.find('.') == std::string_view::npos && rest.size() == 2 && dot <= 3;
}

}  // namespace

bool same_family(std::string_view mirror_host, std::string_view realm_host) {
    if (client::classify_host(mirror_host) || client::classify_host(realm_host)) return false;
    if (!is_public_suffix(mirror_host) && realm_host.ends_with(fmt::format(".{}", mirror_host)))
        return true;
    const auto dot = mirror_host.find('.');
    if (dot == std::string_view::npos) return false;
    const auto parent = mirror_host.substr(dot + 1);
    if (is_public_suffix(parent)) return false;
    for (const auto shared : kShared)
        if (parent.ends_with(fmt::format(".{}", shared))) return realm_host == mirror_host;
    return realm_host == parent || realm_host.ends_with(fmt::format(".{}", parent));
}

std::expected<Realm, std::string> judge_realm(std::string_view text, const client::Url& mirror,
                                              const std::vector<std::string>& trusted_hosts) {
    auto url = client::Url::parse(text);
    if (!url) return std::unexpected("its token realm is no plain http or https address");
    Realm realm;
    realm.url = *std::move(url);
    const std::string& host = realm.url.host;
    const bool trusted = std::ranges::any_of(
        trusted_hosts, [&](const auto& entry) { return client::names(entry, realm.url); });
    realm.own_host = host == mirror.host;
    realm.guard.enabled = !realm.own_host && !trusted;
    realm.guard.allow_loopback = client::is_loopback_host(mirror.host);
    const auto kind = client::classify_host(host);
    if (kind && !client::allowed(realm.guard, *kind))
        return std::unexpected(fmt::format("its token realm {} is a {} address", host,
                                           client::address_kind_name(*kind)));
    if (mirror.secure() && !realm.url.secure())
        return std::unexpected(fmt::format("its token realm at {} is not https", host));
    const bool paired = std::ranges::find(kPairs, Pair(mirror.host, host)) != kPairs.end();
    realm.takes_credential = realm.own_host || trusted || paired || same_family(mirror.host, host);
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
