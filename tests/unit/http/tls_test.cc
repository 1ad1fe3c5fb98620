// TLS 1.2 and 1.3.
#include <openssl/ssl.h>

#include <future>

#include "http/tls_context.h"
#include "http_world.h"
#include "tls_files.h"

namespace weir::http {
namespace {

TlsFiles files_of(const Identity& identity, const Identity* client_ca = nullptr) {
    return {identity.certificate(), identity.key(), client_ca ? client_ca->certificate() : ""};
}

struct TlsWorld {
    Identity identity{"first.test"};
    Server server{Limits{}, files_of(identity)};
};

TEST(Tls, both_versions_are_spoken_and_older_ones_refused) {
    TlsWorld world;
    TlsClientOptions options;
    options.version = TLS1_2_VERSION;
    TlsClient older(world.server.port(), options);
    EXPECT_EQ(older.version(), "TLSv1.2");
    EXPECT_EQ(older.get("/two").body, "/two");
    options.version = TLS1_3_VERSION;
    TlsClient newer(world.server.port(), options);
    EXPECT_EQ(newer.version(), "TLSv1.3");
    EXPECT_EQ(newer.get("/three").body, "/three");
    EXPECT_EQ(newer.get("/again").body, "/again");
    options.version = TLS1_1_VERSION;
    EXPECT_FALSE(TlsClient(world.server.port(), options).connected());
}

TEST(Tls, the_handler_sees_the_server_name) {
    TlsWorld world;
    std::promise<std::string> name;
    world.server.handler.now = [&](Request& request) -> std::optional<Response> {
        EXPECT_TRUE(request.tls);
        name.set_value(std::string(request.sni));
        return text_response("x");
    };
    TlsClientOptions options;
    options.sni = "registry-1.docker.io";
    TlsClient client(world.server.port(), options);
    EXPECT_EQ(client.get("/").body, "x");
    EXPECT_EQ(name.get_future().get(), "registry-1.docker.io");
}

TEST(Tls, files_and_texts_arrive_exactly) {
    const TestFile file(5'000'001);
    TlsWorld world;
    auto opened = file.open();
    world.server.handler.later = [&](Request& request) {
        Response response;
        if (request.path == "/file") {
            response.content_length = file.bytes().size() - 7;
            response.body = file_source(opened, 7, file.bytes().size() - 7);
        } else if (request.path == "/chunked") {
            response.content_length.reset();
            response.body = file_source(opened, 0, file.bytes().size(), false, 77'777);
        } else {
            response.set_body(std::make_shared<const std::string>(file.bytes()));
        }
        return ready(std::move(response));
    };
    TlsClient client(world.server.port());
    EXPECT_TRUE(client.get("/file").body == file.bytes().substr(7));
    EXPECT_TRUE(client.get("/chunked").body == file.bytes());
    EXPECT_TRUE(client.get("/text").body == file.bytes());
}

TEST(Tls, transfers_that_share_a_loops_buffer_do_not_mix) {
    const TestFile one(6'000'000);
    const TestFile two(6'000'001);
    TlsWorld world;
    auto first = one.open();
    auto second = two.open();
    world.server.handler.later = [&](Request& request) {
        const bool is_one = request.path == "/one";
        const auto& file = is_one ? one : two;
        Response response;
        response.content_length = file.bytes().size();
        response.body = file_source(is_one ? first : second, 0, file.bytes().size());
        return ready(std::move(response));
    };
    std::vector<std::thread> clients;
    std::atomic<int> right{0};
    for (int i = 0; i < 8; ++i)
        clients.emplace_back([&, i] {
            TlsClient client(world.server.port());
            const auto reply = client.get(i % 2 == 0 ? "/one" : "/two");
            if (reply.body == (i % 2 == 0 ? one : two).bytes()) ++right;
        });
    for (auto& client : clients) client.join();
    EXPECT_EQ(right, 8);
}

TEST(Tls, request_bodies_and_pipelines_work_as_on_plain_sockets) {
    TlsWorld world;
    world.server.handler.later = [](Request& request) -> Task<Response> {
        size_t total = 0;
        while (request.body) {
            const auto bytes = co_await request.body->next();
            if (bytes.empty()) break;
            total += bytes.size();
        }
        co_return text_response(std::to_string(total));
    };
    TlsClient client(world.server.port());
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" +
                std::string(200'000, 'x') + "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(client.reply().body, "200000");
    EXPECT_EQ(client.reply().body, "0");
}

TEST(Tls, an_answer_that_ends_the_connection_ends_it_properly) {
    TlsWorld world;
    TlsClient client(world.server.port());
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(client.reply().complete);
    EXPECT_TRUE(client.ends());
}

TEST(Tls, a_session_is_resumed) {
    TlsWorld world;
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
    SSL_SESSION* session = nullptr;
    SSL_CTX_set_app_data(context, &session);
    SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* fresh) {
        auto** slot = static_cast<SSL_SESSION**>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
        if (*slot) SSL_SESSION_free(*slot);
        *slot = fresh;
        return 1;
    });
    TlsClientOptions options;
    options.context = context;
    {
        TlsClient first(world.server.port(), options);
        EXPECT_EQ(first.get("/").status, 200);
        EXPECT_FALSE(first.resumed());
    }
    ASSERT_NE(session, nullptr);
    options.session = session;
    TlsClient second(world.server.port(), options);
    EXPECT_TRUE(second.resumed());
    EXPECT_EQ(second.get("/").status, 200);
    SSL_SESSION_free(session);
    SSL_CTX_free(context);
}

TEST(Tls, http_1_1_is_chosen_when_protocols_are_offered) {
    TlsWorld world;
    TlsClientOptions options;
    options.alpn = "http/1.1";
    TlsClient client(world.server.port(), options);
    EXPECT_EQ(client.alpn(), "http/1.1");
    EXPECT_EQ(client.get("/").status, 200);
    TlsClient without(world.server.port());
    EXPECT_EQ(without.alpn(), "");
    EXPECT_EQ(without.get("/").status, 200);
    options.alpn = "smtp";
    EXPECT_FALSE(TlsClient(world.server.port(), options).connected());
}

TEST(Tls, reloaded_files_are_for_new_connections) {
    TlsWorld world;
    const Identity renewed("second.test");
    TlsClient before(world.server.port());
    EXPECT_EQ(before.peer_name(), "first.test");
    auto& listener = *world.server.listener;
    listener.set_tls(listener.prepare_tls(files_of(renewed)));
    EXPECT_EQ(before.get("/").status, 200);
    TlsClient after(world.server.port());
    EXPECT_EQ(after.peer_name(), "second.test");
    EXPECT_EQ(after.get("/").status, 200);
}

TEST(Tls, bad_files_are_refused_and_the_old_ones_stay) {
    TlsWorld world;
    const Identity other("other.test");
    const TlsFiles mixed{other.certificate(), world.identity.key(), ""};
    for (const auto& files : {mixed, TlsFiles{"/nonexistent", other.key(), ""},
                              TlsFiles{other.certificate(), other.certificate(), ""},
                              TlsFiles{other.certificate(), other.key(), other.key()}}) {
        try {
            world.server.listener->prepare_tls(files);
            ADD_FAILURE() << "accepted " << files.certificate << " " << files.key;
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.kind(), Kind::config_invalid);
        }
    }
    TlsClient client(world.server.port());
    EXPECT_EQ(client.peer_name(), "first.test");
    EXPECT_EQ(client.get("/").status, 200);
}

TEST(Tls, with_a_client_ca_only_its_clients_are_served) {
    const Identity authority("authority.test");
    const Identity stranger("stranger.test");
    const Identity known("known.test", &authority);
    const Identity identity("server.test");
    Server server(Limits{}, files_of(identity, &authority));
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        TlsClientOptions options;
        options.version = version;
        options.certificate = known.certificate();
        options.key = known.key();
        TlsClient good(server.port(), options);
        EXPECT_EQ(good.get("/").status, 200);
        options.certificate = stranger.certificate();
        options.key = stranger.key();
        TlsClient bad(server.port(), options);
        EXPECT_EQ(bad.get("/").status, 0);
        options.certificate.clear();
        TlsClient none(server.port(), options);
        EXPECT_EQ(none.get("/").status, 0);
    }
}

TEST(Tls, plain_http_is_told_so_and_the_connection_closes) {
    TlsWorld world;
    Client client(world.server.port());
    const auto reply = client.get("/v2/");
    EXPECT_EQ(reply.status, 400);
    EXPECT_TRUE(reply.complete);
    EXPECT_TRUE(client.ends());
    world.server.await_connections(0);
}

TEST(Tls, nonsense_and_silence_end_the_connection) {
    Limits limits;
    limits.handshake_timeout = 50ms;
    const Identity identity("server.test");
    Server server(limits, files_of(identity));
    Client nonsense(server.port());
    nonsense.send(std::string(500, '\x80'));
    nonsense.reply();
    Client silent(server.port());
    EXPECT_TRUE(silent.ends());
    server.await_connections(0);
}

TEST(Tls, a_cut_transfer_has_no_proper_end) {
    TlsWorld world;
    struct Failing : Source {
        Task<std::optional<Piece>> next(uint64_t) override {
            co_await sleep_for(1ms);
            throw Failure(Kind::upstream_bad, "broke off");
        }
    };
    world.server.handler.later = [](Request&) {
        Response response;
        response.content_length.reset();
        response.body = std::make_unique<Failing>();
        return ready(std::move(response));
    };
    TlsClient client(world.server.port());
    client.send("GET / HTTP/1.0\r\n\r\n");
    EXPECT_EQ(client.reply().status, 200);
    EXPECT_FALSE(client.closed_properly());
}

TEST(Tls, drain_closes_idle_connections_with_a_goodbye) {
    TlsWorld world;
    TlsClient client(world.server.port());
    EXPECT_EQ(client.get("/").status, 200);
    EXPECT_EQ(world.server.drain(), 0u);
    EXPECT_TRUE(client.ends());
    EXPECT_TRUE(client.closed_properly());
}

}  // namespace
}  // namespace weir::http
