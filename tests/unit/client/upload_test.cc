// The promises of client/http_client.h about bodies that are sent while they are read.
#include <gtest/gtest.h>

#include <atomic>

#include "base/text.h"
#include "client/curl_client.h"
#include "support/real_loop.h"
#include "support/wire_server.h"

namespace weir::client {
namespace {

using namespace std::chrono_literals;
using test::http_answer;
using test::Peer;
using test::RealLoop;
using test::WireServer;

// Bytes made of their offset.
class Pattern : public UploadSource {
public:
    explicit Pattern(uint64_t size) : size_(size) {}
    size_t read(uint64_t offset, std::span<std::byte> into) override {
        if (offset == 0) ++starts;
        const auto bytes = static_cast<size_t>(std::min<uint64_t>(into.size(), size_ - offset));
        for (size_t i = 0; i < bytes; ++i) into[i] = std::byte(at(offset + i));
        return bytes;
    }
    static char at(uint64_t offset) { return static_cast<char>('a' + offset % 23); }
    static std::string text(uint64_t size) {
        std::string out;
        for (uint64_t i = 0; i < size; ++i) out += at(i);
        return out;
    }
    std::atomic<int> starts{0};

private:
    uint64_t size_;
};

class Broken : public UploadSource {
    size_t read(uint64_t, std::span<std::byte>) override { throw std::runtime_error("EIO"); }
};

class UploadTest : public ::testing::Test {
protected:
    Call upload_to(const WireServer& server, std::shared_ptr<UploadSource> source, uint64_t bytes) {
        Call call;
        call.method = "PUT";
        call.url = server.url() + "/object";
        call.proxy = "none";
        call.guard.allow_loopback = true;
        call.bulk = true;
        call.upload = std::move(source);
        call.upload_bytes = bytes;
        return call;
    }
    ReplyEnd send(Call call) {
        return real.run([this, call]() { return client.send(call, sink); });
    }

    RealLoop real;
    CurlClient client{CurlOptions{}};
    std::shared_ptr<TextSink> sink = std::make_shared<TextSink>();
};

TEST_F(UploadTest, the_server_gets_exactly_the_bytes_and_their_length) {
    constexpr uint64_t kBytes = 3'000'001;
    std::string head, body;
    WireServer server([&](Peer& peer) {
        head = peer.read_head();
        body = peer.read_bytes(kBytes);
        peer.write(http_answer(200, "thanks"));
        peer.wait_closed();
    });
    const auto reply = send(upload_to(server, std::make_shared<Pattern>(kBytes), kBytes));
    EXPECT_EQ(reply.end, End::complete) << reply.detail;
    EXPECT_TRUE(head.starts_with("PUT /object HTTP/1.1\r\n")) << head;
    EXPECT_NE(head.find("Content-Length: 3000001\r\n"), std::string::npos) << head;
    EXPECT_EQ(head.find("Expect"), std::string::npos) << head;
    EXPECT_EQ(head.find("Transfer-Encoding"), std::string::npos) << head;
    EXPECT_EQ(body, Pattern::text(kBytes));
    EXPECT_EQ(sink->text, "thanks");
}

TEST_F(UploadTest, an_upload_of_nothing_says_so) {
    std::string head;
    WireServer server(WireServer::answers([&](const std::string& seen) {
        head = seen;
        return http_answer(200, "");
    }));
    EXPECT_EQ(send(upload_to(server, std::make_shared<Pattern>(0), 0)).end, End::complete);
    EXPECT_NE(head.find("Content-Length: 0\r\n"), std::string::npos) << head;
}

TEST_F(UploadTest, another_method_is_kept) {
    std::string head;
    WireServer server([&](Peer& peer) {
        head = peer.read_head();
        peer.read_bytes(5);
        peer.write(http_answer(200, ""));
        peer.wait_closed();
    });
    Call call = upload_to(server, std::make_shared<Pattern>(5), 5);
    call.method = "POST";
    EXPECT_EQ(send(call).end, End::complete);
    EXPECT_TRUE(head.starts_with("POST /object HTTP/1.1\r\n")) << head;
}

TEST_F(UploadTest, a_connection_that_died_while_idle_gets_the_body_from_its_start) {
    constexpr uint64_t kBytes = 100'000;
    std::atomic<int> whole{0};
    WireServer server([&](Peer& peer) {
        if (peer.read_head().empty()) return;
        if (peer.read_bytes(kBytes) == Pattern::text(kBytes)) ++whole;
        peer.write(http_answer(200, ""));
        peer.close();  // without a word: the client keeps a dead connection
    });
    for (int i = 0; i < 3; ++i) {
        const auto source = std::make_shared<Pattern>(kBytes);
        EXPECT_EQ(send(upload_to(server, source, kBytes)).end, End::complete);
    }
    EXPECT_EQ(whole, 3);
}

TEST_F(UploadTest, a_source_that_fails_ends_the_call_with_its_words) {
    WireServer server([](Peer& peer) { peer.wait_closed(); });
    const auto reply = send(upload_to(server, std::make_shared<Broken>(), 10));
    EXPECT_EQ(reply.end, End::stopped);
    EXPECT_EQ(reply.detail, "EIO");
}

TEST_F(UploadTest, a_source_that_ends_early_ends_the_call) {
    WireServer server([](Peer& peer) { peer.wait_closed(); });
    const auto reply = send(upload_to(server, std::make_shared<Pattern>(10), 20));
    EXPECT_EQ(reply.end, End::stopped);
    EXPECT_EQ(reply.detail, "the upload ends 10 bytes early");
}

TEST_F(UploadTest, an_answer_before_the_end_of_the_body_is_seen) {
    constexpr uint64_t kBytes = 64 << 20;
    WireServer server([](Peer& peer) {
        peer.read_head();
        peer.write(http_answer(403, "no", "Connection: close\r\n"));
        peer.wait_closed();
    });
    const auto reply = send(upload_to(server, std::make_shared<Pattern>(kBytes), kBytes));
    EXPECT_EQ(reply.head.status, 403);
    EXPECT_EQ(sink->text, "no");
}

TEST_F(UploadTest, a_server_that_stops_reading_is_a_timeout) {
    constexpr uint64_t kBytes = 64 << 20;
    std::promise<void> over;
    WireServer server([&](Peer& peer) {
        peer.read_head();
        over.get_future().wait();
    });
    Call call = upload_to(server, std::make_shared<Pattern>(kBytes), kBytes);
    call.timeouts.stall = 1s;
    const auto reply = send(call);
    over.set_value();
    EXPECT_EQ(reply.end, End::timeout);
    EXPECT_EQ(reply.detail, "nothing could be sent for 1 s");
}

TEST_F(UploadTest, a_slow_upload_may_take_longer_than_an_answer) {
    constexpr uint64_t kBytes = 600'000;
    class Slow : public Pattern {
    public:
        using Pattern::Pattern;
        size_t read(uint64_t offset, std::span<std::byte> into) override {
            std::this_thread::sleep_for(60ms);
            return Pattern::read(offset, into.first(std::min<size_t>(into.size(), 60'000)));
        }
    };
    WireServer server([](Peer& peer) {
        peer.read_head();
        peer.read_bytes(kBytes);
        peer.write(http_answer(200, ""));
        peer.wait_closed();
    });
    Call call = upload_to(server, std::make_shared<Slow>(kBytes), kBytes);
    call.timeouts.response = 300ms;
    const auto reply = send(call);
    EXPECT_EQ(reply.end, End::complete) << reply.detail;
    EXPECT_GT(reply.time_to_head, 500ms);
}

}  // namespace
}  // namespace weir::client
