// Tokens and logins: what a host is shown for one repository.
#include <fmt/format.h>

#include <algorithm>

#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "client/guard.h"
#include "oci/challenge.h"
#include "upstream/curfew.h"
#include "upstream/impl.h"

namespace weir::upstream {
namespace {

constexpr uint64_t kMaxGreetingBytes = 64 * 1024;
// After a GET /v2/ that brought no answer.
constexpr std::chrono::seconds kGreetAgain{5};
constexpr uint16_t kHttpPort = 80;

Grant no_grant(Outcome outcome, std::string detail) {
    Grant grant;
    grant.outcome = outcome;
    grant.detail = std::move(detail);
    return grant;
}

std::string basic(const Credential& credential) {
    const Secret& secret = credential.password.empty() ? credential.token : credential.password;
    return "Basic " + to_base64(credential.username + ":" + secret.reveal());
}

}  // namespace

// Bearer before Basic; nullopt when there is neither.
std::optional<Known> challenge_of(const client::ReplyEnd& reply, const Door& door) {
    std::optional<Known> best;
    for (const auto header : reply.head.fields.all("WWW-Authenticate")) {
        for (const auto& challenge : oci::parse_challenges(header)) {
            const bool bearer = challenge.scheme == "bearer";
            if (!bearer && challenge.scheme != "basic") continue;
            if (best && (best->bearer || !bearer)) continue;
            Known known;
            known.bearer = bearer;
            known.realm = challenge.parameter("realm");
            known.service = challenge.parameter("service");
            known.actions[static_cast<size_t>(door.purpose)] =
                actions_of(challenge.parameter("scope"), door.repository);
            known.inside = reply.from_private || client::is_private_host(door.url.host);
            best = std::move(known);
        }
    }
    return best;
}

// A login is named by host and port; where the port is the scheme's own, it is that of https. What
// a redirect leads to is shown the login of another upstream only where the operator trusts it.
std::optional<Credential> Upstream::Impl::credential_for(const Door& door) const {
    if (!credentials) return std::nullopt;
    const std::string place = door.url.authority();
    if (!door.is_mirror) {
        const auto names = [&](const auto& entry) { return client::names(entry, door.url); };
        const auto is_ours = [&](const auto& site) { return site->url.same_origin(door.url); };
        if (!door.url.secure() && door.url.port == kHttpPort) return std::nullopt;
        if (options.is_upstream && options.is_upstream(place) &&
            std::ranges::none_of(options.trusted_hosts, names) &&
            std::ranges::none_of(sites, is_ours))
            return std::nullopt;
    }
    return credentials(place, door.repository);
}

Task<Grant> Upstream::Impl::grant(Door door, Known known, TimePoint deadline) {
    auto credential = credential_for(door);
    if (known.bearer)
        co_return co_await bearer_grant(std::move(door), std::move(known), std::move(credential),
                                        deadline);
    if (!credential)
        co_return no_grant(Outcome::refused,
                           "asks for a user and password, and none are configured");
    Grant grant;
    grant.authorization = Secret(basic(*credential));
    grant.with_login = true;
    co_return grant;
}

Task<Grant> Upstream::Impl::bearer_grant(Door door, Known known,
                                         std::optional<Credential> credential, TimePoint deadline) {
    Site& site = *door.site;
    Grant grant;
    if (credential && credential->username.empty() && !credential->token.empty()) {
        grant.authorization = Secret("Bearer " + credential->token.reveal());
        grant.with_login = true;
        co_return grant;
    }
    auto realm = judge_realm(known.realm, door.url, known.inside, options.trusted_hosts);
    if (!realm) {
        if (site.is_news(realm.error()))
            log::warn("upstream", "{}: {}: {}", options.name, door.url.host, realm.error());
        co_return no_grant(Outcome::forbidden, realm.error());
    }
    if (credential && !realm->takes_credential) {
        const std::string there = realm->url.authority();
        if (site.is_news(there))
            log::warn(
                "upstream",
                "{}: the password for {} is not sent to {}; if that is its token server, name "
                "it in trustedHosts",
                options.name, door.url.authority(), there);
        credential.reset();
    }
    TokenWish wish;
    wish.service = known.service;
    if (!door.repository.empty())
        wish.scope = fmt::format("repository:{}:{}", door.repository,
                                 known.actions[static_cast<size_t>(door.purpose)]);
    grant.with_login = credential.has_value();
    wish.credential = std::move(credential);
    wish.tls = site.mirror.tls;
    if (!realm->own_origin || !door.is_mirror) {
        wish.tls.client_certificate.clear();
        wish.tls.client_key.clear();
    }
    wish.proxy = options.proxy;
    wish.timeouts = options.timeouts;
    wish.realm = *std::move(realm);
    grant.key = wish.key();
    Token token = co_await tokens.get(shared_from_this(), std::move(wish), deadline);
    grant.outcome = token.outcome;
    grant.detail = token.detail;
    grant.retry_after = token.retry_after;
    if (token.outcome == Outcome::ok)
        grant.authorization = Secret("Bearer " + token.value.reveal());
    grant.token = token.value;
    grant.fresh = token.fresh;
    co_return grant;
}

Task<> Upstream::Impl::greet(Door door, TimePoint deadline) {
    Site& site = *door.site;
    if (clock.now() < site.greeted_until.load() || !credential_for(door)) co_return;
    const auto work = [self = shared_from_this(), at = door.site] { return self->greeting(at); };
    try {
        co_await greetings.run(&site, work, deadline);
    } catch (const Failure&) {
        // It is late: the request is made without.
    }
}

// true: an answer came.
Task<bool> Upstream::Impl::greeting(std::shared_ptr<Site> site) {
    Request request;
    request.max_body_bytes = kMaxGreetingBytes;
    const auto leash = std::make_shared<client::Leash>();
    const TimePoint until = clock.now() + options.timeouts.connect + options.timeouts.response;
    const Curfew curfew(leash, until);
    client::FollowRules rules;
    rules.within_origin = true;
    client::Followed followed;
    try {
        followed = co_await client::follow(http, make_call(*site, request, leash, until),
                                           std::make_shared<client::TextSink>(), std::move(rules));
    } catch (const Failure&) {  // a limit of weir
        co_return false;
    }
    const auto& reply = followed.reply;
    const TimePoint now = clock.now();
    const bool answered = reply.head.status != 0;
    site->greeted_until = now + (answered ? Duration(kChallengeLife) : Duration(kGreetAgain));
    if (reply.head.status != 401) co_return answered;
    Door door;
    door.url = site->url;
    if (auto known = challenge_of(reply, door)) site->host->challenges.suggest(*known, now);
    co_return answered;
}

}  // namespace weir::upstream
