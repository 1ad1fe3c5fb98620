// The promises of client/curl_client.h about requests, answers and how they end, against real
// sockets.
#include "client/curl_client.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/failure.h"
#include "support/real_loop.h"
#include "support/wire_server.h"

namespace weir::client {
namespace {

using namespace std::chrono_literals;
using test::http_answer;
using test::Peer;
using test::RealLoop;
using test::WireServer;

class CurlClientTest : public ::testing::Test {
protected:
    Call call_to(const WireServer& server, std::string path = "/") {
        Call call;
        call.url = server.url() + path;
        call.proxy = "none";
        call.guard.allow_loopback = true;
        return call;
    }
    ReplyEnd send(Call call, std::shared_ptr<Sink> to) {
        return real.run([this, call, to]() { return client.send(call, to); });
    }
    ReplyEnd send(Call call) { return send(std::move(call), sink); }

    RealLoop real;
    CurlClient client{CurlOptions{}};
    std::shared_ptr<TextSink> sink = std::make_shared<TextSink>();
};

TEST_F(CurlClientTest, an_answer_arrives_with_its_head_and_body) {
    WireServer server(WireServer::answers([](const std::string&) {
        return http_answer(200, "hello", "X-One: 1\r\nx-one:  two \r\nETag:\r\n");
    }));
    const auto reply = send(call_to(server));
    EXPECT_EQ(reply.end, End::complete);
    EXPECT_EQ(reply.head.status, 200);
    EXPECT_EQ(reply.head.content_length, 5u);
    EXPECT_EQ(reply.head.fields.get("X-ONE"), "1");
    EXPECT_EQ(reply.head.fields.all("x-one"), (std::vector<std::string_view>{"1", "two"}));
    EXPECT_TRUE(reply.head.fields.has("etag"));
    EXPECT_EQ(reply.body_bytes, 5u);
    EXPECT_GT(reply.time_to_head.count(), 0);
    EXPECT_EQ(sink->text, "hello");
}

TEST_F(CurlClientTest, a_request_says_what_the_call_says_and_nothing_odd) {
    std::string seen;
    WireServer server([&](Peer& peer) {
        seen = peer.read_head();
        seen += peer.read_bytes(7);
        peer.write(http_answer(200, ""));
        peer.wait_closed();
    });
    Call call = call_to(server, "/a/../b?x=%2F");
    call.method = "POST";
    call.body = "a=b&c=d";
    call.fields = {{"X-Empty", ""}, {"Accept", "text/plain"}};
    call.authorization = Secret("Basic abc");
    EXPECT_EQ(send(call).end, End::complete);
    EXPECT_TRUE(seen.starts_with("POST /a/../b?x=%2F HTTP/1.1\r\n")) << seen;
    EXPECT_TRUE(seen.ends_with("\r\n\r\na=b&c=d")) << seen;
    EXPECT_NE(seen.find("X-Empty:\r\n"), std::string::npos) << seen;
    EXPECT_NE(seen.find("Authorization: Basic abc\r\n"), std::string::npos) << seen;
    EXPECT_NE(seen.find("User-Agent: weir\r\n"), std::string::npos) << seen;
    EXPECT_EQ(seen.find("Expect"), std::string::npos) << seen;
    EXPECT_EQ(seen.find("Accept-Encoding"), std::string::npos) << seen;
}

TEST_F(CurlClientTest, a_bulk_call_asks_for_the_bytes_as_they_are) {
    std::string seen;
    WireServer server(WireServer::answers([&](const std::string& head) {
        seen = head;
        return http_answer(200, "raw", "Content-Encoding: gzip\r\n");
    }));
    Call call = call_to(server);
    call.bulk = true;
    EXPECT_EQ(send(call).end, End::complete);
    EXPECT_NE(seen.find("Accept-Encoding: identity\r\n"), std::string::npos) << seen;
    EXPECT_EQ(sink->text, "raw");
}

TEST_F(CurlClientTest, requests_to_one_host_share_a_connection) {
    WireServer server(
        WireServer::answers([](const std::string&) { return http_answer(200, "x"); }));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(send(call_to(server)).end, End::complete);
    EXPECT_EQ(server.accepted(), 1);
}

TEST_F(CurlClientTest, a_connection_that_died_while_idle_is_replaced) {
    WireServer server([](Peer& peer) {
        if (!peer.read_head().empty()) peer.write(http_answer(200, "x"));
        peer.close();
    });
    EXPECT_EQ(send(call_to(server)).end, End::complete);
    EXPECT_EQ(send(call_to(server)).end, End::complete);
}

TEST_F(CurlClientTest, a_head_has_no_body_but_its_length) {
    WireServer server(WireServer::answers(
        [](const std::string&) { return "HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n"; }));
    Call call = call_to(server);
    call.method = "HEAD";
    call.max_body_bytes = 10;
    const auto reply = send(call);
    EXPECT_EQ(reply.end, End::complete);
    EXPECT_EQ(reply.head.content_length, 123456u);
    EXPECT_EQ(reply.body_bytes, 0u);
}

TEST_F(CurlClientTest, interim_answers_are_passed_over) {
    WireServer server(WireServer::answers([](const std::string&) {
        return "HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" + http_answer(204, "");
    }));
    const auto reply = send(call_to(server));
    EXPECT_EQ(reply.head.status, 204);
    EXPECT_FALSE(reply.head.fields.has("Link"));
}

TEST_F(CurlClientTest, redirects_are_not_followed_here) {
    WireServer server(WireServer::answers(
        [](const std::string&) { return http_answer(307, "", "Location: /x\r\n"); }));
    EXPECT_EQ(send(call_to(server)).head.status, 307);
    EXPECT_EQ(server.accepted(), 1);
}

// How a body ends.
struct BodyCase {
    const char* name;
    const char* answer;
    bool reset;
    End end;
    const char* body;
};

class Bodies : public CurlClientTest, public ::testing::WithParamInterface<BodyCase> {
protected:
    std::atomic<size_t> sink_bytes{0};
};

TEST_P(Bodies, end_as_they_should) {
    WireServer server([&](Peer& peer) {
        peer.read_head();
        peer.write(GetParam().answer);
        if (GetParam().reset) {
            while (sink_bytes < std::string_view(GetParam().body).size()) std::this_thread::yield();
            peer.reset();
        }
    });
    struct Counting : TextSink {
        explicit Counting(std::atomic<size_t>& c) : count(c) {}
        BodyAction on_data(std::span<const std::byte> data) override {
            const auto action = TextSink::on_data(data);
            count += data.size();
            return action;
        }
        std::atomic<size_t>& count;
    };
    const auto counting = std::make_shared<Counting>(sink_bytes);
    const auto reply = send(call_to(server), counting);
    EXPECT_EQ(reply.end, GetParam().end) << end_name(reply.end) << ": " << reply.detail;
    EXPECT_EQ(counting->text, GetParam().body);
    EXPECT_EQ(reply.head.status, 200);
    if (reply.end != End::complete) {
        EXPECT_FALSE(reply.detail.empty());
    }
}

INSTANTIATE_TEST_SUITE_P(
    , Bodies,
    ::testing::Values(
        BodyCase{"whole", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, End::complete,
                 "abc"},
        BodyCase{"closed_without_length", "HTTP/1.1 200 OK\r\n\r\nabc", false, End::complete,
                 "abc"},
        BodyCase{"http_1_0", "HTTP/1.0 200 OK\r\n\r\nabc", false, End::complete, "abc"},
        BodyCase{
            "chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
            false, End::complete, "abc"},
        BodyCase{"cut_before_length", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", false,
                 End::cut, "abc"},
        BodyCase{"cut_at_once", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, End::cut,
                 ""},
        BodyCase{"cut_in_chunks",
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false,
                 End::cut, "abc"},
        BodyCase{"reset", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true, End::cut,
                 "abc"}),
    [](const auto& info) { return info.param.name; });

TEST_F(CurlClientTest, nobody_there_is_unreachable) {
    Call call;
    {
        WireServer server([](Peer&) {});
        call = call_to(server);
    }
    const auto reply = send(call);
    EXPECT_EQ(reply.end, End::unreachable);
    EXPECT_EQ(reply.head.status, 0);
    EXPECT_NE(reply.detail.find("onnect"), std::string::npos) << reply.detail;
}

TEST_F(CurlClientTest, a_name_that_does_not_exist_is_unreachable) {
    Call call;
    call.url = "http://no-such-name.invalid/";
    call.proxy = "none";
    EXPECT_EQ(send(call).end, End::unreachable);
}

TEST_F(CurlClientTest, a_connection_that_closes_before_a_head_is_unreachable) {
    WireServer server([](Peer& peer) {
        peer.read_head();
        peer.close();
    });
    EXPECT_EQ(send(call_to(server)).end, End::unreachable);
}

TEST_F(CurlClientTest, an_address_that_is_none_is_unreachable_and_never_dialled) {
    for (const char* url :
         {"", "nonsense", "file:///etc/passwd", "http://a b/", "http://u:p@127.0.0.1/"}) {
        Call call;
        call.url = url;
        EXPECT_EQ(send(call).end, End::unreachable) << url;
    }
}

TEST_F(CurlClientTest, what_is_not_http_is_a_protocol_error) {
    WireServer server([](Peer& peer) {
        peer.read_head();
        peer.write("SSH-2.0-nonsense\r\n\r\n");
    });
    const auto reply = send(call_to(server));
    EXPECT_EQ(reply.end, End::protocol) << reply.detail;
    EXPECT_EQ(reply.head.status, 0);
}

TEST_F(CurlClientTest, an_endless_head_is_a_protocol_error) {
    WireServer server([](Peer& peer) {
        peer.read_head();
        peer.write("HTTP/1.1 200 OK\r\n");
        const std::string line = "X-Long: " + std::string(1000, 'x') + "\r\n";
        while (peer.write(line)) {
        }
    });
    const auto reply = send(call_to(server));
    EXPECT_EQ(reply.end, End::protocol) << end_name(reply.end) << reply.detail;
    EXPECT_EQ(reply.head.status, 0);
}

TEST_F(CurlClientTest, no_head_within_the_response_time_is_a_timeout) {
    WireServer server([](Peer& peer) { peer.wait_closed(); });
    Call call = call_to(server);
    call.timeouts.response = 80ms;
    const auto before = std::chrono::steady_clock::now();
    const auto reply = send(call);
    EXPECT_EQ(reply.end, End::timeout);
    EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
    EXPECT_NE(reply.detail.find("80 ms"), std::string::npos) << reply.detail;
}

TEST_F(CurlClientTest, a_silence_after_the_head_is_a_stall) {
    WireServer server([](Peer& peer) {
        peer.read_head();
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        peer.wait_closed();
    });
    Call call = call_to(server);
    call.timeouts.stall = 1s;
    call.timeouts.response = 100ms;
    const auto reply = send(call);
    EXPECT_EQ(reply.end, End::stalled);
    EXPECT_EQ(sink->text, "abc");
}

TEST_F(CurlClientTest, a_trickle_below_the_rate_is_a_stall) {
    WireServer server([](Peer& peer) {
        peer.read_head();
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        while (!peer.leaves_within(50ms) && peer.write("x")) {
        }
    });
    Call call = call_to(server);
    call.timeouts.stall = 1s;
    call.timeouts.stall_bytes_per_second = 1000;
    EXPECT_EQ(send(call).end, End::stalled);
}

TEST_F(CurlClientTest, a_body_over_its_limit_is_too_large_whether_announced_or_not) {
    WireServer announced(
        WireServer::answers([](const std::string&) { return http_answer(200, "12345678901"); }));
    WireServer chunked(WireServer::answers([](const std::string&) {
        return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n";
    }));
    for (const auto* server : {&announced, &chunked}) {
        Call call = call_to(*server);
        call.max_body_bytes = 10;
        EXPECT_EQ(send(call).end, End::too_large);
        call.max_body_bytes = 11;
        EXPECT_EQ(send(call).end, End::complete);
    }
}

TEST_F(CurlClientTest, a_field_with_a_line_break_is_never_sent) {
    WireServer server(WireServer::answers([](const std::string&) { return http_answer(200, ""); }));
    Call smuggled = call_to(server);
    smuggled.fields = {{"X-A", "b\r\nX-Evil: 1"}};
    EXPECT_EQ(send(smuggled).end, End::protocol);
    Call secret = call_to(server);
    secret.authorization = Secret("Bearer top\nsecret");
    const auto reply = send(secret);
    EXPECT_EQ(reply.end, End::protocol);
    EXPECT_EQ(reply.detail.find("secret"), std::string::npos);
    EXPECT_EQ(server.accepted(), 0);
}

TEST_F(CurlClientTest, beyond_its_transfers_a_thread_says_overloaded) {
    CurlOptions options;
    options.max_transfers = 1;
    CurlClient narrow(options);
    WireServer server([](Peer& peer) { peer.wait_closed(); });
    auto first = real.start([&]() { return narrow.send(call_to(server), nullptr); });
    while (server.accepted() == 0) std::this_thread::yield();
    try {
        real.run([&]() { return narrow.send(call_to(server), nullptr); });
        ADD_FAILURE() << "no failure";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::overloaded);
    }
    narrow.shutdown();
    EXPECT_EQ(RealLoop::value_of(std::move(first)).end, End::cancelled);
}

}  // namespace
}  // namespace weir::client
