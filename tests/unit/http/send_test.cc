// Bodies that are produced while they are sent.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>

#include "base/text.h"
#include "http_world.h"
#include "support/text_file.h"

namespace weir::http {
namespace {

// A source made of a function; tells when it dies.
class Pieces : public Source {
public:
    using Next = std::function<Task<std::optional<Piece>>(uint64_t)>;
    explicit Pieces(Next next, std::shared_ptr<Gate> gone = nullptr,
                    std::function<void()> left = {})
        : next_(std::move(next)), gone_(std::move(gone)), left_(std::move(left)) {}
    ~Pieces() override {
        if (gone_) gone_->open();
    }
    Task<std::optional<Piece>> next(uint64_t max) override { return next_(max); }
    void client_left() override {
        if (left_) left_();
    }

private:
    Next next_;
    std::shared_ptr<Gate> gone_;
    std::function<void()> left_;
};

Response source_response(std::unique_ptr<Source> source, std::optional<uint64_t> length) {
    Response response;
    response.content_length = length;
    response.body = std::move(source);
    return response;
}

Piece piece_of(std::string_view text) {
    return Piece(as_bytes(text));
}

void await(const Gate& gate) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!gate.opened() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    EXPECT_TRUE(gate.opened());
}

TEST(Send, a_file_arrives_exactly_from_any_offset) {
    const TestFile file(5'000'000);
    Server server;
    auto opened = file.open();
    server.handler.later = [&](Request& request) {
        const auto range = split(request.query, '-');
        const uint64_t from = *parse_u64(range[0]);
        const uint64_t bytes = *parse_u64(range[1]);
        return ready(
            source_response(file_source(opened, from, bytes, request.path == "/hot"), bytes));
    };
    Client client(server.port());
    for (const char* path : {"/hot", "/cold"}) {
        for (const auto& [from, bytes] :
             std::initializer_list<std::pair<uint64_t, uint64_t>>{{0, 5'000'000},
                                                                  {1, 4'999'999},
                                                                  {4'999'999, 1},
                                                                  {1'048'576, 1'048'577},
                                                                  {123, 16'384},
                                                                  {123, 16'385},
                                                                  {123, 17}}) {
            const auto reply = client.get(fmt::format("{}?{}-{}", path, from, bytes));
            ASSERT_EQ(reply.body.size(), bytes);
            EXPECT_TRUE(reply.body == file.bytes().substr(from, bytes)) << from << "+" << bytes;
            EXPECT_EQ(server.handler.next_ended().outcome.body_bytes_sent, bytes);
        }
    }
}

TEST(Send, a_file_that_left_the_page_cache_arrives_too) {
    const TestFile file(3'000'000);
    const int fd = ::open(file.path().c_str(), O_RDONLY);
    ::fsync(fd);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
    Server server;
    server.handler.later = [&](Request&) {
        return ready(
            source_response(file_source(file.open(), 0, file.bytes().size()), file.bytes().size()));
    };
    Client client(server.port());
    EXPECT_TRUE(client.get("/").body == file.bytes());
}

TEST(Send, a_file_without_a_descriptor_is_read_in_the_pool) {
    const TestFile bytes(300'000);
    Server server;
    server.handler.later = [&](Request&) {
        auto file = std::make_shared<TextFile>(bytes.bytes());
        return ready(source_response(file_source(std::move(file), 10, 299'990), 299'990));
    };
    Client client(server.port());
    EXPECT_TRUE(client.get("/").body == bytes.bytes().substr(10));
}

TEST(Send, several_transfers_at_once_do_not_mix) {
    const TestFile file(4'000'000);
    Server server;
    auto opened = file.open();
    server.handler.later = [&](Request&) {
        return ready(
            source_response(file_source(opened, 0, file.bytes().size()), file.bytes().size()));
    };
    std::vector<std::thread> clients;
    std::atomic<int> right{0};
    for (int i = 0; i < 8; ++i)
        clients.emplace_back([&] {
            Client client(server.port());
            if (client.get("/").body == file.bytes()) ++right;
        });
    for (auto& client : clients) client.join();
    EXPECT_EQ(right, 8);
}

TEST(Send, a_growing_source_is_sent_as_it_grows_and_its_head_does_not_wait) {
    Server server;
    Gate first, second;
    server.handler.later = [&](Request&) {
        auto step = std::make_shared<int>(0);
        return ready(source_response(
            std::make_unique<Pieces>([&, step](uint64_t) -> Task<std::optional<Piece>> {
                if (++*step == 1) {
                    co_await first.wait();
                    co_return piece_of("first");
                }
                if (*step == 2) {
                    co_await second.wait();
                    co_return piece_of("second");
                }
                co_return std::nullopt;
            }),
            11));
    };
    Client client(server.port());
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const std::string head = client.read_exactly(std::string_view("HTTP/1.1 200 OK\r\n").size());
    EXPECT_EQ(head, "HTTP/1.1 200 OK\r\n") << "before the first byte of the body is there";
    first.await_waiter();
    first.open();
    std::string rest;
    while (!rest.ends_with("first")) rest += client.read_exactly(1);
    second.open();
    EXPECT_EQ(client.read_exactly(6), "second");
    EXPECT_FALSE(server.handler.next_ended().outcome.aborted);
}

TEST(Send, a_body_of_unknown_length_comes_in_chunks) {
    const TestFile file(100'000);
    Server server;
    auto opened = file.open();
    server.handler.later = [&](Request&) {
        auto step = std::make_shared<int>(0);
        return ready(source_response(
            std::make_unique<Pieces>([&, step](uint64_t) -> Task<std::optional<Piece>> {
                switch ((*step)++) {
                    case 0:
                        co_return piece_of("text ");
                    case 1: {
                        FilePiece piece;
                        piece.file = opened;
                        piece.offset = 5;
                        piece.length = 90'000;
                        co_return Piece(std::move(piece));
                    }
                    case 2:
                        co_await sleep_for(1ms);
                        co_return piece_of(" end");
                    default:
                        co_return std::nullopt;
                }
            }),
            std::nullopt));
    };
    const std::string expected = "text " + file.bytes().substr(5, 90'000) + " end";
    Client client(server.port());
    for (int i = 0; i < 2; ++i) {
        const auto reply = client.get("/");
        EXPECT_EQ(reply.field("Transfer-Encoding"), "chunked");
        EXPECT_TRUE(reply.complete);
        EXPECT_TRUE(reply.body == expected);
    }
    Client old(server.port());
    old.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const auto reply = old.reply();
    EXPECT_EQ(reply.field("Transfer-Encoding"), "");
    EXPECT_EQ(reply.field("Connection"), "close");
    EXPECT_TRUE(reply.complete);
    EXPECT_TRUE(reply.body == expected);
}

// What a source does wrong, and what must not happen then: the client takes what came for the
// whole.
TEST(Send, a_source_that_fails_or_lies_cuts_the_connection) {
    Server server;
    server.handler.later = [](Request& request) {
        const std::string how(request.path);
        auto step = std::make_shared<int>(0);
        const std::optional<uint64_t> length =
            how == "/chunked" ? std::nullopt : std::optional<uint64_t>(10);
        return ready(source_response(
            std::make_unique<Pieces>([how, step](uint64_t) -> Task<std::optional<Piece>> {
                if ((*step)++ == 0) co_return piece_of("12345");
                if (how == "/short") co_return std::nullopt;
                if (how == "/long") co_return piece_of("123456");
                if (how == "/empty") co_return piece_of("");
                co_await sleep_for(1ms);
                throw Failure(Kind::upstream_bad, "the upstream broke off");
            }),
            length));
    };
    for (const char* path : {"/throws", "/short", "/long", "/empty", "/chunked"}) {
        Client client(server.port());
        const auto reply = client.get(path);
        EXPECT_EQ(reply.status, 200) << path;
        EXPECT_FALSE(reply.complete) << path;
        EXPECT_TRUE(client.ends()) << path;
        const auto ended = server.handler.next_ended();
        EXPECT_TRUE(ended.outcome.aborted) << path;
        EXPECT_NE(*ended.outcome.abort_reason, '\0') << path;
        EXPECT_EQ(ended.outcome.body_bytes_sent, 5u) << path;
    }
}

TEST(Send, a_failed_body_that_ends_with_the_connection_is_reset) {
    Server server;
    server.handler.later = [](Request&) {
        return ready(
            source_response(std::make_unique<Pieces>([](uint64_t) -> Task<std::optional<Piece>> {
                                co_await sleep_for(1ms);
                                throw Failure(Kind::upstream_bad, "the upstream broke off");
                            }),
                            std::nullopt));
    };
    Client client(server.port());
    client.send("GET / HTTP/1.0\r\n\r\n");
    const auto reply = client.reply();
    EXPECT_FALSE(reply.complete) << "an ordinary end would look like the whole body";
    EXPECT_EQ(server.handler.next_ended().detail, "the upstream broke off");
}

TEST(Send, a_file_shorter_than_promised_cuts_the_connection) {
    const TestFile file(100'000);
    Server server;
    server.handler.later = [&](Request& request) {
        auto opened = file.open();
        return ready(
            source_response(file_source(opened, 0, 200'000, request.path == "/hot"), 200'000));
    };
    for (const char* path : {"/hot", "/cold"}) {
        Client client(server.port());
        EXPECT_FALSE(client.get(path).complete);
        EXPECT_TRUE(server.handler.next_ended().outcome.aborted);
    }
}

TEST(Send, a_client_that_leaves_in_the_middle_frees_the_source) {
    const TestFile file(8'000'000);
    Server server;
    auto gone = std::make_shared<Gate>();
    auto opened = file.open();
    server.handler.later = [&](Request&) {
        return ready(source_response(std::make_unique<Pieces>(
                                         [&](uint64_t max) -> Task<std::optional<Piece>> {
                                             FilePiece piece;
                                             piece.file = opened;
                                             piece.length =
                                                 std::min<uint64_t>(max, file.bytes().size());
                                             co_return Piece(std::move(piece));
                                         },
                                         gone),
                                     uint64_t{1} << 40));
    };
    {
        Client client(server.port());
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read_exactly(1'000'000);
    }
    await(*gone);
    const auto ended = server.handler.next_ended();
    EXPECT_TRUE(ended.outcome.aborted);
    EXPECT_GE(ended.outcome.body_bytes_sent, 900'000u);
    server.await_connections(0);
}

TEST(Send, a_source_that_waits_hears_that_the_client_has_left) {
    Server server;
    Gate waiting;
    auto gone = std::make_shared<Gate>();
    server.handler.later = [&](Request&) {
        return ready(source_response(std::make_unique<Pieces>(
                                         [&](uint64_t) -> Task<std::optional<Piece>> {
                                             co_await waiting.wait();
                                             throw Failure(Kind::cancelled, "the client has left");
                                         },
                                         gone, [&] { waiting.open(); }),
                                     10));
    };
    {
        Client client(server.port());
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        waiting.await_waiter();
        const linger drop{1, 0};
        ::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
    }
    await(*gone);
    EXPECT_TRUE(server.handler.next_ended().outcome.aborted);
}

TEST(Send, a_handler_without_the_promised_body_is_an_abort) {
    Server server;
    server.handler.later = [](Request&) {
        Response response;
        response.content_length = 5;
        return ready(std::move(response));
    };
    Client client(server.port());
    EXPECT_FALSE(client.get("/").complete);
    EXPECT_TRUE(server.handler.next_ended().outcome.aborted);
}

TEST(Send, a_large_text_body_is_sent_whole_to_a_slow_reader) {
    Server server;
    const auto text = std::make_shared<const std::string>(10'000'000, 't');
    server.handler.now = [&](Request&) -> std::optional<Response> {
        Response response;
        response.set_body(text);
        return response;
    };
    Client client(server.port(), 4096);
    EXPECT_TRUE(client.get("/").body == *text);
    EXPECT_EQ(server.handler.next_ended().outcome.body_bytes_sent, text->size());
}

}  // namespace
}  // namespace weir::http
