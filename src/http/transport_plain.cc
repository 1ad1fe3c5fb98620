#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <cerrno>

#include "http/transport.h"

namespace weir::http {
namespace {

Io failed(Io::Kind when_full) {
    const bool full = errno == EAGAIN || errno == EWOULDBLOCK;
    return {full ? when_full : Io::Kind::broken, 0};
}

class PlainTransport final : public Transport {
public:
    using Transport::Transport;

    bool tls() const override { return false; }
    Io handshake() override { return {Io::Kind::moved, 0}; }

    Io read(std::span<char> into) override {
        ssize_t got;
        do {
            got = ::recv(fd(), into.data(), into.size(), MSG_DONTWAIT);
        } while (got < 0 && errno == EINTR);
        if (got < 0) return failed(Io::Kind::wait_read);
        if (got == 0) return {Io::Kind::ended, 0};
        return {Io::Kind::moved, static_cast<size_t>(got)};
    }

    Io write(std::span<const iovec> from, bool more) override {
        msghdr message{};
        message.msg_iov = const_cast<iovec*>(from.data());
        message.msg_iovlen = from.size();
        const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);
        ssize_t put;
        do {
            put = ::sendmsg(fd(), &message, flags);
        } while (put < 0 && errno == EINTR);
        if (put < 0) return failed(Io::Kind::wait_write);
        return {Io::Kind::moved, static_cast<size_t>(put)};
    }

    bool sends_files() const override { return true; }

    Io send_file(int file, uint64_t offset, size_t length) override {
        auto at = static_cast<off_t>(offset);
        ssize_t put;
        do {
            put = ::sendfile(fd(), file, &at, length);
        } while (put < 0 && errno == EINTR);
        // EIO is the disk's; 0: the file is shorter than promised.
        if (put == 0 || (put < 0 && errno == EIO)) return {Io::Kind::unreadable, 0};
        if (put < 0) return failed(Io::Kind::wait_write);
        return {Io::Kind::moved, static_cast<size_t>(put)};
    }

    void end() override {}
};

}  // namespace

void Transport::shut() {
    ::shutdown(fd(), SHUT_WR);
}

void Transport::reset() {
    const linger drop{1, 0};
    ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
    boost::system::error_code ignored;
    socket_.close(ignored);
}

bool Transport::hung_up() const {
    pollfd poll{fd(), 0, 0};
    return ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLERR | POLLHUP)) != 0;
}

int Transport::queued() const {
    int bytes = 0;
    return ::ioctl(fd(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

Io Transport::discard(size_t limit) {
    char scrap[4096];
    size_t total = 0;
    while (total < limit) {
        const ssize_t got = ::recv(fd(), scrap, sizeof scrap, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) return {Io::Kind::ended, total};
        if (got < 0) {
            Io io = failed(Io::Kind::wait_read);
            io.bytes = total;
            return io;
        }
        total += static_cast<size_t>(got);
    }
    return {Io::Kind::moved, total};
}

std::unique_ptr<Transport> plain_transport(Socket socket) {
    return std::make_unique<PlainTransport>(std::move(socket));
}

}  // namespace weir::http
