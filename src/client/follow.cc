#include "client/follow.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/url.h"

namespace weir::client {
namespace {

constexpr uint64_t kMaxDroppedBytes =
    64 * 1024;  // of a redirect's body, before the connection is given up

bool is_redirect(const ReplyHead& head) {
    const int status = head.status;
    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           !head.fields.get("Location").empty();
}

// Hands on what isn't a redirect.
class FinalSink : public Sink {
public:
    explicit FinalSink(std::shared_ptr<Sink> sink) : sink_(std::move(sink)) {}
    BodyAction on_head(const ReplyHead& head) override {
        redirect_ = is_redirect(head);
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
    bool redirect_ = false;
    uint64_t dropped_ = 0;
};

bool trusted(const FollowRules& rules, const Url& url) {
    return std::ranges::any_of(rules.trusted_hosts,
                               [&](const auto& entry) { return names(entry, url); });
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
Task<Followed> follow(HttpClient& http, Call call, std::shared_ptr<Sink> sink, FollowRules rules) {
    Followed followed;
    const auto first = Url::parse(call.url);
    if (!first) {
        followed.reply.end = End::unreachable;
        followed.reply.detail = "not an http or https address";
        co_return followed;
    }
    const bool may_follow = call.method == "GET" || call.method == "HEAD";
    const Guard guard = call.guard;
    Url at = *first;
    for (;;) {
        followed.host = at.authority();
        followed.same_origin = at.same_origin(*first);
        Call copy = call;
        std::shared_ptr<Sink> seen = sink;
        if (may_follow) seen = std::make_shared<FinalSink>(sink);
        followed.reply = co_await http.send(std::move(copy), std::move(seen));
        const ReplyEnd& reply = followed.reply;
        if (!may_follow || !is_redirect(reply.head) || reply.end == End::cancelled)
            co_return followed;
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
