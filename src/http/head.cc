#include "http/head.h"

#include <boost/beast/http/basic_parser.hpp>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text.h"

namespace weir::http {
namespace {

namespace beast = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

std::string_view own(string_view text) {
    return {text.data(), text.size()};
}

Method method_of(beast::verb verb) {
    switch (verb) {
        case beast::verb::get:
            return Method::get;
        case beast::verb::head:
            return Method::head;
        case beast::verb::post:
            return Method::post;
        case beast::verb::put:
            return Method::put;
        case beast::verb::patch:
            return Method::patch;
        case beast::verb::delete_:
            return Method::del;
        case beast::verb::options:
            return Method::options;
        default:
            return Method::other;
    }
}

// Beast's grammar, our memory: fields become views into the session's buffer. What Beast tolerates
// and we do not is refused here; `refusal` says why.
class Parser final : public beast::basic_parser<true> {
public:
    Parser(std::string_view bytes, const HeadLimits& limits, Head& head)
        : bytes_(bytes), limits_(limits), head_(head) {
        header_limit(UINT32_MAX);  // the caller has looked for the end already
        body_limit(boost::none);
        skip(true);
    }

    std::optional<HeadError> refusal;

private:
    void refuse(int status, const char* what, error_code& error) {
        refusal = HeadError{status, what};
        error = beast::error::bad_field;
    }

    void on_request_impl(beast::verb verb, string_view method, string_view target, int version,
                         error_code& error) override {
        head_.method = method_of(verb);
        head_.method_text = own(method);
        head_.target = own(target);
        head_.http10 = version == 10;
        if (head_.target.size() > limits_.max_url_bytes) refuse(414, "the URL is too long", error);
    }

    void on_field_impl(beast::field field, string_view name, string_view value,
                       error_code& error) override {
        if (head_.fields.size() == limits_.max_fields)
            return refuse(431, "too many header fields", error);
        // A folded value is copied by Beast, or begins after a line end: only blanks may stand
        // between.
        const char* at = name.data() + name.size() + 1;
        if (value.data() < at || value.data() > bytes_.data() + bytes_.size())
            return refuse(400, "folded header line", error);
        for (; at != value.data(); ++at)
            if (*at != ' ' && *at != '\t') return refuse(400, "folded header line", error);
        head_.fields.emplace_back(own(name), own(value));
        note(field, own(value), error);
    }

    void note(beast::field field, std::string_view value, error_code& error) {
        switch (field) {
            case beast::field::host:
                if (hosts_++ > 0) return refuse(400, "more than one Host", error);
                head_.host = value;
                break;
            case beast::field::content_length:
                if (head_.content_length) return refuse(400, "two Content-Lengths", error);
                head_.content_length = parse_u64(value);
                if (!head_.content_length) return refuse(400, "bad Content-Length", error);
                break;
            case beast::field::transfer_encoding:
                if (std::exchange(coded_, true))
                    return refuse(400, "more than one Transfer-Encoding", error);
                if (!iequals(value, "chunked"))
                    return refuse(501, "unknown transfer coding", error);
                head_.chunked = true;
                break;
            case beast::field::expect:
                if (iequals(value, "100-continue")) {
                    head_.expect_continue = true;
                } else {
                    unknown_expectation_ = true;
                }
                break;
            case beast::field::connection:
                note_connection(value);
                break;
            default:
                break;
        }
    }

    void note_connection(std::string_view value) {
        while (!value.empty()) {
            const size_t comma = std::min(value.find(','), value.size());
            const auto option = trim(value.substr(0, comma));
            if (iequals(option, "close")) close_ = true;
            if (iequals(option, "keep-alive")) keep_alive_ = true;
            value.remove_prefix(std::min(comma + 1, value.size()));
        }
    }

    void on_header_impl(error_code& error) override {
        if (head_.chunked && (head_.content_length || head_.http10))
            return refuse(400, "Transfer-Encoding beside Content-Length or in HTTP/1.0", error);
        if (hosts_ == 0 && !head_.http10) return refuse(400, "no Host", error);
        if (unknown_expectation_ && !head_.http10) return refuse(417, "unknown expectation", error);
        if (head_.http10) head_.expect_continue = false;
        head_.keep_alive = !close_ && (!head_.http10 || keep_alive_);
    }

    void on_response_impl(int, string_view, int, error_code&) override {}
    void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}
    size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
    void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}
    size_t on_chunk_body_impl(uint64_t, string_view body, error_code&) override {
        return body.size();
    }
    void on_finish_impl(error_code&) override {}

    std::string_view bytes_;
    const HeadLimits& limits_;
    Head& head_;
    int hosts_ = 0;
    bool coded_ = false;
    bool close_ = false;
    bool keep_alive_ = false;
    bool unknown_expectation_ = false;
};

// Visible ASCII without what no URL holds; a Host is even narrower. Both end up in logs, keys and
// upstream requests.
using ByteSet = std::array<bool, 256>;
constexpr ByteSet kTargetBytes = [] {
    ByteSet set{};
    for (size_t c = 0x21; c < 0x7f; ++c) set[c] = true;
    for (const unsigned char c : std::string_view("#\"<>\\")) set[c] = false;
    return set;
}();
constexpr ByteSet kHostBytes = [] {
    ByteSet set{};
    for (size_t c = 'a'; c <= 'z'; ++c) set[c] = set[c - 'a' + 'A'] = true;
    for (size_t c = '0'; c <= '9'; ++c) set[c] = true;
    for (const unsigned char c : std::string_view(".-_:[]%")) set[c] = true;
    return set;
}();
bool is_of(const ByteSet& set, std::string_view text) {
    return std::ranges::all_of(text, [&](char c) { return set[static_cast<unsigned char>(c)]; });
}

// RFC 9112 3.2: origin-form, absolute-form, and asterisk-form for OPTIONS.
bool split_target(Head& head) {
    std::string_view rest = head.target;
    if (!is_of(kTargetBytes, rest) || !is_of(kHostBytes, head.host)) return false;
    if (rest == "*" && head.method == Method::options) {
        head.path = rest;
        return true;
    }
    if (!rest.starts_with('/')) {
        const size_t scheme = istarts_with(rest, "http://")    ? 7
                              : istarts_with(rest, "https://") ? 8
                                                               : 0;
        if (scheme == 0) return false;
        rest.remove_prefix(scheme);
        const size_t authority = std::min(rest.find_first_of("/?"), rest.size());
        head.host = rest.substr(0, authority);  // RFC 9112 3.2.2: it replaces Host
        if (head.host.empty() || !is_of(kHostBytes, head.host)) return false;
        rest.remove_prefix(authority);
    }
    const size_t question = std::min(rest.find('?'), rest.size());
    head.path = rest.substr(0, question);
    head.query = rest.substr(std::min(question + 1, rest.size()));
    if (head.path.empty()) head.path = "/";
    return true;
}

// "GET / HTTP/3.7": a version that is none of ours, as opposed to a line that is no request.
bool names_other_version(std::string_view line) {
    const size_t blank = line.rfind(' ');
    if (blank == line.npos) return false;
    const auto version = line.substr(blank + 1);
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    return version.size() == 8 && version.starts_with("HTTP/") && digit(version[5]) &&
           version[6] == '.' && digit(version[7]) && version != "HTTP/1.0" && version != "HTTP/1.1";
}

HeadState fail(HeadError& error, int status, const char* what) {
    error = {status, what};
    return HeadState::invalid;
}

// Nothing but a head can become of bytes without control characters and bare line feeds; the rest
// is refused at once rather than at the head timeout (a TLS hello on a plain port).
HeadState scan_incomplete(std::string_view bytes, size_t start, const HeadLimits& limits,
                          Head& head, HeadError& error) {
    for (size_t i = head.scanned; i < bytes.size(); ++i) {
        const auto c = static_cast<unsigned char>(bytes[i]);
        const bool after_cr = i > 0 && bytes[i - 1] == '\r';
        if (after_cr != (c == '\n')) return fail(error, 400, "bad line end in the head");
        if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f)
            return fail(error, 400, "control character in the head");
    }
    head.scanned = bytes.size();
    const size_t line = std::min(bytes.find("\r\n", start), bytes.size()) - start;
    if (line > limits.max_url_bytes + 64) return fail(error, 414, "the URL is too long");
    if (bytes.size() >= limits.max_head_bytes) return fail(error, 431, "the head is too large");
    return HeadState::incomplete;
}

}  // namespace

void Head::clear() {
    auto kept = std::move(fields);
    kept.clear();
    *this = Head{};
    fields = std::move(kept);
}

HeadState parse_head(std::string_view bytes, const HeadLimits& limits, Head& head,
                     HeadError& error) {
    // RFC 9112 2.2: an empty line before a request line is ignored (old clients end a body with
    // one).
    size_t start = 0;
    while (bytes.substr(start).starts_with("\r\n")) start += 2;
    if (start == bytes.size() && start < limits.max_head_bytes) return HeadState::incomplete;

    const size_t from = std::max(start, head.scanned > 3 ? head.scanned - 3 : 0);
    const size_t end = bytes.find("\r\n\r\n", from);
    if (end == bytes.npos) return scan_incomplete(bytes, start, limits, head, error);
    const std::string_view text = bytes.substr(start, end + 4 - start);
    const std::string_view line = text.substr(0, text.find("\r\n"));
    if (line.size() > limits.max_url_bytes + 64) return fail(error, 414, "the URL is too long");
    if (end + 4 > limits.max_head_bytes) return fail(error, 431, "the head is too large");

    head.fields.clear();
    Parser parser(text, limits, head);
    error_code failed;
    const size_t used = parser.put(boost::asio::const_buffer(text.data(), text.size()), failed);
    if (parser.refusal) {
        error = *parser.refusal;
        return HeadState::invalid;
    }
    if (failed || used != text.size()) {
        if (names_other_version(line)) return fail(error, 505, "unknown HTTP version");
        return fail(error, 400, "malformed request");
    }
    if (!split_target(head)) return fail(error, 400, "bad request target or Host");
    head.bytes = end + 4;
    return HeadState::complete;
}

}  // namespace weir::http
