// http/bind.h: a listening socket, or a reason why not that an operator can act on.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace weir::http {

struct BoundSocket {
    int fd = -1;  // owned by whoever takes it
    int family = 0;
    uint16_t port = 0;
};

// Failure{config_invalid}. "::" serves IPv4 too.
BoundSocket bind_socket(const std::string& address, uint16_t port);

// Without the port; an IPv4 address that came mapped into IPv6 as IPv4.
std::string address_text(const sockaddr_storage&);

}  // namespace weir::http
