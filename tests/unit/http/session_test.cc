// What a client sees of requests, answers and connections.
#include <sys/socket.h>

#include "http_world.h"

namespace weir::http {
namespace {

TEST(Session, answers_one_request_after_another_on_a_connection) {
    Server server;
    Client client(server.port());
    for (int i = 0; i < 3; ++i) {
        const auto reply = client.get(fmt::format("/{}", i));
        EXPECT_EQ(reply.status, 200);
        EXPECT_EQ(reply.body, fmt::format("/{}", i));
        EXPECT_TRUE(reply.head.starts_with("HTTP/1.1 200 OK\r\nDate: ")) << reply.head;
        EXPECT_TRUE(reply.field("Date").ends_with(" GMT"));
        EXPECT_EQ(reply.field("X-Content-Type-Options"), "nosniff");
        EXPECT_EQ(reply.field("Connection"), "");
    }
    EXPECT_EQ(server.listener->connections(), 1u);
}

TEST(Session, an_answer_that_needs_no_waiting_comes_from_handle_now) {
    Server server;
    server.handler.now = [](Request& request) -> std::optional<Response> {
        if (request.path != "/now") return std::nullopt;
        Response response(404);
        response.shared_fields = std::make_shared<const std::string>("X-Shared: yes\r\n");
        response.set("X-Own", "too");
        response.set_body(std::make_shared<const std::string>("now"));
        return response;
    };
    Client client(server.port());
    const auto reply = client.get("/now");
    EXPECT_EQ(reply.status, 404);
    EXPECT_EQ(reply.field("X-Shared"), "yes");
    EXPECT_EQ(reply.field("X-Own"), "too");
    EXPECT_EQ(reply.body, "now");
    EXPECT_EQ(client.get("/later").body, "/later");
}

TEST(Session, pipelined_requests_are_answered_in_order_and_the_tail_is_kept) {
    Server server;
    Gate gate;
    server.handler.now = [](Request& request) -> std::optional<Response> {
        if (request.path == "/slow") return std::nullopt;
        return text_response(std::string(request.path));
    };
    server.handler.later = [&](Request& request) -> Task<Response> {
        const std::string path(request.path);
        co_await gate.wait();
        EXPECT_EQ(request.path, path) << "views live as long as the handler runs";
        co_return text_response(path);
    };
    Client client(server.port());
    std::string requests;
    for (const char* path : {"/slow", "/a", "/slow", "/b"})
        requests += fmt::format("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", path);
    for (int i = 0; i < 100; ++i) requests += fmt::format("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", i);
    const size_t cut = requests.size() - 7;
    client.send(requests.substr(0, cut));
    gate.await_waiter();
    gate.open();
    for (const char* path : {"/slow", "/a", "/slow", "/b"}) EXPECT_EQ(client.reply().body, path);
    client.send(requests.substr(cut));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(client.reply().body, fmt::format("/{}", i));
}

TEST(Session, a_request_may_arrive_byte_by_byte) {
    Server server;
    Client client(server.port());
    const std::string request =
        "GET /bytes HTTP/1.1\r\nHost: h\r\nX: " + std::string(300, 'x') + "\r\n\r\n";
    for (const char c : request) client.send({&c, 1});
    EXPECT_EQ(client.reply().body, "/bytes");
}

TEST(Session, a_large_head_within_the_limit_is_read_whole) {
    Server server;
    server.handler.later = [](Request& request) {
        return ready(text_response(std::string(request.field("X"))));
    };
    Client client(server.port());
    for (int i = 0; i < 2; ++i) {
        const std::string value(30'000, static_cast<char>('a' + i));
        client.send("GET / HTTP/1.1\r\nHost: h\r\nX: " + value + "\r\n\r\n");
        EXPECT_EQ(client.reply().body, value);
    }
}

TEST(Session, head_gets_the_fields_of_get_and_no_body) {
    Server server;
    Client client(server.port());
    client.send("HEAD /head HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto head = client.reply(true);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.field("Content-Length"), "5");
    EXPECT_EQ(client.reply().body, "/next");
    EXPECT_EQ(server.handler.next_ended().outcome.body_bytes_sent, 0u);
}

TEST(Session, head_of_a_source_does_not_read_it) {
    Server server;
    struct Untouched : Source {
        Task<std::optional<Piece>> next(uint64_t) override {
            throw Failure(Kind::internal, "read");
        }
    };
    server.handler.later = [](Request&) {
        Response response;
        response.content_length = 1'000'000;
        response.body = std::make_unique<Untouched>();
        return ready(std::move(response));
    };
    Client client(server.port());
    for (int i = 0; i < 2; ++i) {
        client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        EXPECT_EQ(client.reply(true).field("Content-Length"), "1000000");
    }
}

TEST(Session, some_statuses_have_neither_body_nor_length) {
    Server server;
    server.handler.later = [](Request& request) {
        return ready(Response(request.path == "/204" ? 204 : 304));
    };
    Client client(server.port());
    for (const char* path : {"/204", "/304"}) {
        const auto reply = client.get(path);
        EXPECT_EQ(reply.head.find("Content-Length"), std::string::npos) << reply.head;
        EXPECT_EQ(reply.head.find("Transfer-Encoding"), std::string::npos);
    }
}

TEST(Session, close_is_honoured_from_both_sides) {
    Server server;
    server.handler.later = [](Request& request) {
        Response response = text_response("bye");
        response.close = request.path == "/close";
        return ready(std::move(response));
    };
    Client asked(server.port());
    asked.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(asked.reply().field("Connection"), "close");
    EXPECT_TRUE(asked.ends());
    Client told(server.port());
    EXPECT_EQ(told.get("/close").field("Connection"), "close");
    EXPECT_TRUE(told.ends());
}

TEST(Session, http_1_0_closes_unless_asked_to_stay) {
    Server server;
    Client closing(server.port());
    closing.send("GET /old HTTP/1.0\r\n\r\n");
    const auto reply = closing.reply();
    EXPECT_EQ(reply.body, "/old");
    EXPECT_EQ(reply.field("Connection"), "close");
    EXPECT_TRUE(closing.ends());
    Client staying(server.port());
    for (int i = 0; i < 2; ++i) {
        staying.send("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        EXPECT_EQ(staying.reply().field("Connection"), "keep-alive");
    }
}

TEST(Session, a_handler_that_throws_is_answered_by_failed) {
    Server server;
    server.handler.now = [](Request& request) -> std::optional<Response> {
        if (request.path == "/now") throw Failure(Kind::request_invalid, "thrown now");
        return std::nullopt;
    };
    server.handler.later = [](Request&) -> Task<Response> {
        co_await sleep_for(1ms);
        throw Failure(Kind::too_large, "thrown later");
    };
    Client client(server.port());
    const auto now = client.get("/now");
    EXPECT_EQ(now.status, 400);
    EXPECT_EQ(now.body, "thrown now");
    const auto later = client.get("/later");
    EXPECT_EQ(later.status, 413);
    EXPECT_EQ(later.body, "thrown later");
}

TEST(Session, the_handler_learns_how_the_request_came) {
    Server server;
    std::atomic<uint64_t> last_id{0};
    server.handler.later = [&](Request& request) {
        EXPECT_EQ(request.peer, "127.0.0.1");
        EXPECT_EQ(request.host, "cache:5000");
        EXPECT_EQ(request.query, "ns=docker.io");
        EXPECT_FALSE(request.tls);
        EXPECT_EQ(request.sni, "");
        EXPECT_EQ(request.body, nullptr);
        EXPECT_NE(request.id, last_id.exchange(request.id));
        return ready(Response(200));
    };
    Client client(server.port());
    for (int i = 0; i < 2; ++i) {
        client.send("GET /v2/?ns=docker.io HTTP/1.1\r\nHost: cache:5000\r\n\r\n");
        EXPECT_EQ(client.reply().status, 200);
    }
}

TEST(Session, outcomes_tell_bytes_and_times) {
    Server server;
    Client client(server.port());
    client.get("/four");
    const auto ended = server.handler.next_ended();
    EXPECT_EQ(ended.method, "GET");
    EXPECT_EQ(ended.path, "/four");
    EXPECT_EQ(ended.outcome.body_bytes_sent, 5u);
    EXPECT_FALSE(ended.outcome.aborted);
    EXPECT_GT(ended.outcome.total, Duration{});
    EXPECT_LE(ended.outcome.time_to_first_byte, ended.outcome.total);
}

struct Refusal {
    const char* name;
    std::string request;
    int status;
};

TEST(Session, a_bad_request_is_answered_and_the_connection_ends) {
    Limits limits;
    limits.max_head_bytes = 4096;
    limits.max_url_bytes = 200;
    limits.max_fields = 10;
    Server server(limits);
    std::string many;
    for (int i = 0; i < 20; ++i) many += fmt::format("X{}: 1\r\n", i);
    const Refusal refusals[] = {
        {"nonsense", "hello\r\n\r\n", 400},
        {"TLS hello on a plain port", std::string("\x16\x03\x01\x02\0\x01\0\x01\xfc", 9), 400},
        {"two lengths",
         "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nGET /x", 400},
        {"length and chunks",
         "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\n"
         "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
         400},
        {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
        {"long URL", "GET /" + std::string(300, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
        {"endless URL", "GET /" + std::string(4000, 'a'), 414},
        {"large head", "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(200'000, 'a') + "\r\n\r\n",
         431},
        {"many fields", "GET / HTTP/1.1\r\nHost: h\r\n" + many + "\r\n", 431},
        {"version", "GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
        {"expectation", "GET / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n", 417},
        {"coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
    };
    for (const auto& refusal : refusals) {
        Client client(server.port());
        client.send(refusal.request);
        const auto reply = client.reply();
        EXPECT_EQ(reply.status, refusal.status) << refusal.name;
        EXPECT_TRUE(reply.complete) << refusal.name;
        EXPECT_EQ(reply.field("Connection"), "close") << refusal.name;
        EXPECT_TRUE(client.ends()) << refusal.name;
        EXPECT_EQ(server.handler.next_ended().status, refusal.status) << refusal.name;
    }
}

TEST(Session, what_follows_a_bad_request_is_never_a_request) {
    Server server;
    std::atomic<int> handled{0};
    server.handler.now = [&](Request&) -> std::optional<Response> {
        ++handled;
        return text_response("answered");
    };
    Client client(server.port());
    client.send("GET / HTTP/1.1\r\nHost : h\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(client.reply().status, 400);
    EXPECT_TRUE(client.ends());
    EXPECT_EQ(handled, 0);
}

TEST(Session, a_client_that_stops_sending_still_gets_its_answer) {
    Server server;
    Client client(server.port());
    client.send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
    ::shutdown(client.fd(), SHUT_WR);
    EXPECT_EQ(client.reply().body, "/half");
    EXPECT_TRUE(client.ends());
}

}  // namespace
}  // namespace weir::http
