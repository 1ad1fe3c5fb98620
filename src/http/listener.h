// http/listener.h: sockets, connections and their limits.
//
// One acceptor (loop 0) hands each connection to the loop with the fewest; a connection stays
// there. Everything a connection holds is bounded by Limits. Timeouts are idle timeouts: a transfer
// that moves is never ended by the clock.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "async/loop.h"
#include "async/pool.h"
#include "async/scope.h"
#include "http/message.h"

namespace weir::http {

struct Limits {
    size_t max_connections = 16384;
    size_t max_head_bytes =
        32 * 1024;  // request line and fields; also the size of the read buffer at most
    size_t max_url_bytes = 8 * 1024;
    size_t max_fields = 128;
    uint64_t max_request_body_bytes = 4 * 1024 * 1024;
    size_t max_pipelined = 16;
    std::chrono::milliseconds head_timeout{10'000};  // from the first byte of a head to its end
    std::chrono::milliseconds idle_timeout{60'000};  // between requests
    std::chrono::milliseconds write_timeout{
        60'000};  // a client that takes nothing for so long is gone
    std::chrono::milliseconds read_timeout{
        60'000};  // a request body that brings nothing for so long
    std::chrono::milliseconds handshake_timeout{10'000};
};

// Certificate and key for TLS 1.2 and 1.3; reloadable. `client_ca`: clients must show a certificate
// signed by it.
struct TlsFiles {
    std::string certificate;
    std::string key;
    std::string client_ca;
};

class TlsContext;

class Listener {
public:
    struct Options {
        std::string address = "0.0.0.0";
        uint16_t port = 0;  // 0: the kernel chooses
        std::optional<TlsFiles> tls;
        Limits limits;
    };

    // Binds at once; Failure{config_invalid} with a hint (port in use, no permission below 1024,
    // bad certificate). `pool` is for cold reads of file pieces. All references outlive the
    // listener.
    Listener(Options, LoopGroup&, Pool&, Handler&);
    ~Listener();  // drained before

    uint16_t port() const;
    void start();
    // New certificates for new connections, in two steps: what can fail, and what can't.
    // Failure{config_invalid} if the files are bad, or this listener has no TLS.
    std::shared_ptr<const TlsContext> prepare_tls(const TlsFiles&) const;
    void set_tls(std::shared_ptr<const TlsContext>);
    // For new requests.
    void set_limits(const Limits&);

    // Stops accepting, closes idle connections, lets running answers end (with "Connection: close")
    // until the deadline, then cuts. Returns how many had to be cut. From any loop.
    Task<size_t> drain(TimePoint deadline);

    size_t connections() const;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace weir::http
