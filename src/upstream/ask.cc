// One request to one mirror, and on over the hosts that it sends us to.
#include <fmt/format.h>

#include <algorithm>

#include "upstream/impl.h"
#include "upstream/visit.h"

namespace weir::upstream {

client::Call Upstream::Impl::make_call(const Site& site, const Request& request,
                                       const std::shared_ptr<client::Leash>& leash,
                                       TimePoint deadline) const {
    client::Call call;
    call.party = options.name;
    call.method = request.method;
    call.url = fmt::format("{}/v2/{}", site.mirror.url, request.path);
    call.fields = request.fields;
    call.fields.emplace_back("Accept-Encoding", "identity");
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

Asked Upstream::Impl::asked_of(const Site& site, client::Followed followed,
                               const AnswerSink& sink) const {
    Asked asked;
    asked.mirror = site.url.authority();
    asked.host = followed.host;
    asked.same_origin = followed.same_origin;
    asked.elsewhere = !followed.same_origin;
    asked.reply = std::move(followed.reply);
    const auto& head = asked.reply.head;
    asked.status = head.status;
    asked.retry_after = retry_after(head.fields, clock.wall());
    Setting setting;
    setting.at_mirror = asked.same_origin;
    setting.has_retry_after = asked.retry_after.has_value();
    setting.challenges = head.fields.has("WWW-Authenticate");
    asked.outcome = outcome_of(asked.reply, setting);
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
    client::FollowRules rules;
    rules.trusted_hosts = options.trusted_hosts;
    const auto answer = std::make_shared<AnswerSink>(std::move(sink));
    Visit visit(shared_from_this(), site, request, leash, deadline);
    client::Followed followed = co_await client::follow(
        http, make_call(*site, request, leash, deadline), answer, std::move(rules), &visit);
    Asked asked = asked_of(*site, std::move(followed), *answer);
    asked.with_login = *request.with_login;
    if (const auto& stopped = visit.stopped()) {
        asked.outcome = stopped->outcome;
        asked.detail = stopped->detail;
        asked.retry_after = stopped->retry_after;
        asked.elsewhere = true;
    }
    if (leash->expired() && asked.outcome != Outcome::ok) {
        asked.outcome = Outcome::timeout;
        asked.detail = fmt::format("{}: no answer within the request's time", asked.host);
    }
    co_return asked;
}

}  // namespace weir::upstream
