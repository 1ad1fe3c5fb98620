#include "client/follow.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "client/guard.h"
#include "client/url.h"

namespace weir::client {
namespace {

constexpr uint64_t kMaxDroppedBytes =
    64 * 1024;  // of a redirect's body, before the connection is given up

// `any`: of a GET or HEAD. Others are repeated only as they are.
bool is_redirect(const ReplyHead& head, bool any) {
    const int status = head.status;
    const bool as_it_is = status == 307 || status == 308;
    const bool as_get = status == 301 || status == 302 || status == 303;
    return (as_it_is || (any && as_get)) && !head.fields.get("Location").empty();
}

// Hands on what isn't a redirect.
class FinalSink : public Sink {
public:
    FinalSink(std::shared_ptr<Sink> sink, bool any_redirect)
        : sink_(std::move(sink)), any_redirect_(any_redirect) {}
    BodyAction on_head(const ReplyHead& head) override {
        redirect_ = is_redirect(head, any_redirect_);
        if (!redirect_) return sink_ ? sink_->on_head(head) : BodyAction::go_on;
        return head.content_length.value_or(0) > kMaxDroppedBytes ? BodyAction::stop
                                                                  : BodyAction::go_on;
    }
    BodyAction on_data(std::span<const std::byte> data) override {
        if (!redirect_) return sink_ ? sink_->on_data(data) : BodyAction::go_on;
        dropped_ += data.size();
        return dropped_ > kMaxDroppedBytes ? BodyAction::stop : BodyAction::go_on;
    }

private:
    std::shared_ptr<Sink> sink_;
    const bool any_redirect_;
    bool redirect_ = false;
    uint64_t dropped_ = 0;
};

bool trusted(const FollowRules& rules, const Url& url) {
    return std::ranges::any_of(rules.trusted_hosts,
                               [&](const auto& entry) { return names(entry, url); });
}

// false: the redirect itself is the answer.
bool may_leave(const Url& at, const ReplyHead& head, const FollowRules& rules) {
    if (!rules.within_origin) return true;
    const auto to = resolve(at, head.fields.get("Location"));
    return to && to->same_origin(at);
}

struct Hop {
    std::optional<Url> to;
    End end = End::protocol;  // when there is no `to`
    std::string why;
};

Hop next_hop(const Url& at, std::string_view location, size_t hops, const FollowRules& rules) {
    Hop hop;
    if (hops >= rules.max_hops) {
        hop.why = fmt::format("more than {} redirects", rules.max_hops);
        return hop;
    }
    auto to = resolve(at, location);
    if (!to) {
        hop.end = End::forbidden;
        hop.why = fmt::format("{} redirects to what is no plain http or https address", at.host);
    } else if (at.secure() && !to->secure()) {
        hop.end = End::forbidden;
        hop.why = fmt::format("{} redirects from https to http at {}", at.host, to->host);
    } else {
        hop.to = std::move(to);
    }
    return hop;
}

// Makes the call ready for its next address.
void point(Call& call, const Url& first, const Guard& guard, const Url& at, const Url& to,
           const FollowRules& rules) {
    if (!at.same_origin(to)) {
        call.authorization = {};
        call.tls.client_certificate.clear();
        call.tls.client_key.clear();
    }
    call.guard = guard;
    if (to.host != first.host) {
        call.guard.enabled = !trusted(rules, to);
        call.guard.allow_metadata = false;
    }
    call.url = to.text();
}

}  // namespace

// The client outlives every call that is made with it.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Followed> follow(HttpClient& http, Call call, std::shared_ptr<Sink> sink, FollowRules rules,
                      Companion* companion) {
    Followed followed;
    const auto first = Url::parse(call.url);
    if (!first) {
        followed.reply.end = End::unreachable;
        followed.reply.detail = "not an http or https address";
        co_return followed;
    }
    check(!call.upload, "a body that is streamed is sent once");
    const bool any_redirect = call.method == "GET" || call.method == "HEAD";
    rules.within_origin |= !any_redirect;
    Guard guard = call.guard;
    guard.allow_private |= is_private_host(first->host);
    Url at = *first;
    for (;;) {
        if (companion && !co_await companion->before(at, call)) {
            followed.kept_back = true;
            followed.host = at.authority();
            followed.same_origin = at.same_origin(*first);
            co_return followed;
        }
        followed.host = at.authority();
        followed.same_origin = at.same_origin(*first);
        Call copy = call;
        followed.reply =
            co_await http.send(std::move(copy), std::make_shared<FinalSink>(sink, any_redirect));
        const ReplyEnd& reply = followed.reply;
        const bool leads_on = reply.end != End::cancelled &&
                              is_redirect(reply.head, any_redirect) &&
                              may_leave(at, reply.head, rules);
        const bool again = companion && co_await companion->after(at, reply, leads_on);
        if (!leads_on) {
            if (again) continue;
            co_return followed;
        }
        if (at.host == first->host) guard.allow_private |= reply.from_private;
        const Hop hop = next_hop(at, reply.head.fields.get("Location"), followed.hops, rules);
        if (!hop.to) {
            followed.reply.end = hop.end;
            followed.reply.detail = hop.why;
            followed.reply.head = {};
            co_return followed;
        }
        point(call, *first, guard, at, *hop.to, rules);
        at = *hop.to;
        ++followed.hops;
    }
}

}  // namespace weir::client
