// A real listener on 127.0.0.1, a handler made of lambdas, and a client that never waits longer
// than its deadline.
#pragma once
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>

#include "async/loop.h"
#include "async/pool.h"
#include "async/scope.h"
#include "async/signal.h"
#include "base/failure.h"
#include "http/listener.h"

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace weir::http {

using namespace std::chrono_literals;
inline constexpr auto kPatience = 20s;

// Opened by the test's thread, awaited by handlers and sources on any loop.
class Gate {
public:
    void open();
    bool opened() const;
    Task<> wait();
    // Someone waits: now the test knows where the server is.
    void await_waiter();

private:
    mutable std::mutex mutex_;
    std::condition_variable arrived_;
    bool open_ = false;
    size_t waiters_ = 0;
    std::vector<Firing> firings_;
};

struct Ended {
    std::string method, path;
    int status = 0;
    std::string detail;
    Outcome outcome;
};

class TestHandler : public Handler {
public:
    std::function<std::optional<Response>(Request&)> now;
    std::function<Task<Response>(Request&)> later;

    Task<Response> handle(Request& request) override;
    std::optional<Response> handle_now(Request& request) override;
    Response failed(const Request*, std::exception_ptr) override;
    void finished(const Request&, const Response&, const Outcome&) override;

    // The next answer that ended, in order.
    Ended next_ended();

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Ended> ended_;
};

Response text_response(std::string text);
// For Task-returning lambdas that have nothing to wait for.
Task<Response> ready(Response);

struct Reply {
    int status = 0;
    std::string head;  // with the final empty line
    std::string body;
    bool complete = false;  // as its framing says
    std::string field(std::string_view name) const;
};

class Client {
public:
    explicit Client(uint16_t port, int receive_buffer = 0);
    virtual ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void send(std::string_view);
    // `head_only`: the answer to HEAD. What comes after it stays for the next call.
    Reply reply(bool head_only = false);
    Reply get(std::string_view path) {
        send("GET " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n\r\n");
        return reply();
    }
    std::string read_exactly(size_t bytes);
    // The peer closes (or resets) and sends nothing before.
    bool ends();
    void close();
    int fd() const { return fd_; }

protected:
    virtual ssize_t raw_read(char*, size_t);
    virtual ssize_t raw_write(const char*, size_t);

private:
    bool more();
    std::string received_;
    int fd_ = -1;
};

struct TlsClientOptions {
    std::string sni = "cache.test";
    int version = 0;          // both bounds; 0: what both speak
    std::string certificate;  // of the client
    std::string key;
    std::string alpn;                   // "" : none
    ssl_ctx_st* context = nullptr;      // shared by several clients
    ssl_session_st* session = nullptr;  // to resume
};

class TlsClient : public Client {
public:
    TlsClient(uint16_t port, const TlsClientOptions& = {});
    ~TlsClient() override;
    // Of the server's certificate.
    std::string peer_name() const;
    std::string version() const;
    std::string alpn() const;
    bool resumed() const;
    bool connected() const { return connected_; }
    // With a close_notify.
    bool closed_properly() const;

private:
    ssize_t raw_read(char*, size_t) override;
    ssize_t raw_write(const char*, size_t) override;
    ssl_ctx_st* context_ = nullptr;
    ssl_st* ssl_ = nullptr;
    bool connected_ = false;
};

// Loops, pool, listener; drained when it goes.
class Server {
public:
    explicit Server(Limits limits = {}, std::optional<TlsFiles> tls = {});
    ~Server();
    uint16_t port() const { return listener->port(); }
    size_t drain(Duration time = kPatience);
    // Until so many connections are open.
    void await_connections(size_t count);

    TestHandler handler;
    LoopGroup loops{2};
    ThreadPool pool{"pool", 2};
    std::unique_ptr<Listener> listener;
    Scope scope{"test"};

private:
    bool drained_ = false;
};

// A file of `size` bytes in a directory of its own, with bytes that tell where they stand.
class TestFile {
public:
    explicit TestFile(size_t size);
    ~TestFile();
    const std::string& bytes() const { return bytes_; }
    const std::string& path() const { return path_; }
    std::shared_ptr<const File> open() const;

private:
    std::string path_;
    std::string bytes_;
};

// Gives `bytes` of a file from `offset` on, at most `step` at a time.
std::unique_ptr<Source> file_source(std::shared_ptr<const File>, uint64_t offset, uint64_t bytes,
                                    bool hot = false, uint64_t step = UINT64_MAX);

}  // namespace weir::http
