#include "http/sender.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/failure.h"
#include "base/log.h"

namespace weir::http {
namespace {

// No browser makes a page of what an upstream or a client's image said: of every answer.
constexpr std::string_view kNoSniffLine = "X-Content-Type-Options: nosniff\r\n";

std::string_view status_line(int status) {
    switch (status) {
        case 200:
            return "HTTP/1.1 200 OK\r\n";
        case 206:
            return "HTTP/1.1 206 Partial Content\r\n";
        case 304:
            return "HTTP/1.1 304 Not Modified\r\n";
        case 401:
            return "HTTP/1.1 401 Unauthorized\r\n";
        case 404:
            return "HTTP/1.1 404 Not Found\r\n";
        default:
            return {};
    }
}

void append_number(std::string& text, uint64_t number) {
    const fmt::format_int digits(number);
    text.append(digits.data(), digits.size());
}

std::string text_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& e) {
        return e.what();
    } catch (...) {
        return "unknown exception";
    }
}

}  // namespace

Sender::Sender(Connection& connection, Pool& pool) : connection_(connection), pool_(pool) {
    connection_.on_tick = [this] { return watch(); };
}

Sender::~Sender() {
    connection_.on_tick = nullptr;
    if (self_) *self_ = nullptr;
}

void Sender::begin(const Request& request, Response& response, bool keep_alive) {
    response_ = &response;
    text_.clear();
    text_sent_ = 0;
    turn_bytes_ = 0;
    ended_ = first_byte_ = false;
    keep_alive_ = keep_alive;
    outcome_ = Outcome{};
    received_ = request.received;
    const int status = response.status;
    const bool empty_by_status = status < 200 || status == 204 || status == 304;
    bodiless_ = request.method == Method::head || empty_by_status;
    chunked_ = !bodiless_ && !response.content_length && !request.http10;
    close_delimited_ = !bodiless_ && !response.content_length && request.http10;
    if (close_delimited_) keep_alive_ = false;
    if (const auto* body = std::get_if<std::shared_ptr<const std::string>>(&response.body))
        check(!*body || response.content_length == (*body)->size(), "a string body's length");
    frame(request, response);
}

void Sender::frame(const Request& request, const Response& response) {
    if (const auto line = status_line(response.status); !line.empty()) {
        text_ += line;
    } else {
        text_ += "HTTP/1.1 ";
        append_number(text_, static_cast<uint64_t>(response.status));
        text_.append(" ").append(reason_phrase(response.status)).append("\r\n");
    }
    text_ += connection_.lane().date_line(received_);
    text_ += kNoSniffLine;
    text_ += response.fields;
    if (response.shared_fields) text_ += *response.shared_fields;
    const bool empty_by_status = bodiless_ && request.method != Method::head;
    if (response.content_length && !empty_by_status) {
        text_ += "Content-Length: ";
        append_number(text_, *response.content_length);
        text_ += "\r\n";
    }
    if (chunked_) text_ += "Transfer-Encoding: chunked\r\n";
    if (!keep_alive_) {
        text_ += "Connection: close\r\n";
    } else if (request.http10) {
        text_ += "Connection: keep-alive\r\n";
    }
    text_ += "\r\n";
}

void Sender::note_first_byte() {
    if (first_byte_) return;
    first_byte_ = true;
    outcome_.time_to_first_byte = connection_.loop().now() - received_;
}

void Sender::end() {
    ended_ = true;
    outcome_.total = connection_.loop().now() - received_;
    if (!first_byte_) outcome_.time_to_first_byte = outcome_.total;
}

void Sender::abort(const char* reason) {
    outcome_.aborted = true;
    outcome_.abort_reason = reason;
    end();
}

void Sender::account(size_t bytes) {
    const size_t head = std::min(bytes, text_.size() - text_sent_);
    text_sent_ += head;
    outcome_.body_bytes_sent += bytes - head;
    if (text_sent_ == text_.size()) {
        text_.clear();
        text_sent_ = 0;
    }
}

// The waiting text and `body`, as far as the socket takes them.
Sender::Step Sender::push(std::string_view body, bool more) {
    const auto head = text();
    const iovec pieces[2] = {{const_cast<char*>(head.data()), head.size()},
                             {const_cast<char*>(body.data()), body.size()}};
    const size_t skip = head.empty() ? 1 : 0;
    const size_t count = 2 - skip - (body.empty() ? 1 : 0);
    const Io io = connection_.transport().write({pieces + skip, count}, more);
    switch (io.kind) {
        case Io::Kind::moved:
            account(io.bytes);
            return Step::sent;
        case Io::Kind::wait_read:
        case Io::Kind::wait_write:
            waits_for_ = io.kind;
            return Step::blocked;
        default:
            return Step::broken;
    }
}

bool Sender::try_now() {
    std::string_view body;
    if (!bodiless_) {
        if (std::holds_alternative<std::unique_ptr<Source>>(response_->body)) return false;
        if (const auto* s = std::get_if<std::shared_ptr<const std::string>>(&response_->body);
            s && *s)
            body = **s;
    }
    for (;;) {
        const auto rest = body.substr(outcome_.body_bytes_sent);
        if (text().empty() && rest.empty()) break;
        const Step step = push(rest, false);
        if (step == Step::blocked) return false;
        if (step == Step::broken) {
            connection_.leave(Connection::Gone::broken);
            abort(connection_.gone_text());
            return true;
        }
        // The usual answer leaves at once: end() reads the clock for both times.
        if (!text().empty() || outcome_.body_bytes_sent < body.size()) note_first_byte();
    }
    end();
    if (!bodiless_ && response_->content_length.value_or(body.size()) != body.size())
        abort("the handler gave no body");
    return true;
}

Task<bool> Sender::blocked() {
    connection_.enter(Connection::Phase::writing);
    const bool on = co_await connection_.wait(waits_for_);
    connection_.enter(Connection::Phase::handling);
    co_return on;
}

Task<> Sender::run() {
    auto* source = bodiless_ ? nullptr : std::get_if<std::unique_ptr<Source>>(&response_->body);
    if (source && *source) {
        std::exception_ptr error;
        bool sent = false;
        try {
            sent = co_await run_source(source->get());
        } catch (...) {
            error = std::current_exception();
        }
        in_source_ = false;
        if (error) response_->notes.detail = text_of(error);
        if (sent) {
            end();
        } else if (!outcome_.aborted) {
            abort(connection_.gone() == Connection::Gone::no ? "source failed"
                                                             : connection_.gone_text());
        }
        co_return;
    }
    while (!try_now()) {
        if (!co_await blocked()) {
            abort(connection_.gone_text());
            co_return;
        }
    }
}

}  // namespace weir::http
