// Bodies that clients send.
#include <future>

#include "http_world.h"

#include "base/text.h"

namespace weir::http {
namespace {

// Answers with the body that came.
Task<Response> echo(Request& request) {
    std::string text;
    while (request.body) {
        const auto bytes = co_await request.body->next();
        if (bytes.empty()) break;
        text += as_text(bytes);
    }
    co_return text_response(text);
}

constexpr std::string_view kNext = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";

struct EchoServer : Server {
    explicit EchoServer(Limits limits = {}) : Server(limits) {
        handler.later = [](Request& request) -> Task<Response> {
            if (request.path == "/ignore") co_return text_response("ignored");
            co_return co_await echo(request);
        };
    }
};

TEST(RequestBody, of_known_length_is_read_whole_and_no_further) {
    EchoServer server;
    Client client(server.port());
    const std::string body(300'000, 'b');
    client.send(fmt::format("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{}{}",
                            body.size(), body, kNext));
    EXPECT_EQ(client.reply().body, body);
    EXPECT_EQ(client.reply().status, 200);
}

TEST(RequestBody, in_chunks_is_read_whole_and_the_next_request_is_kept) {
    EchoServer server;
    Client client(server.port());
    std::string chunks, body;
    for (int i = 1; i < 300; ++i) {
        const std::string piece(static_cast<size_t>(i), static_cast<char>('a' + i % 26));
        chunks += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
        body += piece;
    }
    client.send("PATCH / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks +
                "0\r\nTrailer: dropped\r\n\r\n" + std::string(kNext));
    EXPECT_EQ(client.reply().body, body);
    EXPECT_EQ(client.reply().status, 200);
}

TEST(RequestBody, a_client_that_expects_it_is_asked_for_its_body) {
    EchoServer server;
    Client client(server.port());
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(client.reply().status, 100);
    client.send("hello");
    EXPECT_EQ(client.reply().body, "hello");
    EXPECT_EQ(client.get("/").status, 200);
}

TEST(RequestBody, a_client_whose_body_is_not_wanted_is_not_asked_for_it) {
    EchoServer server;
    Client client(server.port());
    client.send(
        "PUT /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    const auto reply = client.reply();
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.field("Connection"), "close") << "nobody knows whether the body follows";
    EXPECT_TRUE(client.ends());
}

TEST(RequestBody, that_is_already_here_needs_no_asking) {
    EchoServer server;
    Client client(server.port());
    client.send(
        "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    EXPECT_EQ(client.reply().body, "hello");
}

TEST(RequestBody, nobody_read_is_read_away_while_it_is_small) {
    EchoServer server;
    Client client(server.port());
    client.send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n");
    EXPECT_EQ(client.reply().body, "ignored");
    client.send(std::string(20'000, 'x'));
    EXPECT_EQ(client.get("/").status, 200);
    client.send(
        "POST /ignore HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    EXPECT_EQ(client.reply().body, "ignored");
    EXPECT_EQ(client.get("/").status, 200);
}

TEST(RequestBody, nobody_read_and_too_large_ends_the_connection_after_the_answer) {
    EchoServer server;
    Client client(server.port());
    client.send("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n" +
                std::string(200'000, 'x'));
    const auto reply = client.reply();
    EXPECT_EQ(reply.body, "ignored");
    EXPECT_EQ(reply.field("Connection"), "close");
    EXPECT_TRUE(client.ends());
}

TEST(RequestBody, larger_than_the_limit_is_refused) {
    Limits limits;
    limits.max_request_body_bytes = 1000;
    EchoServer server(limits);
    Client known(server.port());
    known.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n" +
               std::string(1001, 'x'));
    EXPECT_EQ(known.reply().status, 413);
    Client chunked(server.port());
    chunked.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                 std::string(1001, 'x') + "\r\n0\r\n\r\n");
    EXPECT_EQ(chunked.reply().status, 413);
    Client within(server.port());
    within.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n" +
                std::string(1000, 'x'));
    EXPECT_EQ(within.reply().status, 200);
}

TEST(RequestBody, broken_chunks_are_a_bad_request_and_the_end) {
    EchoServer server;
    Client client(server.port());
    client.send(
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloGET /smuggled "
        "HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto reply = client.reply();
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(reply.field("Connection"), "close");
    EXPECT_TRUE(client.ends());
}

TEST(RequestBody, a_client_that_leaves_before_its_end_cancels_the_handler) {
    Server server;
    std::promise<Kind> ended;
    server.handler.later = [&](Request& request) -> Task<Response> {
        std::optional<Kind> kind;
        try {
            while (!(co_await request.body->next()).empty()) {
            }
        } catch (const Failure& failure) {
            kind = failure.kind();
        }
        ended.set_value(kind.value_or(Kind::internal));
        co_return Response(200);
    };
    {
        Client client(server.port());
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
    }
    auto kind = ended.get_future();
    ASSERT_EQ(kind.wait_for(kPatience), std::future_status::ready);
    EXPECT_EQ(kind.get(), Kind::cancelled);
    server.await_connections(0);
}

TEST(RequestBody, that_brings_nothing_for_too_long_is_given_up) {
    Limits limits;
    limits.read_timeout = 50ms;
    EchoServer server(limits);
    Client client(server.port());
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
    server.await_connections(0);
    EXPECT_TRUE(server.handler.next_ended().status >= 400);
}

}  // namespace
}  // namespace weir::http
