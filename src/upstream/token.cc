#include "upstream/token.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "base/failure.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "client/follow.h"
#include "client/leash.h"
#include "oci/json.h"
#include "upstream/budget.h"
#include "upstream/curfew.h"
#include "upstream/judgement.h"

namespace weir::upstream {
namespace {

constexpr std::string_view kClientId = "weir";
constexpr size_t kMaxTokenBytes = 32 * 1024;
constexpr std::chrono::hours kMaxTokenLife{12};
constexpr std::chrono::seconds kTokenBodyTime{5};

std::string form(const std::vector<std::pair<std::string_view, std::string_view>>& pairs) {
    std::string out;
    for (const auto& [name, value] : pairs) {
        if (value.empty()) continue;
        if (!out.empty()) out += '&';
        out += name;
        out += '=';
        out += percent_encode(value);
    }
    return out;
}

bool printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string basic(const Credential& credential) {
    return "Basic " + to_base64(credential.username + ":" + credential.password.reveal());
}

void set_get(client::Call& call, const TokenWish& wish) {
    const auto& credential = wish.credential;
    const std::string query = form(
        {{"service", wish.service},
         {"scope", wish.scope},
         {"account", credential ? std::string_view(credential->username) : std::string_view()}});
    call.url = wish.realm.url.text();
    call.url += wish.realm.url.target.find('?') == std::string::npos ? '?' : '&';
    call.url += query;
    if (credential) call.authorization = Secret(basic(*credential));
}

void set_post(client::Call& call, const TokenWish& wish, const Credential& credential) {
    call.method = "POST";
    call.url = wish.realm.url.text();
    call.fields.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    if (!credential.token.empty()) {
        call.body = form({{"grant_type", "refresh_token"},
                          {"refresh_token", credential.token.reveal()},
                          {"service", wish.service},
                          {"scope", wish.scope},
                          {"client_id", kClientId}});
    } else {
        call.body = form({{"grant_type", "password"},
                          {"username", credential.username},
                          {"password", credential.password.reveal()},
                          {"service", wish.service},
                          {"scope", wish.scope},
                          {"client_id", kClientId}});
    }
}

constexpr size_t kTokenOverheadBytes = 256;

size_t weight(const std::pair<const std::string, Token>& entry) {
    return entry.first.size() + entry.second.value.reveal().size() + kTokenOverheadBytes;
}

Token failed(Outcome outcome, std::string detail) {
    Token token;
    token.outcome = outcome;
    token.detail = std::move(detail);
    return token;
}

// Of one that brought no whole answer. Nobody but the curfew cancels it.
Outcome outcome_of_end(const client::ReplyEnd& reply) {
    if (reply.end == client::End::cancelled) return Outcome::timeout;
    const Outcome outcome = outcome_of(reply, {});
    return outcome == Outcome::too_large ? Outcome::failed : outcome;
}

}  // namespace

std::string TokenWish::key() const {
    std::string key = realm.url.text();
    const auto add = [&](std::string_view part) {
        key += fmt::format("\n{}:{}", part.size(), part);
    };
    add(service);
    add(scope);
    if (credential) {
        add(credential->username);
        add(credential->password.reveal());
        add(credential->token.reveal());
    }
    return key;
}

Tokens::Tokens(std::string upstream, client::HttpClient& http, Clock& clock, Hosts& hosts)
    : upstream_(std::move(upstream)),
      http_(http),
      clock_(clock),
      hosts_(hosts),
      scope_("tokens"),
      flight_(scope_) {}

Task<Token> Tokens::get(std::shared_ptr<const void> owner, TokenWish wish, TimePoint deadline) {
    const std::string key = wish.key();
    const auto work = [this, owner, wish]() { return fetch(owner, wish); };
    if (auto token = kept(key)) {
        if (clock_.now() >= token->renew_at) flight_.start_behind(key, work);
        co_return *std::move(token);
    }
    Token token;
    try {
        token = co_await flight_.run(key, work, deadline);
    } catch (const Failure& failure) {
        co_return failed(Outcome::timeout, failure.what());
    }
    token.fresh = true;
    co_return token;
}

void Tokens::drop(const std::string& key, const Secret& refused) {
    std::lock_guard lock(mutex_);
    const auto found = tokens_.find(key);
    if (found != tokens_.end() && found->second.value == refused) erase(found);
}

size_t Tokens::size() const {
    std::lock_guard lock(mutex_);
    return tokens_.size();
}

size_t Tokens::bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
}

std::optional<Token> Tokens::kept(const std::string& key) const {
    std::lock_guard lock(mutex_);
    const auto found = tokens_.find(key);
    if (found == tokens_.end() || clock_.now() >= found->second.ends_at) return std::nullopt;
    return found->second;
}

void Tokens::erase(std::map<std::string, Token>::iterator at) {
    bytes_ -= weight(*at);
    tokens_.erase(at);
}

void Tokens::keep(const std::string& key, const Token& token) {
    std::lock_guard lock(mutex_);
    if (const auto old = tokens_.find(key); old != tokens_.end()) erase(old);
    const auto added = tokens_.emplace(key, token).first;
    bytes_ += weight(*added);
    while (tokens_.size() > kMaxTokens || (bytes_ > kMaxTokensBytes && tokens_.size() > 1)) {
        // The one that ends first, but not this one.
        auto first = tokens_.end();
        for (auto at = tokens_.begin(); at != tokens_.end(); ++at)
            if (at != added &&
                (first == tokens_.end() || at->second.ends_at < first->second.ends_at))
                first = at;
        erase(first);
    }
}

void Tokens::postpone(const std::string& key) {
    std::lock_guard lock(mutex_);
    const auto found = tokens_.find(key);
    if (found != tokens_.end()) found->second.renew_at = clock_.now() + kTokenRetry;
}

Task<Token> Tokens::fetch(std::shared_ptr<const void> owner, TokenWish wish) {
    const std::string key = wish.key();
    const bool has_credential = wish.credential.has_value();
    // An identity token is good only for the OAuth2 form.
    const bool by_post = has_credential && !wish.credential->token.empty();
    Token token = co_await ask(wish, by_post);
    if (token.outcome == Outcome::not_found && has_credential && !by_post)
        token = co_await ask(wish, true);
    if (token.outcome == Outcome::not_found) token.outcome = Outcome::refused;
    metrics::counter("weir_upstream_token_requests_total", "Token requests, by what came of them",
                     {{"upstream", upstream_}, {"outcome", outcome_name(token.outcome)}})
        .Increment();
    if (token.outcome == Outcome::ok) {
        keep(key, token);
    } else {
        postpone(key);
        log::info("upstream", "{}: no token from {}: {}", upstream_, wish.realm.url.host,
                  token.detail);
    }
    co_return token;
}

// Outcome::not_found: the server doesn't know this way of asking. What a scope is told, or not,
// belongs to it.
Task<Token> Tokens::ask(TokenWish wish, bool by_post) {
    const auto host = hosts_.of(wish.realm.url);
    const std::string name = wish.realm.url.authority(), scope = wish.scope;
    Health::Ticket ticket;
    if (auto refusal = host->health.enter(Purpose::token, scope, clock_.now(), ticket)) {
        Token token =
            failed(refusal->outcome, fmt::format("the token server {}: {}", name, refusal->detail));
        if (refusal->outcome == Outcome::throttled) token.retry_after = refusal->retry_after;
        co_return token;
    }
    auto [token, sign] = co_await send(std::move(wish), by_post);
    host->health.leave(Purpose::token, scope, ticket, sign, clock_.now(), token.detail);
    if (token.outcome == Outcome::throttled)
        token.retry_after =
            host->health.hold_off(Purpose::token, scope, clock_.now(), token.retry_after);
    co_return token;
}

Task<std::pair<Token, Sign>> Tokens::send(TokenWish wish, bool by_post) {
    client::Call call;
    call.party = upstream_;
    call.tls = wish.tls;
    call.proxy = wish.proxy;
    call.timeouts = wish.timeouts;
    call.guard = wish.realm.guard;
    call.max_body_bytes = kMaxTokenAnswerBytes;
    call.fields.emplace_back("Accept", "application/json");
    if (by_post && wish.credential) {
        set_post(call, wish, *wish.credential);
    } else {
        set_get(call, wish);
    }
    const auto leash = std::make_shared<client::Leash>();
    call.started = [leash](auto transfer) { leash->attach(std::move(transfer)); };
    const auto sink = std::make_shared<client::TextSink>();
    const auto limit = wish.timeouts.connect + wish.timeouts.response + kTokenBodyTime;
    const Curfew curfew(leash, clock_.now() + limit);
    client::FollowRules rules;
    rules.within_origin = wish.credential.has_value();
    try {
        const auto followed =
            co_await client::follow(http_, std::move(call), sink, std::move(rules));
        Token token = read(followed.reply, sink->text, wish);
        const Sign sign = leash->expired() ? Sign::silent : sign_of(followed.reply, token.outcome);
        co_return std::pair(std::move(token), sign);
    } catch (const Failure& failure) {  // a limit of weir
        co_return std::pair(failed(Outcome::failed, failure.what()), Sign::none);
    }
}

Token Tokens::read(const client::ReplyEnd& reply, const std::string& body,
                   const TokenWish& wish) const {
    const std::string& host = wish.realm.url.host;
    const int status = reply.head.status;
    if (status == 0)
        return failed(outcome_of_end(reply), fmt::format("{}: {}", host, reply.detail));
    if (status != 200) {
        const auto later = retry_after(reply.head.fields, clock_.wall());
        Setting setting;
        setting.has_retry_after = later.has_value();
        Token token = failed(outcome_of(reply, setting),
                             fmt::format("the token server {} answers {}", host, status));
        if (token.outcome == Outcome::throttled) token.retry_after = later;
        if (status == 405) token.outcome = Outcome::not_found;
        // A token server that won't is one that gives none.
        if (token.outcome == Outcome::rejected) token.outcome = Outcome::refused;
        return token;
    }
    if (reply.end != client::End::complete)
        return failed(outcome_of_end(reply), fmt::format("{}: {}", host, reply.detail));
    const auto value = oci::parse_json(body);
    const auto* object = value ? value->if_object() : nullptr;
    Token token;
    for (const char* name : {"token", "access_token"})
        if (object && token.value.empty())
            token.value = Secret(std::string(oci::text_member(*object, name)));
    const std::string& text = token.value.reveal();
    if (text.empty() || text.size() > kMaxTokenBytes || !printable(text))
        return failed(Outcome::failed, fmt::format("the token server {} gives no token", host));
    std::chrono::seconds life = kDefaultTokenLife;
    if (const auto* expires = oci::member(*object, "expires_in"); expires && expires->is_number()) {
        boost::system::error_code error;
        const auto seconds = expires->to_number<int64_t>(error);
        if (!error && seconds > 0)
            life = std::min<std::chrono::seconds>(std::chrono::seconds(seconds), kMaxTokenLife);
    }
    token.ends_at = clock_.now() + life;
    token.renew_at = clock_.now() + life * 8 / 10;
    return token;
}

}  // namespace weir::upstream
