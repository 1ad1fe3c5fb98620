// http/transport.h: bytes over one socket, plain or TLS.
//
// Every call but handshake's caller is synchronous and never blocks: it says how far it came and
// what it waits for. Connection (http/connection.h) does the waiting and keeps the clock. Own loop
// only.
#pragma once
#include <sys/uio.h>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "async/task.h"

namespace weir::http {

using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;

struct Io {
    enum class Kind : uint8_t {
        moved,       // `bytes` > 0 went through (handshake: it is complete)
        wait_read,   // nothing; again when the socket is readable
        wait_write,  // nothing; again when the socket is writable
        ended,       // the peer will send no more
        broken,      // the connection is of no use any more
        unreadable,  // send_file(): the file does not give those bytes; the connection is as before
    };
    Kind kind = Kind::broken;
    size_t bytes = 0;
};

class Transport {
public:
    explicit Transport(Socket socket) : socket_(std::move(socket)) {}
    virtual ~Transport() = default;
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;

    virtual bool tls() const = 0;
    // Server name that the client asked for, after the handshake.
    virtual std::string_view sni() const { return {}; }

    virtual Io handshake() = 0;
    virtual Io read(std::span<char> into) = 0;
    // In order, as much as the socket takes; `more` follows at once. After wait_*, the next write
    // starts with the same bytes and is no shorter.
    virtual Io write(std::span<const iovec> from, bool more) = 0;
    // The kernel can send files itself: send_file() may be called.
    virtual bool sends_files() const = 0;
    virtual Io send_file(int fd, uint64_t offset, size_t length) = 0;

    // Says that nothing follows, if the transport has words for it (close_notify).
    virtual void end() = 0;
    // Nothing follows; reading goes on.
    void shut();
    // Ends the connection so that the peer sees an error: what is queued is dropped.
    void reset();
    // The peer has left, seen without reading.
    bool hung_up() const;
    // Bytes that the kernel holds and the peer hasn't acknowledged.
    int queued() const;
    // Throws away what has arrived, at most `limit` bytes. ended: the peer has closed.
    Io discard(size_t limit);

    Socket& socket() { return socket_; }
    int fd() const { return const_cast<Socket&>(socket_).native_handle(); }

private:
    Socket socket_;
};

std::unique_ptr<Transport> plain_transport(Socket);

}  // namespace weir::http
