#include "registry/access_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "base/redact.h"
#include "base/text.h"

namespace weir::registry {
namespace {

void append_number(std::string& out, uint64_t number) {
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, number);
    out.append(digits, end.ptr);
}

// Milliseconds with three decimals.
void append_ms(std::string& out, Duration duration) {
    const auto us = std::max<int64_t>(
        0, std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
    append_number(out, static_cast<uint64_t>(us / 1000));
    const auto rest = static_cast<unsigned>(us % 1000);
    const char decimals[4] = {'.', static_cast<char>('0' + rest / 100),
                              static_cast<char>('0' + rest / 10 % 10),
                              static_cast<char>('0' + rest % 10)};
    out.append(decimals, sizeof decimals);
}

// Redacted before it is cut: a cut could take the "@" away from behind a login.
void append_foreign(std::string& out, std::string_view text) {
    if (text.find('@') == std::string_view::npos)
        return log::append_json_escaped(out, text.substr(0, kMaxAccessTextBytes));
    const std::string redacted = without_logins(text);
    log::append_json_escaped(out, std::string_view(redacted).substr(0, kMaxAccessTextBytes));
}

void append_host(std::string& out, std::string_view host) {
    if (host.find('@') == std::string_view::npos) return append_foreign(out, host);
    append_foreign(out, host_without_login(host));
}

// As sent, or decoded where escapes may hide a login.
void append_namespace(std::string& out, std::string_view ns) {
    if (ns.find('%') == std::string_view::npos) return append_host(out, ns);
    append_host(out, percent_decode(ns).value_or("?"));
}

// The value of "ns" as sent; the rest of a query may hold what nobody should read.
std::string_view namespace_of(std::string_view query) {
    while (!query.empty()) {
        const size_t end = query.find('&');
        const std::string_view pair = query.substr(0, end);
        if (pair.starts_with("ns=")) return pair.substr(3);
        if (end == std::string_view::npos) break;
        query.remove_prefix(end + 1);
    }
    return {};
}

void append_json_line(std::string& out, std::string_view time, const http::Request& request,
                      const http::Response& response, const http::Outcome& outcome) {
    const auto& notes = response.notes;
    out.append("{\"time\":\"")
        .append(time)
        .append("\",\"level\":\"info\",\"room\":\"access\",\"id\":");
    append_number(out, request.id);
    out.append(",\"client\":\"").append(request.peer).append("\",\"method\":\"");
    append_foreign(out, request.method_text);
    out.append("\",\"host\":\"");
    append_host(out, request.host);
    out.append("\",\"path\":\"");
    append_foreign(out, request.path);
    if (const auto ns = namespace_of(request.query); !ns.empty()) {
        out.append("\",\"ns\":\"");
        append_namespace(out, ns);
    }
    out.append("\",\"status\":");
    append_number(out, static_cast<uint64_t>(response.status));
    out.append(",\"bytes\":");
    append_number(out, outcome.body_bytes_sent);
    out.append(",\"first_byte_ms\":");
    append_ms(out, outcome.time_to_first_byte);
    out.append(",\"total_ms\":");
    append_ms(out, outcome.total);
    out.append(",\"route\":\"").append(notes.route);
    out.append("\",\"cache\":\"").append(notes.cache);
    out.append("\",\"upstream\":\"");
    if (notes.upstream) out.append(*notes.upstream);
    out.append("\",\"user_agent\":\"");
    append_foreign(out, request.field("User-Agent"));
    if (!notes.detail.empty()) {
        out.append("\",\"error\":\"");
        append_foreign(out, notes.detail);
    }
    if (outcome.aborted) {
        out.append("\",\"aborted\":\"");
        append_foreign(out, outcome.abort_reason);
    }
    out.append("\"}\n");
}

void append_text_line(std::string& out, std::string_view time, const http::Request& request,
                      const http::Response& response, const http::Outcome& outcome) {
    const auto& notes = response.notes;
    out.append(time).append(" info  access: #");
    append_number(out, request.id);
    out.append(" ").append(request.peer).append(" \"");
    append_foreign(out, request.method_text);
    out.append(" ");
    append_foreign(out, request.path);
    out.append("\" host=\"");
    append_host(out, request.host);
    if (const auto ns = namespace_of(request.query); !ns.empty()) {
        out.append("\" ns=\"");
        append_namespace(out, ns);
    }
    out.append("\" ");
    append_number(out, static_cast<uint64_t>(response.status));
    out.append(" ");
    append_number(out, outcome.body_bytes_sent);
    out.append(" first_byte_ms=");
    append_ms(out, outcome.time_to_first_byte);
    out.append(" total_ms=");
    append_ms(out, outcome.total);
    out.append(" route=").append(notes.route);
    if (*notes.cache != '\0') out.append(" cache=").append(notes.cache);
    if (notes.upstream) out.append(" upstream=").append(*notes.upstream);
    out.append(" agent=\"");
    append_foreign(out, request.field("User-Agent"));
    if (!notes.detail.empty()) {
        out.append("\" error=\"");
        append_foreign(out, notes.detail);
    }
    if (outcome.aborted) {
        out.append("\" aborted=\"");
        append_foreign(out, outcome.abort_reason);
    }
    out.append("\"\n");
}

}  // namespace

std::string_view TimeText::of(WallTime time) {
    const auto second = std::chrono::floor<std::chrono::seconds>(time);
    if (const int64_t count = second.time_since_epoch().count(); count != second_) {
        second_ = count;
        const std::string text = fmt::format("{:%FT%T}.000Z", second);
        std::memcpy(text_, text.data(), std::min(text.size(), sizeof text_ - 1));
    }
    const auto ms = static_cast<unsigned>((time - second) / std::chrono::milliseconds(1));
    text_[20] = static_cast<char>('0' + ms / 100);
    text_[21] = static_cast<char>('0' + ms / 10 % 10);
    text_[22] = static_cast<char>('0' + ms % 10);
    return {text_, 24};
}

void append_access_line(std::string& out, log::Format format, std::string_view time,
                        const http::Request& request, const http::Response& response,
                        const http::Outcome& outcome) {
    if (format == log::Format::json) {
        append_json_line(out, time, request, response, outcome);
    } else {
        append_text_line(out, time, request, response, outcome);
    }
}

void AccessBuffer::add(const http::Request& request, const http::Response& response,
                       const http::Outcome& outcome) {
    if (lines_.capacity() == 0) lines_.reserve(kAccessBufferBytes + 4 * kMaxAccessTextBytes);
    append_access_line(lines_, format_, time_.of(loop_.clock().wall()), request, response, outcome);
    if (lines_.size() >= kAccessBufferBytes) {
        flush();
    } else if (!timer_) {
        timer_ = true;
        loop_.at(loop_.now() + kAccessFlushInterval, [this] {
            timer_ = false;
            flush();
        });
    }
}

void AccessBuffer::flush() {
    if (lines_.empty()) return;
    log::write_lines(std::exchange(lines_, {}));
}

}  // namespace weir::registry
