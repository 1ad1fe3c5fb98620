// client/proxy.h: which proxy a call goes through, decided by us so that the guard knows whose
// address it sees.
//
// HTTPS_PROXY, HTTP_PROXY and NO_PROXY, lower case first. libcurl alone would ignore upper-case
// HTTP_PROXY.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/url.h"

namespace weir::client {

struct ProxyRules {
    std::string http, https;              // "" for none; may hold a password: never logged
    std::vector<std::string> exceptions;  // NO_PROXY: host, .suffix, host:port, address, CIDR, *

    static ProxyRules from_environment();

    // The proxy for an address; empty: dial it directly. Loopback hosts never go through a proxy of
    // the environment.
    std::string choose(const Url&) const;
};

// Where a proxy of a configuration or of the environment is:
// "[scheme://][user:password@]host[:port]", with libcurl's own defaults.
struct ProxyAddress {
    std::string scheme, host;
    uint16_t port = 0;
    // The name of the target is left to the proxy.
    bool resolves() const { return scheme != "socks4" && scheme != "socks5"; }
    // nullopt: that is none.
    static std::optional<ProxyAddress> parse(std::string_view);
};

}  // namespace weir::client
