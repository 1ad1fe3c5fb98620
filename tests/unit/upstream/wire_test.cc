// An upstream over real sockets: token dance, redirect to a CDN and a blob, as one piece with
// libcurl.
#include <gtest/gtest.h>

#include "client/curl_client.h"
#include "support/real_loop.h"
#include "support/wire_server.h"
#include "unit/upstream/world.h"

namespace weir::upstream {
namespace {

using test::http_answer;
using test::Peer;
using test::RealLoop;
using test::TestIdentity;
using test::WireServer;

class Wire : public ::testing::Test {
protected:
    Options options_for(const std::string& url, const std::string& ca_file = {}) {
        Options options;
        options.name = "wire";
        Mirror mirror;
        mirror.url = url;
        mirror.tls.ca_file = ca_file;
        options.mirrors = {mirror};
        options.proxy = "none";
        return options;
    }
    Upstream make(Options options) {
        return Upstream(std::move(options), client, system_clock(), random, {});
    }
    TimePoint soon() { return system_clock().now() + 10s; }

    RealLoop real;
    client::CurlClient client{client::CurlOptions{}};
    SeededRandom random{1};
    TestIdentity identity;
};

TEST_F(Wire, a_blob_comes_over_tls_by_token_and_by_way_of_a_cdn) {
    const std::string content(3'000'000, 'c');
    std::string cdn_saw;
    WireServer cdn(WireServer::answers([&](const std::string& head) {
                       cdn_saw = head;
                       return http_answer(200, content);
                   }),
                   {identity.certificate_file(), identity.key_file(), ""});
    std::string self;
    WireServer registry(
        WireServer::answers([&](const std::string& head) -> std::string {
            if (head.starts_with("GET /token?")) return http_answer(200, R"({"token":"t0ken"})");
            if (head.find("Authorization: Bearer t0ken\r\n") == std::string::npos)
                return http_answer(
                    401, "",
                    "WWW-Authenticate: Bearer realm=\"" + self + "/token\",service=\"s\"\r\n");
            return http_answer(307, "moved", "Location: " + cdn.url("localhost") + "/x?sig=1\r\n");
        }),
        {identity.certificate_file(), identity.key_file(), ""});
    self = registry.url();
    auto upstream = make(options_for(self, identity.certificate_file()));
    const auto sink = std::make_shared<Bytes>();
    const auto got =
        real.run([&]() { return upstream.blob(0, "a/b", digest(), {}, sink, {}, soon()); });
    EXPECT_EQ(got.outcome, Outcome::ok) << got.detail;
    EXPECT_EQ(got.end, TransferEnd::complete) << got.detail;
    EXPECT_EQ(sink->text.size(), content.size());
    EXPECT_EQ(cdn_saw.find("t0ken"), std::string::npos) << cdn_saw;
    EXPECT_TRUE(cdn_saw.starts_with("GET /x?sig=1 HTTP/1.1\r\n")) << cdn_saw;
}

TEST_F(Wire, a_cut_is_told_and_the_rest_can_be_asked_for) {
    WireServer server([](Peer& peer) {
        const std::string head = peer.read_head();
        if (head.find("Range: bytes=4-\r\n") != std::string::npos)
            peer.write(http_answer(206, "456789", "Content-Range: bytes 4-9/10\r\n"));
        else
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123");
        peer.close();
    });
    auto upstream = make(options_for(server.url()));
    const auto sink = std::make_shared<Bytes>();
    auto got = real.run([&]() { return upstream.blob(0, "a/b", digest(), {}, sink, {}, soon()); });
    EXPECT_EQ(got.end, TransferEnd::cut);
    EXPECT_EQ(got.bytes, 4u);
    got = real.run(
        [&]() { return upstream.blob(0, "a/b", digest(), {4, std::nullopt}, sink, {}, soon()); });
    EXPECT_EQ(got.end, TransferEnd::complete);
    EXPECT_EQ(sink->text, "0123456789");
}

TEST_F(Wire, an_upstream_that_accepts_and_says_nothing_is_a_timeout_within_the_deadline) {
    WireServer server([](Peer& peer) { peer.wait_closed(); });
    auto upstream = make(options_for(server.url()));
    const auto got = real.run([&]() {
        return upstream.manifest("a/b", oci::Reference(std::string("1")), false,
                                 system_clock().now() + 100ms);
    });
    EXPECT_EQ(got.outcome, Outcome::timeout);
}

TEST_F(Wire, a_manifest_that_never_ends_stops_at_the_deadline) {
    WireServer server([](Peer& peer) {
        peer.read_head();
        peer.write("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 1000\r\n\r\n{");
        peer.wait_closed();
    });
    auto upstream = make(options_for(server.url()));
    const auto got = real.run([&]() {
        return upstream.manifest("a/b", oci::Reference(std::string("1")), false,
                                 system_clock().now() + 200ms);
    });
    EXPECT_EQ(got.outcome, Outcome::timeout);
}

}  // namespace
}  // namespace weir::upstream
