// One request to one mirror: with what is known of its token server, and once more after a
// challenge.
#include <fmt/format.h>

#include <algorithm>

#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "upstream/impl.h"

namespace weir::upstream {
namespace {

// Without a token, with one that was kept, with a fresh one.
constexpr int kMaxSends = 3;

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

size_t index(Purpose purpose) {
    return static_cast<size_t>(purpose);
}

}  // namespace

client::Call Upstream::Impl::make_call(const Site& site, const Request& request, const Grant& grant,
                                       const std::shared_ptr<client::Leash>& leash,
                                       TimePoint deadline) const {
    client::Call call;
    call.method = request.method;
    call.url = fmt::format("{}/v2/{}", site.mirror.url, request.path);
    call.fields = request.fields;
    call.fields.emplace_back("Accept-Encoding", "identity");
    call.authorization = grant.authorization;
    call.timeouts = options.timeouts;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock.now());
    const auto shortest = std::max(left, std::chrono::milliseconds(1));
    call.timeouts.connect = std::min(call.timeouts.connect, shortest);
    call.timeouts.response = std::min(call.timeouts.response, shortest);
    call.tls = site.mirror.tls;
    call.guard = site.guard;
    call.proxy = options.proxy;
    call.bulk = request.bulk;
    call.gather = request.gather;
    call.max_body_bytes = request.max_body_bytes;
    call.started = [leash](auto transfer) { leash->attach(std::move(transfer)); };
    return call;
}

// Bearer before Basic; nullopt when there is neither.
std::optional<Known> Upstream::Impl::challenge_of(const Site&, const client::Fields& fields,
                                                  const Request& request) const {
    std::optional<Known> best;
    for (const auto header : fields.all("WWW-Authenticate")) {
        for (const auto& challenge : oci::parse_challenges(header)) {
            const bool bearer = challenge.scheme == "bearer";
            if (!bearer && challenge.scheme != "basic") continue;
            if (best && (best->bearer || !bearer)) continue;
            Known known;
            known.bearer = bearer;
            known.realm = challenge.parameter("realm");
            known.service = challenge.parameter("service");
            known.actions[index(request.purpose)] =
                actions_of(challenge.parameter("scope"), request.repository);
            best = std::move(known);
        }
    }
    return best;
}

std::optional<Credential> Upstream::Impl::credential_for(const Site& site,
                                                         const Request& request) const {
    if (!credentials) return std::nullopt;
    return credentials(site.url.authority(), request.repository);
}

Task<Grant> Upstream::Impl::grant(std::shared_ptr<Site> site, Known known, Request request,
                                  TimePoint deadline) {
    auto credential = credential_for(*site, request);
    if (known.bearer)
        co_return co_await bearer_grant(site, std::move(known), request, std::move(credential),
                                        deadline);
    if (!credential)
        co_return no_grant(Outcome::refused,
                           "asks for a user and password, and none are configured");
    Grant grant;
    grant.authorization = Secret(basic(*credential));
    grant.with_login = true;
    co_return grant;
}

Task<Grant> Upstream::Impl::bearer_grant(std::shared_ptr<Site> site, Known known, Request request,
                                         std::optional<Credential> credential, TimePoint deadline) {
    Grant grant;
    if (credential && credential->username.empty() && !credential->token.empty()) {
        grant.authorization = Secret("Bearer " + credential->token.reveal());
        grant.with_login = true;
        co_return grant;
    }
    auto realm = judge_realm(known.realm, site->url, options.trusted_hosts);
    if (!realm) {
        if (site->is_news(realm.error()))
            log::warn("upstream", "{}: {}: {}", options.name, site->url.host, realm.error());
        co_return no_grant(Outcome::forbidden, realm.error());
    }
    if (credential && !realm->takes_credential) {
        if (site->is_news(realm->url.host))
            log::warn("upstream", "{}: the password for {} is not sent to {}, which is not trusted",
                      options.name, site->url.host, realm->url.host);
        credential.reset();
    }
    TokenWish wish;
    wish.service = known.service;
    wish.scope =
        fmt::format("repository:{}:{}", request.repository, known.actions[index(request.purpose)]);
    grant.with_login = credential.has_value();
    wish.credential = std::move(credential);
    wish.tls = site->mirror.tls;
    if (!realm->own_host) {
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

Asked Upstream::Impl::asked_of(const Site& site, client::Followed followed,
                               const AnswerSink& sink) const {
    Asked asked;
    asked.mirror = site.url.authority();
    asked.same_origin = followed.same_origin;
    asked.reply = std::move(followed.reply);
    const auto& head = asked.reply.head;
    asked.retry_after = retry_after(head.fields, clock.wall());
    asked.outcome = outcome_of(asked.reply, asked.same_origin, asked.retry_after.has_value());
    if (asked.outcome != Outcome::throttled) asked.retry_after.reset();
    if (asked.outcome == Outcome::ok) return asked;
    const auto told = error_text(sink.text());
    const bool is_error = head.status != 0 && head.status != 200 && head.status != 206;
    asked.detail = !is_error ? fmt::format("{}: {}", followed.host, asked.reply.detail)
                   : told.empty()
                       ? fmt::format("{} answers {}", followed.host, head.status)
                       : fmt::format("{} answers {}, {}", followed.host, head.status, told);
    return asked;
}

Task<Asked> Upstream::Impl::ask(std::shared_ptr<Site> site, Request request,
                                std::shared_ptr<client::Sink> sink,
                                std::shared_ptr<client::Leash> leash, TimePoint deadline) {
    Grant pass;
    if (auto known = site->known())
        pass = co_await grant(site, *std::move(known), request, deadline);
    client::FollowRules rules;
    rules.trusted_hosts = options.trusted_hosts;
    Asked asked;
    asked.mirror = site->url.authority();
    for (int sends = 1;; ++sends) {
        if (pass.outcome != Outcome::ok) {
            asked.outcome = pass.outcome;
            asked.detail = fmt::format("{}: {}", asked.mirror, pass.detail);
            asked.retry_after = pass.retry_after;
            co_return asked;
        }
        const bool with_login = pass.with_login || !site->mirror.tls.client_certificate.empty();
        *request.with_login = with_login;
        const auto answer = std::make_shared<AnswerSink>(sink);
        client::Followed followed = co_await client::follow(
            http, make_call(*site, request, pass, leash, deadline), answer, rules);
        asked = asked_of(*site, std::move(followed), *answer);
        asked.with_login = with_login;
        if (asked.status() != 0) {
            metrics.seconds_to_head.Observe(
                std::chrono::duration<double>(asked.reply.time_to_head).count());
            if (asked.same_origin) budget.read(asked.reply.head.fields);
        }
        if (leash->expired()) {
            asked.outcome = Outcome::timeout;
            asked.detail = fmt::format("{}: no answer within the request's time", asked.mirror);
        }
        if (asked.outcome != Outcome::refused || sends == kMaxSends) co_return asked;
        // 401, or 403 for a token that has ended (ECR).
        auto known = challenge_of(*site, asked.reply.head.fields, request);
        if (!known && asked.status() == 403 && !pass.authorization.empty()) known = site->known();
        if (!known) co_return asked;
        site->learn(*known, request.purpose);
        if (!pass.fresh) tokens.drop(pass.key, pass.token);
        Grant next = co_await grant(site, *std::move(known), request, deadline);
        if (next.outcome == Outcome::ok && next.authorization == pass.authorization) {
            tokens.drop(next.key, next.token);
            co_return asked;
        }
        pass = std::move(next);
    }
}

}  // namespace weir::upstream
