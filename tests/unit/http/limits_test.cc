// Time and size limits: what moves is never ended by the clock, what stands still is.
#include "base/text.h"
#include "http_world.h"

namespace weir::http {
namespace {

TEST(Limits, a_slow_head_is_answered_408_and_the_connection_ends) {
    Limits limits;
    limits.head_timeout = 50ms;
    Server server(limits);
    Client client(server.port());
    client.send("GET / HTTP/1.1\r\nHo");
    const auto reply = client.reply();
    EXPECT_EQ(reply.status, 408);
    EXPECT_TRUE(reply.complete);
    EXPECT_TRUE(client.ends());
}

TEST(Limits, dripping_bytes_does_not_stretch_the_head_timeout) {
    Limits limits;
    limits.head_timeout = 100ms;
    Server server(limits);
    Client client(server.port());
    const auto start = std::chrono::steady_clock::now();
    client.send("GET / HTTP/1.1\r\nX: ");
    // Without a pause between them: the server sees thousands of small reads until it has had
    // enough.
    while (server.listener->connections() != 0 || std::chrono::steady_clock::now() - start < 50ms) {
        if (std::chrono::steady_clock::now() - start > kPatience) break;
        std::this_thread::yield();
        client.send("x");
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, kPatience);
}

TEST(Limits, an_idle_connection_is_closed_without_a_word) {
    Limits limits;
    limits.idle_timeout = 250ms;
    Server server(limits);
    Client fresh(server.port());
    EXPECT_TRUE(fresh.ends());
    Client used(server.port());
    EXPECT_EQ(used.get("/").status, 200);
    EXPECT_TRUE(used.ends());
}

TEST(Limits, time_in_the_handler_is_not_idle_time) {
    Limits limits;
    limits.idle_timeout = limits.head_timeout = limits.write_timeout = 250ms;
    Server server(limits);
    server.handler.later = [](Request&) -> Task<Response> {
        co_await sleep_for(600ms);
        co_return text_response("worth it");
    };
    Client client(server.port());
    EXPECT_EQ(client.get("/").body, "worth it");
}

TEST(Limits, a_client_that_never_reads_is_given_up) {
    const TestFile file(4'000'000);
    Limits limits;
    limits.write_timeout = 50ms;
    Server server(limits);
    auto opened = file.open();
    server.handler.later = [&](Request&) {
        Response response;
        response.content_length = 4'000'000;
        response.body = file_source(opened, 0, 4'000'000);
        return ready(std::move(response));
    };
    Client client(server.port(), 4096);
    for (int i = 0; i < 16; ++i) client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    server.await_connections(0);
    for (;;) {
        const auto ended = server.handler.next_ended();
        if (!ended.outcome.aborted) continue;
        EXPECT_STREQ(ended.outcome.abort_reason, "client timed out");
        break;
    }
}

TEST(Limits, a_client_that_reads_slowly_is_served_to_the_end) {
    const TestFile file(8'000'000);
    Limits limits;
    limits.write_timeout = 400ms;
    Server server(limits);
    auto opened = file.open();
    server.handler.later = [&](Request&) {
        Response response;
        response.content_length = 8'000'000;
        response.body = file_source(opened, 0, 8'000'000);
        return ready(std::move(response));
    };
    Client client(server.port(), 8192);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto start = std::chrono::steady_clock::now();
    std::string got;
    // Four times the timeout, a little at a time.
    for (int i = 1; i <= 80; ++i) {
        got += client.read_exactly(10'000);
        std::this_thread::sleep_until(start + i * 20ms);
    }
    got += client.read_exactly(7'000'000);
    EXPECT_EQ(got.size(), 7'800'000u);
}

TEST(Limits, new_limits_are_for_new_requests) {
    Server server;
    Client client(server.port());
    EXPECT_EQ(client.get("/" + std::string(500, 'a')).status, 200);
    Limits limits;
    limits.max_url_bytes = 100;
    server.listener->set_limits(limits);
    const auto until = std::chrono::steady_clock::now() + kPatience;
    int status = 0;
    while (status != 414 && std::chrono::steady_clock::now() < until) {
        Client fresh(server.port());
        status = fresh.get("/" + std::string(500, 'a')).status;
    }
    EXPECT_EQ(status, 414);
    EXPECT_EQ(client.get("/" + std::string(500, 'a')).status, 414);
}

}  // namespace
}  // namespace weir::http
