// Sockets, many of them, and their end.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

#include "http_world.h"

namespace weir::http {
namespace {

Kind kind_of_listening(Listener::Options options) {
    LoopGroup loops(1);
    ThreadPool pool("pool", 1);
    TestHandler handler;
    try {
        Listener listener(std::move(options), loops, pool, handler);
    } catch (const Failure& failure) {
        EXPECT_NE(std::string(failure.what()), "");
        return failure.kind();
    }
    return Kind::internal;
}

TEST(Listener, says_why_it_cannot_listen) {
    Server server;
    Listener::Options options;
    options.address = "127.0.0.1";
    options.port = server.port();
    EXPECT_EQ(kind_of_listening(options), Kind::config_invalid);
    options.port = 0;
    options.address = "192.0.2.1";
    EXPECT_EQ(kind_of_listening(options), Kind::config_invalid);
    options.address = "no such address";
    EXPECT_EQ(kind_of_listening(options), Kind::config_invalid);
    options.address = "127.0.0.1";
    options.tls = TlsFiles{"/nonexistent/cert", "/nonexistent/key", ""};
    EXPECT_EQ(kind_of_listening(options), Kind::config_invalid);
}

TEST(Listener, the_ipv6_wildcard_serves_ipv4_too) {
    LoopGroup loops(1);
    ThreadPool pool("pool", 1);
    TestHandler handler;
    std::promise<std::string> peer;
    handler.now = [&](Request& request) -> std::optional<Response> {
        peer.set_value(std::string(request.peer));
        return text_response("both");
    };
    Listener::Options options;
    options.address = "::";
    Listener listener(options, loops, pool, handler);
    loops.start();
    listener.start();
    {
        Client client(listener.port());
        EXPECT_EQ(client.get("/").body, "both");
        EXPECT_EQ(peer.get_future().get(), "127.0.0.1");
    }
    Scope scope("test");
    std::promise<void> drained;
    scope.spawn(loops[0], [&]() -> Task<> {
        co_await listener.drain(Loop::current().now());
        drained.set_value();
    });
    drained.get_future().wait();
    while (scope.running() != 0) std::this_thread::yield();
}

TEST(Listener, spreads_connections_over_the_loops) {
    Server server;
    std::mutex mutex;
    std::map<Loop*, int> seen;
    server.handler.now = [&](Request&) -> std::optional<Response> {
        std::lock_guard lock(mutex);
        ++seen[&Loop::current()];
        return text_response("x");
    };
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 10; ++i) {
        clients.push_back(std::make_unique<Client>(server.port()));
        clients.back()->get("/");
    }
    ASSERT_EQ(seen.size(), 2u);
    for (const auto& [loop, count] : seen) EXPECT_EQ(count, 5);
}

TEST(Listener, a_thousand_connections_are_served_and_forgotten) {
    Server server;
    {
        std::vector<std::unique_ptr<Client>> clients;
        for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<Client>(server.port()));
        for (auto& client : clients) client->send("GET /many HTTP/1.1\r\nHost: h\r\n\r\n");
        for (auto& client : clients) ASSERT_EQ(client->reply().body, "/many");
        EXPECT_EQ(server.listener->connections(), 1000u);
    }
    server.await_connections(0);
}

TEST(Listener, connections_beyond_the_limit_are_refused_and_come_back_later) {
    Limits limits;
    limits.max_connections = 3;
    Server server(limits);
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(std::make_unique<Client>(server.port()));
        EXPECT_EQ(clients.back()->get("/").status, 200);
    }
    {
        Client refused(server.port());
        EXPECT_EQ(refused.reply().status, 503);
        EXPECT_TRUE(refused.ends());
    }
    clients.pop_back();
    server.await_connections(2);
    Client again(server.port());
    EXPECT_EQ(again.get("/").status, 200);
}

TEST(Listener, without_descriptors_a_client_is_told_at_once_and_the_others_go_on) {
    Server server;
    Client old(server.port());
    EXPECT_EQ(old.get("/").status, 200);
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    Client late(server.port());
    EXPECT_EQ(late.get("/").status, 200);
    const int first_free = ::dup(0);
    ::close(first_free);
    // One socket more can be made, none accepted.
    const int extra = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(std::max(extra, first_free) + 1);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(server.port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{20, 0};
    ::setsockopt(extra, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(::connect(extra, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    char byte;
    errno = 0;
    EXPECT_LE(::recv(extra, &byte, 1, 0), 0);
    EXPECT_NE(errno, EAGAIN) << "the client waits in the backlog";
    EXPECT_EQ(old.get("/").status, 200);
    ::setrlimit(RLIMIT_NOFILE, &before);
    ::close(extra);
    Client after(server.port());
    EXPECT_EQ(after.get("/").status, 200);
}

TEST(Drain, closes_idle_connections_and_accepts_no_more) {
    Server server;
    Client idle(server.port());
    EXPECT_EQ(idle.get("/").status, 200);
    Client fresh(server.port());
    server.await_connections(2);
    const uint16_t port = server.port();
    EXPECT_EQ(server.drain(), 0u);
    EXPECT_TRUE(idle.ends());
    EXPECT_TRUE(fresh.ends());
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_NE(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    ::close(fd);
}

TEST(Drain, lets_a_running_answer_end) {
    const TestFile file(3'000'000);
    Server server;
    Gate gate;
    auto opened = file.open();
    server.handler.later = [&](Request&) -> Task<Response> {
        co_await gate.wait();
        Response response;
        response.content_length = file.bytes().size();
        response.body = file_source(opened, 0, file.bytes().size());
        co_return response;
    };
    Client client(server.port());
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    gate.await_waiter();
    Client idle_there(server.port());
    Client idle_here(server.port());
    server.await_connections(3);
    auto drained = std::async(std::launch::async, [&] { return server.drain(); });
    EXPECT_TRUE(idle_there.ends());
    EXPECT_TRUE(idle_here.ends());
    gate.open();
    const auto reply = client.reply();
    EXPECT_TRUE(reply.complete);
    EXPECT_TRUE(reply.body == file.bytes());
    EXPECT_TRUE(client.ends()) << "nothing is answered after the drain began";
    client.close();
    EXPECT_EQ(drained.get(), 0u);
}

TEST(Drain, cuts_what_is_still_running_at_the_deadline) {
    Server server;
    struct Endless : Source {
        explicit Endless(Gate& g) : gate(g) {}
        Task<std::optional<Piece>> next(uint64_t) override {
            co_await gate.wait();
            throw Failure(Kind::cancelled, "cut");
        }
        void client_left() override { gate.open(); }
        Gate& gate;
    };
    Gate gate;
    server.handler.later = [&](Request&) {
        Response response;
        response.content_length = 100;
        response.body = std::make_unique<Endless>(gate);
        return ready(std::move(response));
    };
    Client client(server.port());
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    gate.await_waiter();
    EXPECT_EQ(server.drain(20ms), 1u);
    EXPECT_FALSE(client.reply().complete);
    const auto ended = server.handler.next_ended();
    EXPECT_TRUE(ended.outcome.aborted);
}

}  // namespace
}  // namespace weir::http
