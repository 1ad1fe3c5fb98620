// tests/support/wire_server.h: a server on a loopback port that answers exactly the bytes a test
// says.
#pragma once
#include <openssl/ssl.h>

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/temporary_directory.h"

namespace weir::test {

// A self-signed certificate for the given names ("DNS:localhost", "IP:127.0.0.1"), made on the
// spot.
class TestIdentity {
public:
    explicit TestIdentity(const std::string& names = "DNS:localhost,IP:127.0.0.1");
    const std::string& certificate_file() const { return certificate_; }
    const std::string& key_file() const { return key_; }

private:
    TemporaryDirectory directory_;
    std::string certificate_, key_;
};

struct WireTls {
    std::string certificate_file, key_file;
    std::string client_ca_file;  // when set, a client certificate is demanded
};

// One accepted connection, on a thread of its own. Reads give up after 20 seconds.
class Peer {
public:
    Peer(int descriptor, SSL* ssl) : descriptor_(descriptor), ssl_(ssl) {}
    ~Peer();
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    // Request line and fields, with the empty line; "" when the other side has left.
    std::string read_head();
    std::string read_bytes(size_t);
    // false when the other side has left.
    bool write(std::string_view);
    // Until the other side has left.
    void wait_closed() { read_bytes(SIZE_MAX); }
    // true when it leaves within that time.
    bool leaves_within(std::chrono::milliseconds);
    void close();
    void reset();  // RST
    void shut();   // from any thread: wakes reads and writes
    bool start_tls();

private:
    bool fill();
    int descriptor_;
    SSL* ssl_;
    std::mutex mutex_;  // of descriptor_, between shut() and close()
    std::string buffer_;
};

class WireServer {
public:
    using Script = std::function<void(Peer&)>;
    explicit WireServer(Script, WireTls = {});
    ~WireServer();

    // Keeps connections open and answers each request with what `answer` makes of its head.
    static Script answers(std::function<std::string(const std::string& head)> answer);

    int port() const { return port_; }
    std::string url(std::string_view host = "127.0.0.1") const;
    int accepted() const;
    // Heads of all requests so far, in order of arrival.
    std::vector<std::string> requests() const;
    void note(const std::string& head);

private:
    void serve();
    void converse(int descriptor);

    Script script_;
    SSL_CTX* context_ = nullptr;
    int listener_ = -1, port_ = 0;
    mutable std::mutex mutex_;
    bool stopping_ = false;
    int accepted_ = 0;
    std::vector<std::string> requests_;
    std::list<std::shared_ptr<Peer>> peers_;
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

// "HTTP/1.1 200 OK" with a Content-Length and these fields ("Name: value\r\n"...).
std::string http_answer(int status, std::string_view body, std::string_view fields = {});

}  // namespace weir::test
