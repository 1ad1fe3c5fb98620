// The promises of client/exchange.h about what an answer may weigh beside its body: heads, heads
// before the head, and trailers.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "client/curl_client.h"
#include "client/exchange.h"
#include "support/real_loop.h"
#include "support/wire_server.h"

namespace weir::client {
namespace {

using test::Peer;
using test::RealLoop;
using test::WireServer;

size_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    size_t size = 0, resident = 0;
    statm >> size >> resident;
    return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

class CurlBounds : public ::testing::Test {
protected:
    ReplyEnd answered_by(std::function<void(Peer&)> script) {
        WireServer server([script](Peer& peer) {
            peer.read_head();
            script(peer);
            peer.close();
        });
        Call call;
        call.url = server.url() + "/";
        call.proxy = "none";
        call.guard.allow_loopback = true;
        call.max_body_bytes = 1024;
        const auto sink = std::make_shared<TextSink>();
        return real.run([&]() { return client.send(call, sink); });
    }
    // Until the other side has had enough.
    static void write_for_ever(Peer& peer, const std::string& text) {
        while (peer.write(text)) {
        }
    }

    RealLoop real;
    CurlClient client{CurlOptions{}};
};

constexpr const char* kChunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST_F(CurlBounds, endless_trailers_end_the_call_in_little_memory) {
    std::string lines;
    for (int i = 0; i < 100; ++i) lines += "X-Trailer: " + std::string(1000, 'x') + "\r\n";
    const size_t before = resident_bytes();
    const auto reply = answered_by([&](Peer& peer) {
        peer.write(std::string(kChunked) + "2\r\nhi\r\n0\r\n");
        write_for_ever(peer, lines);
    });
    EXPECT_EQ(reply.end, End::protocol);
    EXPECT_NE(reply.detail.find("trailers"), std::string::npos) << reply.detail;
    EXPECT_LT(resident_bytes(), before + (16u << 20));
}

TEST_F(CurlBounds, many_short_trailers_are_too_many) {
    const auto reply = answered_by([](Peer& peer) {
        peer.write(std::string(kChunked) + "2\r\nhi\r\n0\r\n");
        write_for_ever(peer, "a:b\r\n");
    });
    EXPECT_EQ(reply.end, End::protocol);
}

TEST_F(CurlBounds, a_few_trailers_are_nothing_to_mind) {
    const auto reply = answered_by([](Peer& peer) {
        peer.write(std::string(kChunked) + "2\r\nhi\r\n0\r\nX-Sum: abc\r\nX-Time: 1\r\n\r\n");
    });
    EXPECT_EQ(reply.end, End::complete) << reply.detail;
    EXPECT_EQ(reply.body_bytes, 2u);
    EXPECT_FALSE(reply.head.fields.has("X-Sum")) << "a trailer is no field of the head";
}

TEST_F(CurlBounds, a_head_has_so_many_bytes_and_lines) {
    for (const std::string& line :
         {"X-Long: " + std::string(10'000, 'x') + "\r\n", std::string("a:b\r\n")}) {
        const auto reply = answered_by([&](Peer& peer) {
            peer.write("HTTP/1.1 200 OK\r\n");
            write_for_ever(peer, line);
        });
        EXPECT_EQ(reply.end, End::protocol) << line.size();
        EXPECT_EQ(reply.head.status, 0);
    }
    const auto reply = answered_by([](Peer& peer) {
        std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
        for (size_t i = 0; i < kMaxHeadLines - 10; ++i) head += "a:b\r\n";
        peer.write(head + "\r\n");
    });
    EXPECT_EQ(reply.end, End::complete) << reply.detail;
}

TEST_F(CurlBounds, heads_before_the_head_are_counted) {
    for (const char* early : {"HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
                              "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"}) {
        const auto endless = answered_by([&](Peer& peer) { write_for_ever(peer, early); });
        EXPECT_EQ(endless.end, End::protocol) << endless.detail;
        const auto few = answered_by([&](Peer& peer) {
            peer.write(std::string(early) + early + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        EXPECT_EQ(few.end, End::complete) << few.detail;
        EXPECT_EQ(few.head.status, 200);
    }
}

TEST_F(CurlBounds, endless_chunk_extensions_take_no_memory) {
    const size_t before = resident_bytes();
    size_t sent = 0;
    const auto reply = answered_by([&](Peer& peer) {
        peer.write(std::string(kChunked) + "2;x=");
        const std::string piece(64 * 1024, 'y');
        while (sent < (32u << 20) && peer.write(piece)) sent += piece.size();
    });
    EXPECT_NE(reply.end, End::complete);
    EXPECT_LT(resident_bytes(), before + (16u << 20));
}

}  // namespace
}  // namespace weir::client
