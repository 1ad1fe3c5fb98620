// RFC 9112, the head of a request: what is read, and what is refused so that nobody can disagree
// about its end.
#include "http/head.h"

#include <gtest/gtest.h>

namespace weir::http {
namespace {

struct Parsed {
    HeadState state;
    HeadError error;
    Head head;
};

Parsed parse(std::string_view text, const HeadLimits& limits = {}) {
    Parsed parsed;
    parsed.state = parse_head(text, limits, parsed.head, parsed.error);
    return parsed;
}

// 0: accepted; -1: more is needed.
int refused(std::string_view text, const HeadLimits& limits = {}) {
    const auto parsed = parse(text, limits);
    if (parsed.state == HeadState::incomplete) return -1;
    return parsed.state == HeadState::invalid ? parsed.error.status : 0;
}

std::string with(std::string_view lines) {
    return fmt::format("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", lines);
}

TEST(Head, takes_a_request_apart) {
    const std::string text =
        "GET /v2/x/manifests/latest?ns=docker.io&a HTTP/1.1\r\nHost: cache:5000\r\n"
        "Accept:  a/b, c/d \t\r\nX-Empty:\r\n\r\nrest";
    const auto p = parse(text);
    ASSERT_EQ(p.state, HeadState::complete);
    EXPECT_EQ(p.head.method, Method::get);
    EXPECT_EQ(p.head.method_text, "GET");
    EXPECT_EQ(p.head.target, "/v2/x/manifests/latest?ns=docker.io&a");
    EXPECT_EQ(p.head.path, "/v2/x/manifests/latest");
    EXPECT_EQ(p.head.query, "ns=docker.io&a");
    EXPECT_EQ(p.head.host, "cache:5000");
    EXPECT_EQ(p.head.bytes, text.size() - 4);
    EXPECT_TRUE(p.head.keep_alive);
    ASSERT_EQ(p.head.fields.size(), 3u);
    EXPECT_EQ(p.head.fields[1].second, "a/b, c/d");
    EXPECT_EQ(p.head.fields[2].second, "");
}

TEST(Head, knows_the_methods) {
    const std::pair<const char*, Method> methods[] = {
        {"GET", Method::get},    {"HEAD", Method::head},       {"POST", Method::post},
        {"PUT", Method::put},    {"PATCH", Method::patch},     {"DELETE", Method::del},
        {"BREW", Method::other}, {"OPTIONS", Method::options}, {"get", Method::other},
    };
    for (const auto& [text, method] : methods) {
        const std::string request = fmt::format("{} / HTTP/1.1\r\nHost: h\r\n\r\n", text);
        const auto p = parse(request);
        ASSERT_EQ(p.state, HeadState::complete) << text;
        EXPECT_EQ(p.head.method, method) << text;
    }
}

TEST(Head, the_absolute_form_replaces_the_host) {
    const std::string text = "GET http://ghcr.io:80/v2/?n=1 HTTP/1.1\r\nHost: other\r\n\r\n";
    const auto p = parse(text);
    ASSERT_EQ(p.state, HeadState::complete);
    EXPECT_EQ(p.head.host, "ghcr.io:80");
    EXPECT_EQ(p.head.path, "/v2/");
    EXPECT_EQ(p.head.query, "n=1");
    const std::string bare = "GET https://ghcr.io HTTP/1.1\r\nHost: other\r\n\r\n";
    EXPECT_EQ(parse(bare).head.path, "/");
    EXPECT_EQ(refused("GET http:///v2/ HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
}

TEST(Head, the_asterisk_is_for_options_only) {
    EXPECT_EQ(refused("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), 0);
    EXPECT_EQ(refused("GET * HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
}

TEST(Head, a_target_of_no_known_form_is_refused) {
    EXPECT_EQ(refused("CONNECT host:443 HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET v2/ HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET  / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET / a HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
}

TEST(Head, keeps_alive_as_the_version_and_connection_say) {
    const auto keeps = [](std::string_view version, std::string_view connection) {
        const std::string text =
            fmt::format("GET / HTTP/{}\r\nHost: h\r\n{}\r\n", version, connection);
        const auto p = parse(text);
        EXPECT_EQ(p.state, HeadState::complete) << text;
        return p.head.keep_alive;
    };
    EXPECT_TRUE(keeps("1.1", ""));
    EXPECT_FALSE(keeps("1.1", "Connection: close\r\n"));
    EXPECT_FALSE(keeps("1.1", "Connection: x-thing, Close\r\n"));
    EXPECT_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: close\r\n"));
    EXPECT_FALSE(keeps("1.0", ""));
    EXPECT_TRUE(keeps("1.0", "Connection: Keep-Alive\r\n"));
}

TEST(Head, arrives_in_pieces_of_any_size) {
    const std::string text = "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
    Head head;
    HeadError error;
    for (size_t n = 1; n < text.size(); ++n)
        ASSERT_EQ(parse_head(std::string_view(text).substr(0, n), {}, head, error),
                  HeadState::incomplete)
            << n;
    ASSERT_EQ(parse_head(text, {}, head, error), HeadState::complete);
    EXPECT_EQ(head.content_length, 3u);
    EXPECT_EQ(head.bytes, text.size());
}

TEST(Head, an_empty_line_before_the_request_is_ignored) {
    const std::string text = "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    const auto p = parse(text);
    ASSERT_EQ(p.state, HeadState::complete);
    EXPECT_EQ(p.head.bytes, text.size());
    EXPECT_EQ(refused("\r\n"), -1);
}

TEST(Head, a_cleared_head_parses_the_next_request) {
    const std::string first = with("Content-Length: 5\r\nConnection: close\r\n");
    auto p = parse(first);
    p.head.clear();
    const std::string second = with("");
    ASSERT_EQ(parse_head(second, {}, p.head, p.error), HeadState::complete);
    EXPECT_FALSE(p.head.content_length);
    EXPECT_TRUE(p.head.keep_alive);
    EXPECT_EQ(p.head.fields.size(), 1u);
}

// One reader's request end is another reader's body: each of these has smuggled a request
// somewhere.
TEST(Head, refuses_what_could_smuggle_a_request) {
    const std::string nul("X: a\0b\r\n", 8);
    for (const std::string lines : {"Content-Length: 5\r\nContent-Length: 6\r\n",
                                    "Content-Length: 5\r\nContent-Length: 5\r\n",
                                    "Content-Length: 5, 5\r\n",
                                    "Content-Length: +5\r\n",
                                    "Content-Length: -5\r\n",
                                    "Content-Length: 0x5\r\n",
                                    "Content-Length: 5 6\r\n",
                                    "Content-Length:\r\n",
                                    "Content-Length: 99999999999999999999\r\n",
                                    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                                    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                                    "Content-Length : 5\r\n",
                                    " Content-Length: 5\r\n",
                                    "Content-Length\r\n: 5\r\n",
                                    "X: a\r\n Content-Length: 5\r\n",
                                    "X:\r\n folded\r\n",
                                    "X: a\r\n\tb\r\n",
                                    "X: a\r\n \r\n",
                                    "X: a\nContent-Length: 5\r\n",
                                    "X: a\rContent-Length: 5\r\n",
                                    ": 5\r\n",
                                    "X\r\n",
                                    "X y: 5\r\n",
                                    "X(y): 5\r\n",
                                    "X: a\x01\r\n",
                                    "X: a\x7f\r\n"})
        EXPECT_EQ(refused(with(lines)), 400) << lines;
    EXPECT_EQ(refused(with(nul)), 400);
}

TEST(Head, a_coding_other_than_chunked_is_not_implemented) {
    EXPECT_EQ(refused(with("Transfer-Encoding: Chunked\r\n")), 0);
    for (const char* coding :
         {"gzip", "gzip, chunked", "chunked, gzip", "identity", "xchunked", "chunked;q=1",
          "\x0b"
          "chunked"})
        EXPECT_GE(refused(with(fmt::format("Transfer-Encoding: {}\r\n", coding))), 400) << coding;
    EXPECT_EQ(refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(Head, needs_exactly_one_host) {
    EXPECT_EQ(refused("GET / HTTP/1.1\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET / HTTP/1.0\r\n\r\n"), 0);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 0);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a/../b\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: [::1]:5000\r\n\r\n"), 0);
}

TEST(Head, lines_end_with_both_characters) {
    EXPECT_EQ(refused("GET / HTTP/1.1\nHost: h\n\n"), 400);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: h\n\r\n"), 400);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"), 400);
}

TEST(Head, unknown_versions_are_told_apart_from_nonsense) {
    EXPECT_EQ(refused("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
    EXPECT_EQ(refused("PRI * HTTP/2.0\r\n\r\n"), 505);
    EXPECT_EQ(refused("GET / HTTP/0.9\r\nHost: h\r\n\r\n"), 505);
    EXPECT_EQ(refused("GET / HTTP/1.2\r\nHost: h\r\n\r\n"), 505);
    EXPECT_EQ(refused("GET / HTTQ/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET /\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET / http/1.1\r\nHost: h\r\n\r\n"), 400);
    EXPECT_EQ(refused("GET / HTTP/1.10\r\nHost: h\r\n\r\n"), 400);
}

TEST(Head, binary_is_refused_before_its_head_ends) {
    EXPECT_EQ(refused(std::string_view("\x16\x03\x01\x02\x00", 5)), 400);
    EXPECT_EQ(refused("GET / HTTP/1.1\nHost"), 400);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nHost: a\rb"), 400);
}

TEST(Head, limits_have_their_own_answers) {
    const HeadLimits limits{1024, 100, 5};
    const std::string url = "/" + std::string(100, 'a');
    EXPECT_EQ(refused("GET " + url + " HTTP/1.1\r\nHost: h\r\n\r\n", limits), 414);
    EXPECT_EQ(refused("GET " + url.substr(1) + " HTTP/1.1\r\nHost: h\r\n\r\n", limits), 400);
    EXPECT_EQ(refused("GET " + url.substr(0, 100) + " HTTP/1.1\r\nHost: h\r\n\r\n", limits), 0);
    EXPECT_EQ(refused("GET /" + std::string(200, 'a'), limits), 414);
    EXPECT_EQ(refused(with("X: " + std::string(1100, 'a') + "\r\n"), limits), 431);
    EXPECT_EQ(refused("GET / HTTP/1.1\r\nX: " + std::string(1100, 'a'), limits), 431);
    EXPECT_EQ(refused(with("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n"), limits), 0);
    EXPECT_EQ(refused(with("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n"), limits), 431);
}

TEST(Head, knows_one_expectation) {
    const std::string good = with("Content-Length: 5\r\nExpect: 100-Continue\r\n");
    EXPECT_TRUE(parse(good).head.expect_continue);
    EXPECT_EQ(refused(with("Expect: 200-ok\r\n")), 417);
    const std::string old = "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    EXPECT_FALSE(parse(old).head.expect_continue);
}

}  // namespace
}  // namespace weir::http
