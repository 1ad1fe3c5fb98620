#include "client/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

#include "base/text.h"

namespace weir::client {
namespace {

constexpr uint32_t v4(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return a << 24 | b << 16 | c << 8 | d;
}

struct Net {
    uint32_t address;
    int bits;
};
// Not routed on the Internet, and what machines are given inside (IANA, "IPv4 Special-Purpose
// Address Registry"). Ranges for documentation are no machine's.
constexpr Net kPrivate[] = {{v4(10, 0, 0, 0), 8},     {v4(172, 16, 0, 0), 12},
                            {v4(192, 168, 0, 0), 16}, {v4(100, 64, 0, 0), 10},
                            {v4(192, 0, 0, 0), 24},   {v4(198, 18, 0, 0), 15},
                            {v4(240, 0, 0, 0), 4}};

AddressKind classify_v4(uint32_t address) {
    // AWS, GCP, Azure and OpenStack; Alibaba; Oracle; Azure's platform address.
    for (const uint32_t metadata :
         {v4(169, 254, 169, 254), v4(100, 100, 100, 200), v4(192, 0, 0, 192), v4(168, 63, 129, 16)})
        if (address == metadata) return AddressKind::metadata;
    if (address >> 24 == 127) return AddressKind::loopback;
    if (address >> 24 == 0) return AddressKind::unspecified;
    if (address >> 16 == v4(0, 0, 169, 254)) return AddressKind::link_local;
    if (address >> 28 == 0xe || address == 0xffffffff) return AddressKind::multicast;
    for (const Net& net : kPrivate)
        if (address >> (32 - net.bits) == net.address >> (32 - net.bits))
            return AddressKind::private_network;
    return AddressKind::ordinary;
}

AddressKind classify_v6(const in6_addr& address) {
    const auto is = [&](const char* text) {
        in6_addr other{};
        return inet_pton(AF_INET6, text, &other) == 1 &&
               std::memcmp(&other, &address, sizeof other) == 0;
    };
    const auto embedded = [&](size_t at) {
        uint32_t inner = 0;
        std::memcpy(&inner, address.s6_addr + at, sizeof inner);
        return ntohl(inner);
    };
    if (is("fd00:ec2::254") || is("fd20:ce::254")) return AddressKind::metadata;
    if (IN6_IS_ADDR_LOOPBACK(&address)) return AddressKind::loopback;
    if (IN6_IS_ADDR_UNSPECIFIED(&address)) return AddressKind::unspecified;
    if (IN6_IS_ADDR_LINKLOCAL(&address)) return AddressKind::link_local;
    if (IN6_IS_ADDR_MULTICAST(&address)) return AddressKind::multicast;
    // An IPv4 address in IPv6's clothes: mapped, compatible, NAT64 (64:ff9b::/96) and 6to4
    // (2002::/16).
    if (IN6_IS_ADDR_V4MAPPED(&address) || IN6_IS_ADDR_V4COMPAT(&address))
        return classify_v4(embedded(12));
    static constexpr unsigned char kNat64[12] = {0, 0x64, 0xff, 0x9b};
    if (std::memcmp(address.s6_addr, kNat64, sizeof kNat64) == 0) return classify_v4(embedded(12));
    if (address.s6_addr[0] == 0x20 && address.s6_addr[1] == 0x02) return classify_v4(embedded(2));
    // Unique local, site-local, and NAT64's local prefix (64:ff9b:1::/48), which leads inside.
    static constexpr unsigned char kNat64Local[6] = {0, 0x64, 0xff, 0x9b, 0, 1};
    if ((address.s6_addr[0] & 0xfe) == 0xfc || IN6_IS_ADDR_SITELOCAL(&address) ||
        std::memcmp(address.s6_addr, kNat64Local, sizeof kNat64Local) == 0)
        return AddressKind::private_network;
    return AddressKind::ordinary;
}

}  // namespace

const char* address_kind_name(AddressKind kind) {
    switch (kind) {
        case AddressKind::ordinary:
            return "ordinary";
        case AddressKind::loopback:
            return "loopback";
        case AddressKind::private_network:
            return "private";
        case AddressKind::link_local:
            return "link-local";
        case AddressKind::metadata:
            return "metadata";
        case AddressKind::unspecified:
            return "unspecified";
        case AddressKind::multicast:
            return "multicast";
        case AddressKind::unknown:
            return "unknown";
    }
    return "unknown";
}

AddressKind classify(const sockaddr* address) {
    if (address->sa_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, address, sizeof in);
        return classify_v4(ntohl(in.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, address, sizeof in);
        return classify_v6(in.sin6_addr);
    }
    return AddressKind::unknown;
}

std::optional<AddressKind> classify_host(std::string_view host) {
    std::string name = ascii_lower(host);
    if (name.ends_with('.')) name.pop_back();
    if (name == "localhost" || name.ends_with(".localhost")) return AddressKind::loopback;
    if (name == "metadata.google.internal" || name == "metadata.goog") return AddressKind::metadata;
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    in6_addr six{};
    if (inet_pton(AF_INET6, name.c_str(), &six) == 1) return classify_v6(six);
    in_addr four{};
    if (inet_aton(name.c_str(), &four) != 0) return classify_v4(ntohl(four.s_addr));
    return std::nullopt;
}

bool is_address(std::string_view host) {
    const std::string text(host);
    in6_addr six{};
    in_addr four{};
    return inet_pton(AF_INET6, text.c_str(), &six) == 1 || inet_aton(text.c_str(), &four) != 0;
}

bool is_loopback_host(std::string_view host) {
    return classify_host(host) == AddressKind::loopback;
}

bool is_private_host(std::string_view host) {
    return classify_host(host) == AddressKind::private_network;
}

bool allowed(const Guard& guard, AddressKind kind) {
    if (kind == AddressKind::ordinary) return true;
    if (kind == AddressKind::link_local || kind == AddressKind::metadata)
        return guard.allow_metadata;
    if (kind == AddressKind::private_network) return !guard.enabled || guard.allow_private;
    return kind == AddressKind::loopback && (!guard.enabled || guard.allow_loopback);
}

}  // namespace weir::client
