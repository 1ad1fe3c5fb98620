#include "upstream/visit.h"

#include <fmt/format.h>

#include "oci/name.h"

namespace weir::upstream {
namespace {

bool is_refusal(int status) {
    return status == 401 || status == 403;
}

// Cut or stalled after its first bytes: it answers, and what is left can be asked for.
bool is_half(const client::ReplyEnd& reply) {
    const int status = reply.head.status;
    return (status == 200 || status == 206) && reply.body_bytes > 0 &&
           reply.end == client::End::cut;
}

}  // namespace

std::string repository_in(std::string_view path) {
    const auto from = path.find("/v2/");
    if (from == std::string_view::npos) return {};
    path.remove_prefix(from + 4);
    for (const std::string_view word : {"/manifests/", "/blobs/", "/tags/", "/referrers/"}) {
        const auto to = path.rfind(word);
        if (to == std::string_view::npos) continue;
        const auto name = path.substr(0, to);
        return oci::valid_name(name) ? std::string(name) : std::string();
    }
    return {};
}

Visit::Visit(std::shared_ptr<Upstream::Impl> impl, std::shared_ptr<Site> site, Request request,
             std::shared_ptr<client::Leash> leash, TimePoint deadline)
    : impl_(std::move(impl)),
      site_(std::move(site)),
      request_(std::move(request)),
      leash_(std::move(leash)),
      deadline_(deadline) {}

Task<bool> Visit::before(const client::Url& at, client::Call& call) {
    if (!stay_ || !stay_->door.url.same_origin(at)) {
        co_await arrive(at);
    } else if (auto name = repository_in(at.path()); stay_->sends > 0 && !name.empty()) {
        stay_->door.repository = std::move(name);  // a redirect may lead to another one
    }
    if (!enter()) co_return false;
    call.authorization = stay_->pass.authorization;
    if (stay_->pass.with_login || !call.tls.client_certificate.empty()) *request_.with_login = true;
    co_return true;
}

Task<> Visit::arrive(client::Url at) {
    left_ |= stay_ != nullptr;
    stay_ = std::make_unique<Stay>();
    Door& door = stay_->door;
    door.site = site_;
    door.is_mirror = is_mirror(at);
    door.host = door.is_mirror ? site_->host : impl_->hosts.of(at);
    door.repository = door.is_mirror ? request_.repository : repository_in(at.path());
    door.purpose = request_.purpose;
    door.url = std::move(at);
    const bool is_back = door.is_mirror && left_;
    if (!is_back) co_await remember();
}

// What the host is known to want. Half the time that is left is for that, the rest for the request
// itself.
Task<> Visit::remember() {
    const TimePoint now = impl_->clock.now();
    const TimePoint until = deadline_ == kNever ? kNever : now + (deadline_ - now) / 2;
    Stay& stay = *stay_;
    const Door& door = stay.door;
    auto found = door.host->challenges.of(door.repository, now);
    if (!found && door.is_mirror) {
        co_await impl_->greet(door, until);
        found = door.host->challenges.of(door.repository, now);
    }
    if (!found) co_return;
    Grant grant = co_await impl_->grant(door, found->known, until);
    if (grant.outcome != Outcome::ok) {
        door.host->challenges.forget(door.repository, found->known);
        stay.failed = std::move(found->known);
        stay.failure = std::move(grant);
        co_return;
    }
    stay.pass = std::move(grant);
    stay.shown = std::move(found->known);
    stay.from_hint = found->is_hint;
}

// The mirror's own health is its caller's matter.
bool Visit::enter() {
    Stay& stay = *stay_;
    if (stay.door.is_mirror) return true;
    const auto refusal = stay.door.host->health.enter(stay.door.purpose, request_.repository,
                                                      impl_->clock.now(), stay.ticket);
    if (!refusal) return true;
    stopped_.emplace();
    stopped_->outcome = refusal->outcome;
    stopped_->detail = fmt::format("{}: {}", stay.door.url.authority(), refusal->detail);
    if (refusal->outcome == Outcome::throttled) stopped_->retry_after = refusal->retry_after;
    return false;
}

void Visit::settle(const client::ReplyEnd& reply, bool is_redirect, Outcome outcome) {
    Stay& stay = *stay_;
    if (stay.door.is_mirror) return;
    const TimePoint now = impl_->clock.now();
    Sign sign = is_redirect ? Sign::good : sign_of(reply, outcome);
    if (is_half(reply) || leash_->cancelled()) sign = Sign::none;
    if (leash_->expired()) sign = reply.head.status == 0 ? Sign::silent : Sign::bad;
    Health& health = stay.door.host->health;
    health.leave(
        stay.door.purpose, request_.repository, stay.ticket, sign, now,
        reply.head.status == 0 ? reply.detail : fmt::format("it answers {}", reply.head.status));
    if (outcome == Outcome::throttled && !is_redirect)
        health.hold_off(stay.door.purpose, request_.repository, now,
                        retry_after(reply.head.fields, impl_->clock.wall()));
}

Task<bool> Visit::after(const client::Url&, const client::ReplyEnd& reply, bool is_redirect) {
    Stay& stay = *stay_;
    ++stay.sends;
    Setting setting;
    setting.at_mirror = stay.door.is_mirror;
    setting.has_retry_after = reply.head.fields.has("Retry-After");
    setting.challenges = reply.head.fields.has("WWW-Authenticate");
    const Outcome outcome = outcome_of(reply, setting);
    settle(reply, is_redirect, outcome);
    if (reply.head.status != 0) {
        impl_->metrics.seconds_to_head.Observe(
            std::chrono::duration<double>(reply.time_to_head).count());
        if (stay.door.is_mirror) impl_->budget.read(reply.head.fields);
    }
    if (is_redirect || leash_->expired() || leash_->cancelled()) co_return false;
    if (is_refusal(reply.head.status)) co_return co_await answer_challenge(reply);
    if (stay.shown && (outcome == Outcome::ok || outcome == Outcome::not_found))
        stay.door.host->challenges.confirm(stay.door.repository, impl_->clock.now());
    co_return false;
}

// Only where what was sent is what another repository was asked for.
bool Visit::go_bare() {
    Stay& stay = *stay_;
    if (!stay.from_hint || stay.pass.authorization.empty()) return false;
    stay.pass = {};
    stay.shown.reset();
    stay.from_hint = false;
    stay.is_last = true;
    return true;
}

// 401, or 403 for a token that has ended (ECR). true: the request is to be made once more.
Task<bool> Visit::answer_challenge(client::ReplyEnd reply) {
    Stay& stay = *stay_;
    Challenges& challenges = stay.door.host->challenges;
    if (stay.is_last || stay.sends >= kMaxSendsPerHost || (stay.door.is_mirror && left_))
        co_return false;
    auto known = challenge_of(reply, stay.door);
    if (!known && reply.head.status == 403 && !stay.pass.authorization.empty()) known = stay.shown;
    if (!known) co_return go_bare();
    if (!stay.pass.fresh) impl_->tokens.drop(stay.pass.key, stay.pass.token);
    Grant next = stay.failed && stay.failed->same_as(*known)
                     ? stay.failure
                     : co_await impl_->grant(stay.door, *known, deadline_);
    if (next.outcome != Outcome::ok) {
        challenges.forget(stay.door.repository, *known);
        if (go_bare()) co_return true;
        stopped_ = std::move(next);
        stopped_->detail = fmt::format("{}: {}", stay.door.url.authority(), stopped_->detail);
        co_return false;
    }
    if (next.authorization == stay.pass.authorization) {
        impl_->tokens.drop(next.key, next.token);
        co_return go_bare();
    }
    challenges.learn(stay.door.repository, stay.door.purpose, *known, impl_->clock.now());
    stay.pass = std::move(next);
    stay.shown = std::move(known);
    co_return true;
}

}  // namespace weir::upstream
