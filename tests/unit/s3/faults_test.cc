// A Bucket with the real HTTP client against servers that break at the wire.
#include <gtest/gtest.h>

#include <atomic>

#include "async/scope.h"
#include "base/text.h"
#include "client/curl_client.h"
#include "s3/bucket.h"
#include "s3/sums.h"
#include "support/real_loop.h"
#include "support/wire_server.h"
#include "unit/s3/world.h"

namespace weir::s3 {
namespace {

using test::http_answer;
using test::Peer;
using test::RealLoop;
using test::WireServer;

class FaultsTest : public ::testing::Test {
protected:
    FaultsTest() {
        options.bucket = "images";
        options.timeouts.response = 2s;
        options.timeouts.stall = 1s;
        credentials.configured = Credentials{"AKID", Secret("s"), {}, Credentials::kNoExpiry};
    }
    ~FaultsTest() override {
        made.reset();
        real.run([this]() { return scope.join(); });
    }
    Bucket& at(const WireServer& server) {
        options.endpoint = server.url();
        chain.emplace(credentials, client, pool, system_clock(), scope);
        made.emplace(options, client, *chain, pool, system_clock(), random);
        return *made;
    }
    static TimePoint soon() { return system_clock().now() + 20s; }
    GetResult get(const WireServer& server) {
        Bucket& bucket = at(server);
        return real.run([this, &bucket]() { return bucket.get("k", 0, {}, sink, {}, soon()); });
    }
    Result put(const WireServer& server, const std::string& text) {
        Bucket& bucket = at(server);
        return real.run([&, text]() {
            return bucket.put("k", std::make_shared<TextFile>(text), text.size(), "", {}, soon());
        });
    }

    RealLoop real;
    ThreadPool pool{"pool", 1};
    client::CurlClient client{client::CurlOptions{}};
    Scope scope{"credentials"};
    SeededRandom random{7};
    BucketOptions options;
    CredentialOptions credentials;
    std::optional<CredentialChain> chain;
    std::optional<Bucket> made;
    std::shared_ptr<Bytes> sink = std::make_shared<Bytes>();
};

TEST_F(FaultsTest, a_server_that_asks_to_slow_down_is_asked_again) {
    std::atomic<int> asked{0};
    WireServer server(WireServer::answers([&](const std::string&) {
        if (++asked < 3) return http_answer(503, "<Error><Code>SlowDown</Code></Error>");
        return http_answer(200, "hello");
    }));
    EXPECT_EQ(get(server).outcome, Outcome::ok);
    EXPECT_EQ(sink->text, "hello");
    EXPECT_EQ(asked, 3);
}

TEST_F(FaultsTest, a_connection_that_is_reset_before_the_head_is_made_anew) {
    std::atomic<int> asked{0};
    WireServer server([&](Peer& peer) {
        peer.read_head();
        if (++asked < 3) return peer.reset();
        peer.write(http_answer(200, "hello"));
        peer.wait_closed();
    });
    EXPECT_EQ(get(server).outcome, Outcome::ok);
    EXPECT_EQ(sink->text, "hello");
}

TEST_F(FaultsTest, a_body_that_is_cut_or_stalls_is_told) {
    for (const bool stall : {false, true}) {
        std::promise<void> over;
        WireServer server([&](Peer& peer) {
            peer.read_head();
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            if (stall) over.get_future().wait();
        });
        const auto result = get(server);
        over.set_value();
        EXPECT_EQ(result.outcome, Outcome::ok);
        EXPECT_TRUE(result.cut);
        EXPECT_EQ(result.bytes, 5u);
        EXPECT_NE(result.detail, "");
    }
}

TEST_F(FaultsTest, a_sink_that_throws_ends_the_transfer_alone) {
    WireServer server(
        WireServer::answers([&](const std::string&) { return http_answer(200, "hello"); }));
    sink->throws = true;
    const auto result = get(server);
    EXPECT_TRUE(result.stopped);
    EXPECT_EQ(result.detail, "the disk is full");
}

TEST_F(FaultsTest, an_upload_that_is_cut_halfway_is_sent_again_from_its_start) {
    const std::string text(3'000'000, 'x');
    std::atomic<int> asked{0};
    std::string received;
    WireServer server([&](Peer& peer) {
        peer.read_head();
        if (++asked == 1) {
            peer.read_bytes(100'000);
            return peer.reset();
        }
        received = peer.read_bytes(text.size());
        peer.write(http_answer(200, ""));
        peer.wait_closed();
    });
    const auto result = put(server, text);
    EXPECT_EQ(result.outcome, Outcome::ok) << result.detail;
    EXPECT_TRUE(received == text);
    EXPECT_EQ(asked, 2);
}

TEST_F(FaultsTest, an_upload_that_is_refused_before_its_end_says_why) {
    const std::string text(20'000'000, 'x');
    WireServer server([&](Peer& peer) {
        peer.read_head();
        peer.write(http_answer(403, "<Error><Code>AccessDenied</Code></Error>",
                               "Connection: close\r\nDate: nonsense\r\n"));
        peer.wait_closed();
    });
    EXPECT_EQ(put(server, text).outcome, Outcome::refused);
}

TEST_F(FaultsTest, a_clock_that_is_off_is_set_from_the_refusal) {
    WireServer server(WireServer::answers([&](const std::string& head) {
        if (head.find("x-amz-date: 20130524T") == std::string::npos)
            return http_answer(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>",
                               "Date: Fri, 24 May 2013 00:00:00 GMT\r\n");
        return http_answer(200, "hello");
    }));
    EXPECT_EQ(get(server).outcome, Outcome::ok);
    EXPECT_EQ(sink->text, "hello");
}

TEST_F(FaultsTest, a_server_that_never_answers_costs_no_more_than_the_deadline) {
    std::promise<void> over;
    WireServer server([done = over.get_future().share()](Peer& peer) {
        peer.read_head();
        done.wait();
    });
    Bucket& bucket = at(server);
    const TimePoint before = system_clock().now();
    const auto result = real.run([&]() { return bucket.head("k", before + 500ms); });
    EXPECT_EQ(result.outcome, Outcome::unavailable);
    EXPECT_EQ(result.detail, "head k: no answer in time");
    // Half of what an answer may take where no deadline says otherwise.
    EXPECT_LT(system_clock().now() - before, 5s);
    over.set_value();
}

TEST_F(FaultsTest, an_answer_without_end_is_refused) {
    WireServer server([&](Peer& peer) {
        peer.read_head();
        peer.write("HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>");
        while (peer.write(std::string(1 << 20, ' '))) {
        }
    });
    Bucket& bucket = at(server);
    const auto result = real.run([&]() { return bucket.list("", "", soon()); });
    EXPECT_EQ(result.outcome, Outcome::bad);
}

TEST_F(FaultsTest, what_is_no_http_is_bad) {
    WireServer server([&](Peer& peer) {
        peer.read_head();
        peer.write("SSH-2.0-x\r\n");
    });
    EXPECT_EQ(get(server).outcome, Outcome::bad);
}

}  // namespace
}  // namespace weir::s3
