#include "sim/http.h"

#include <algorithm>

#include "async/signal.h"
#include "base/failure.h"
#include "base/text.h"

namespace weir::sim {

using client::BodyAction;
using client::End;

std::optional<AskedRange> range_of(const client::Call& call) {
    for (const auto& [name, value] : call.fields) {
        if (!iequals(name, "Range") || !value.starts_with("bytes=")) continue;
        const std::string_view text = std::string_view(value).substr(6);
        const auto dash = text.find('-');
        AskedRange range;
        if (dash == 0) {
            range.suffix = parse_u64(text.substr(1)).value_or(0);
            return range;
        }
        range.first = parse_u64(text.substr(0, dash)).value_or(0);
        range.last = parse_u64(text.substr(dash + 1));
        return range;
    }
    return std::nullopt;
}

class HttpClient::Exchange : public std::enable_shared_from_this<Exchange> {
public:
    Exchange(HttpClient& http, client::Call call, std::shared_ptr<client::Sink> sink, Serving reply,
             uint64_t number)
        : http_(http),
          call_(std::move(call)),
          sink_(std::move(sink)),
          reply_(std::move(reply)),
          number_(number),
          started_(http.loop_.now()) {}

    void begin() {
        if (!reply_.work || reply_.way != Serving::Way::answer) return wait_for_head();
        const uint64_t bytes = call_.upload ? call_.upload_bytes : call_.body.size();
        after(time_for(bytes), [this] { arrived(); });
    }

    // The request is with the server.
    void arrived() {
        std::string body = call_.body;
        try {
            if (call_.upload) body = uploaded();
        } catch (const Failure&) {
            return finish(End::stopped);
        }
        reply_ = reply_.work(std::move(body));
        wait_for_head();
    }

    void wait_for_head() {
        const Duration connect = call_.timeouts.connect;
        const Duration response = call_.timeouts.response;
        if (reply_.way == Serving::Way::refuse) {
            return after(std::min(reply_.latency, connect), [this] { finish(End::unreachable); });
        }
        if (reply_.way == Serving::Way::silence || reply_.latency > response) {
            return after(response, [this] { finish(End::timeout); });
        }
        after(reply_.latency, [this] { head(); });
    }

    void cancel() { finish(End::cancelled); }
    void resume() {
        if (!paused_ || ended_) return;
        paused_ = false;
        if (std::exchange(at_head_, false)) return wait_for_piece();
        piece();
    }
    // The other side is gone.
    void drop() { finish(head_seen_ ? End::cut : End::unreachable); }
    Task<client::ReplyEnd> result() { return result_.take(); }

private:
    void after(Duration delay, std::move_only_function<void()> f) {
        timer_ = http_.loop_.at(http_.loop_.now() + delay,
                                [self = shared_from_this(), f = std::move(f)]() mutable { f(); });
    }

    void head() {
        head_seen_ = true;
        head_at_ = http_.loop_.now();
        end_.head.status = reply_.status;
        end_.head.fields = reply_.fields;
        end_.head.content_length = reply_.content_length;
        end_.time_to_head = http_.loop_.now() - started_;
        const bool has_body = call_.method != "HEAD" && reply_.source && reply_.length > 0;
        if (has_body && reply_.content_length && *reply_.content_length > call_.max_body_bytes)
            return finish(End::too_large);
        const auto action = sink_ ? sink_->on_head(end_.head) : BodyAction::go_on;
        if (action == BodyAction::stop) return finish(End::stopped);
        if (ended_) return;
        if (call_.method == "HEAD") return finish(End::complete);
        if (!has_body) return finish(short_of_length() ? End::cut : End::complete);
        if (action == BodyAction::pause) {
            paused_ = at_head_ = true;
            return;
        }
        wait_for_piece();
    }

    // What the other side sends at most; a client reads no further than Content-Length.
    uint64_t body_end() const {
        uint64_t end = reply_.endless ? UINT64_MAX : reply_.length;
        if (reply_.content_length) end = std::min(end, *reply_.content_length);
        return end;
    }
    bool short_of_length() const { return reply_.content_length && sent_ < *reply_.content_length; }

    void wait_for_piece() {
        if (sent_ == body_end()) return finish(short_of_length() ? End::cut : End::complete);
        if (reply_.cut_at && sent_ >= *reply_.cut_at) return finish(End::cut);
        if (reply_.stall_at && sent_ >= *reply_.stall_at)
            return after(call_.timeouts.stall, [this] { finish(End::stalled); });
        // Slower than is borne, from the first byte on.
        if (reply_.bytes_per_second < call_.timeouts.stall_bytes_per_second) {
            const TimePoint end = head_at_ + call_.timeouts.stall;
            if (http_.loop_.now() + time_for(next_bytes()) >= end)
                return after(end - http_.loop_.now(), [this] { finish(End::stalled); });
        }
        after(time_for(next_bytes()), [this] { piece(); });
    }

    Duration time_for(uint64_t bytes) const {
        return Duration(static_cast<int64_t>(bytes * 1'000'000'000 / reply_.bytes_per_second));
    }

    std::string uploaded() const {
        std::string body(call_.upload_bytes, '\0');
        for (size_t at = 0; at < body.size();) {
            const size_t got = call_.upload->read(
                at, std::as_writable_bytes(std::span(body.data() + at, body.size() - at)));
            if (got == 0) throw Failure(Kind::io, "the body ended early");
            at += got;
        }
        return body;
    }

    uint64_t next_bytes() const {
        uint64_t end = body_end();
        if (reply_.cut_at) end = std::min(end, *reply_.cut_at);
        if (reply_.stall_at) end = std::min(end, *reply_.stall_at);
        const uint64_t at = place();
        return std::min({reply_.piece_bytes, end - sent_, reply_.length - at});
    }

    // Of the next byte in what is sent.
    uint64_t place() const { return reply_.endless ? sent_ % reply_.length : sent_; }

    void piece() {
        const uint64_t bytes = next_bytes();
        std::string data = reply_.source->substr(reply_.first + place(), bytes);
        if (reply_.flip_at && *reply_.flip_at >= sent_ && *reply_.flip_at < sent_ + bytes)
            data[*reply_.flip_at - sent_] = static_cast<char>(data[*reply_.flip_at - sent_] ^ 0x20);
        if (end_.body_bytes + bytes > call_.max_body_bytes) return finish(End::too_large);
        const auto action =
            sink_ ? sink_->on_data(std::as_bytes(std::span(data))) : BodyAction::go_on;
        if (ended_) return;
        if (action == BodyAction::pause) {
            paused_ = true;
            return;
        }
        http_.server_.delivered(reply_.id, reply_.first + sent_, bytes);
        sent_ += bytes;
        end_.body_bytes += bytes;
        if (action == BodyAction::stop) return finish(End::stopped);
        wait_for_piece();
    }

    void finish(End end) {
        if (ended_) return;
        ended_ = true;
        const auto self = shared_from_this();
        http_.loop_.cancel(timer_);
        http_.running_.erase(number_);
        end_.end = end;
        end_.detail = client::end_name(end);
        sink_.reset();
        http_.server_.ended(reply_.id, end);
        result_.setter().set(std::move(end_));
    }

    HttpClient& http_;
    const client::Call call_;
    std::shared_ptr<client::Sink> sink_;
    Serving reply_;
    const uint64_t number_;
    const TimePoint started_;
    TimePoint head_at_{};
    client::ReplyEnd end_;
    Reply<client::ReplyEnd> result_;
    Loop::TimerId timer_;
    uint64_t sent_ = 0;
    bool head_seen_ = false, paused_ = false, at_head_ = false, ended_ = false;
};

// As in the real client, both verbs arrive on the transfer's side a little later.
class HttpClient::Handle : public client::TransferHandle {
public:
    Handle(Loop& loop, std::weak_ptr<Exchange> exchange)
        : loop_(loop), exchange_(std::move(exchange)) {}
    void resume() override {
        loop_.post([exchange = exchange_] {
            if (const auto e = exchange.lock()) e->resume();
        });
    }
    void cancel() override {
        loop_.post([exchange = exchange_] {
            if (const auto e = exchange.lock()) e->cancel();
        });
    }

private:
    Loop& loop_;
    std::weak_ptr<Exchange> exchange_;
};

HttpClient::~HttpClient() = default;

Task<client::ReplyEnd> HttpClient::send(client::Call call, std::shared_ptr<client::Sink> sink) {
    Serving reply = server_.serve(call);
    if (!plugged_) reply.way = Serving::Way::refuse;
    auto started = std::move(call.started);
    const uint64_t number = ++sent_;
    const auto exchange = std::make_shared<Exchange>(*this, std::move(call), std::move(sink),
                                                     std::move(reply), number);
    running_.emplace(number, exchange);
    exchange->begin();
    if (started) started(std::make_shared<Handle>(loop_, exchange));
    co_return co_await exchange->result();
}

void HttpClient::plug(bool on) {
    plugged_ = on;
    if (on) return;
    const auto running = running_;
    for (const auto& [number, exchange] : running) exchange->drop();
}

}  // namespace weir::sim
