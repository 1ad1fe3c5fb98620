// tests/support/fake_http.h: an HttpClient that answers what a test says and remembers what it was
// asked.
#pragma once
#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/loop.h"
#include "async/signal.h"
#include "client/guard.h"
#include "client/http_client.h"
#include "client/url.h"

namespace weir::test {

struct FakeAnswer {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;
    client::End end = client::End::complete;  // after the body; with status 0, instead of a head
    std::string detail;
    Duration delay{0};       // before the head, on the loop's clock; kForever: none ever comes
    Duration body_delay{0};  // between head and body
    bool has_length = true;
};
inline constexpr Duration kForever = std::chrono::hours(24 * 365);

// One loop. Keeps the rules of the real one: guard, response timeout, max_body_bytes, cancel, pause
// is not supported.
class FakeHttp : public client::HttpClient {
public:
    using Handler = std::function<FakeAnswer(const client::Call&)>;
    explicit FakeHttp(Handler handler = {}) : handler_(std::move(handler)) {}
    void handle(Handler handler) { handler_ = std::move(handler); }

    const std::vector<client::Call>& calls() const { return calls_; }
    std::vector<client::Call> calls_to(std::string_view part) const {
        std::vector<client::Call> out;
        for (const auto& call : calls_)
            if (call.url.find(part) != std::string::npos) out.push_back(call);
        return out;
    }
    size_t running() const { return running_; }

    Task<client::ReplyEnd> send(client::Call call, std::shared_ptr<client::Sink> sink) override {
        calls_.push_back(call);
        ++running_;
        client::ReplyEnd reply = co_await answer(call, std::move(sink));
        --running_;
        co_return reply;
    }

    static std::string field(const client::Call& call, std::string_view name) {
        client::Fields fields{call.fields};
        return std::string(fields.get(name));
    }

private:
    class Handle : public client::TransferHandle {
    public:
        explicit Handle(const Signal& signal) : firing_(signal) {}
        void resume() override {}
        void cancel() override {
            cancelled = true;
            firing_.fire();
        }
        std::atomic<bool> cancelled{false};

    private:
        Firing firing_;
    };

    static client::ReplyEnd ended(client::ReplyEnd reply, client::End end, std::string detail) {
        reply.end = end;
        reply.detail = std::move(detail);
        return reply;
    }

    Task<client::ReplyEnd> answer(const client::Call& call, std::shared_ptr<client::Sink> sink) {
        Signal signal;
        const auto handle = std::make_shared<Handle>(signal);
        client::ReplyEnd reply;
        if (call.started) call.started(handle);
        if (handle->cancelled) co_return ended(reply, client::End::cancelled, "cancelled");
        const auto url = client::Url::parse(call.url);
        const auto kind = url ? client::classify_host(url->host) : std::nullopt;
        if (kind && !client::allowed(call.guard, *kind))
            co_return ended(reply, client::End::forbidden, "the guard refuses " + url->host);
        const FakeAnswer said = handler_(call);
        const Duration patience = call.timeouts.response;
        co_await signal.wait(Loop::current().now() + std::min(said.delay, patience));
        if (handle->cancelled) co_return ended(reply, client::End::cancelled, "cancelled");
        if (said.delay > patience) co_return ended(reply, client::End::timeout, "no answer");
        if (said.status == 0) co_return ended(reply, said.end, said.detail);
        reply.head.status = said.status;
        reply.head.fields.list = said.fields;
        if (said.has_length && !client::Fields{said.fields}.has("Content-Length"))
            reply.head.fields.list.emplace_back("Content-Length", std::to_string(said.body.size()));
        if (said.has_length)
            reply.head.content_length =
                std::stoull(std::string(reply.head.fields.get("Content-Length")));
        const bool has_body = call.method != "HEAD";
        if (has_body && reply.head.content_length.value_or(0) > call.max_body_bytes)
            co_return ended(reply, client::End::too_large, "too large");
        if (sink && sink->on_head(reply.head) == client::BodyAction::stop)
            co_return ended(reply, client::End::stopped, "stopped");
        if (said.body_delay > Duration(0))
            co_await signal.wait(Loop::current().now() + said.body_delay);
        if (handle->cancelled) co_return ended(reply, client::End::cancelled, "cancelled");
        if (has_body && !said.body.empty()) {
            reply.body_bytes = said.body.size();
            if (sink &&
                sink->on_data(std::as_bytes(std::span(said.body))) == client::BodyAction::stop)
                co_return ended(reply, client::End::stopped, "stopped");
        }
        co_return ended(reply, said.end, said.detail);
    }

    Handler handler_;
    std::vector<client::Call> calls_;
    size_t running_ = 0;
};

}  // namespace weir::test
