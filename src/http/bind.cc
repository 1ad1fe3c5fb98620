#include "http/bind.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "base/failure.h"

namespace weir::http {
namespace {

// Connections that are complete and wait for accept; the kernel caps it at net.core.somaxconn.
constexpr int kBacklog = 4096;

[[noreturn]] void cannot_listen(const std::string& address, uint16_t port, int error) {
    const char* hint = "";
    if (error == EADDRINUSE) hint = "; another process listens there: choose another port";
    if (error == EACCES) hint = "; ports below 1024 need a privilege: choose one above";
    if (error == EADDRNOTAVAIL) hint = "; this machine has no such address";
    throw Failure(Kind::config_invalid, fmt::format("can't listen on {}:{}: {}{}", address, port,
                                                    std::generic_category().message(error), hint));
}

}  // namespace

BoundSocket bind_socket(const std::string& address, uint16_t port) {
    addrinfo hints{};
    hints.ai_flags = AI_PASSIVE;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const char* node = address.empty() ? "0.0.0.0" : address.c_str();
    if (const int error = ::getaddrinfo(node, std::to_string(port).c_str(), &hints, &found);
        error != 0)
        throw Failure(Kind::config_invalid,
                      fmt::format("can't listen on {}: {}", address, ::gai_strerror(error)));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);

    BoundSocket bound;
    bound.family = found->ai_family;
    bound.fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bound.fd < 0) cannot_listen(address, port, errno);
    const int on = 1;
    const int off = 0;
    ::setsockopt(bound.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bound.family == AF_INET6)
        ::setsockopt(bound.fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    // Accepted sockets inherit it.
    ::setsockopt(bound.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (::bind(bound.fd, found->ai_addr, found->ai_addrlen) != 0 ||
        ::listen(bound.fd, kBacklog) != 0) {
        const int error = errno;
        ::close(bound.fd);
        cannot_listen(address, port, error);
    }
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    ::getsockname(bound.fd, reinterpret_cast<sockaddr*>(&own), &length);
    bound.port = ntohs(bound.family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&own)->sin6_port
                                                : reinterpret_cast<sockaddr_in*>(&own)->sin_port);
    return bound;
}

std::string address_text(const sockaddr_storage& from) {
    char text[INET6_ADDRSTRLEN] = "";
    if (from.ss_family == AF_INET) {
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(from).sin_addr, text,
                    sizeof text);
    } else if (from.ss_family == AF_INET6) {
        const auto& address = reinterpret_cast<const sockaddr_in6&>(from).sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&address)) {
            ::inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof text);
        } else {
            ::inet_ntop(AF_INET6, &address, text, sizeof text);
        }
    }
    return text;
}

}  // namespace weir::http
