#include "client/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "client/guard.h"

namespace weir::client {
namespace {

std::string variable(const char* lower, const char* upper) {
    for (const char* name : {lower, upper}) {
        const char* value = std::getenv(name);
        if (value && *value) return value;
    }
    return {};
}

struct Address {
    std::array<unsigned char, 16> bytes{};
    size_t bits = 0;  // 32 or 128; 0: not an address
};

Address parse_address(std::string_view text) {
    Address address;
    const std::string host(text);
    if (inet_pton(AF_INET, host.c_str(), address.bytes.data()) == 1)
        address.bits = 32;
    else if (inet_pton(AF_INET6, host.c_str(), address.bytes.data()) == 1)
        address.bits = 128;
    return address;
}

bool in_network(const Address& address, std::string_view entry) {
    const auto slash = entry.find('/');
    const Address network = parse_address(entry.substr(0, slash));
    if (network.bits == 0 || network.bits != address.bits) return false;
    uint64_t bits = network.bits;
    if (slash != std::string_view::npos) {
        const auto given = parse_u64(entry.substr(slash + 1));
        if (!given || *given > network.bits) return false;
        bits = *given;
    }
    const size_t whole = bits / 8;
    if (std::memcmp(network.bytes.data(), address.bytes.data(), whole) != 0) return false;
    if (bits % 8 == 0) return true;
    const unsigned mask = 0xffu << (8 - bits % 8);
    return ((network.bytes[whole] ^ address.bytes[whole]) & mask & 0xffu) == 0;
}

bool excepts(std::string_view entry, const Url& url, const Address& address) {
    if (entry == "*") return true;
    if (address.bits != 0) {
        if (entry.starts_with('[') && entry.ends_with(']'))
            entry = entry.substr(1, entry.size() - 2);
        if (in_network(address, entry)) return true;
    }
    if (names(entry, url)) return true;
    // "example.com" and ".example.com" and "*.example.com" mean the name's children too.
    if (entry.starts_with('*')) entry.remove_prefix(1);
    if (entry.starts_with('.')) entry.remove_prefix(1);
    if (entry.empty() || address.bits != 0) return false;
    const std::string_view host = url.host;
    if (iequals(host, entry)) return true;
    return host.size() > entry.size() && host[host.size() - entry.size() - 1] == '.' &&
           iequals(host.substr(host.size() - entry.size()), entry);
}

}  // namespace

ProxyRules ProxyRules::from_environment() {
    ProxyRules rules;
    rules.http = variable("http_proxy", "HTTP_PROXY");
    rules.https = variable("https_proxy", "HTTPS_PROXY");
    const std::string exceptions = variable("no_proxy", "NO_PROXY");
    for (const auto part : split(exceptions, ',')) {
        const auto entry = trim(part);
        if (!entry.empty()) rules.exceptions.emplace_back(entry);
    }
    return rules;
}

std::string ProxyRules::choose(const Url& url) const {
    const std::string& proxy = url.secure() ? https : http;
    if (proxy.empty() || is_loopback_host(url.host)) return {};
    const Address address = parse_address(url.host);
    for (const auto& entry : exceptions)
        if (excepts(entry, url, address)) return {};
    return proxy;
}

std::optional<ProxyAddress> ProxyAddress::parse(std::string_view text) {
    ProxyAddress address;
    const auto scheme = text.find("://");
    address.scheme =
        scheme == std::string_view::npos ? "http" : ascii_lower(text.substr(0, scheme));
    if (scheme != std::string_view::npos) text.remove_prefix(scheme + 3);
    text = text.substr(0, text.find('/'));
    if (const auto login = text.rfind('@'); login != std::string_view::npos)
        text.remove_prefix(login + 1);
    const bool six = text.starts_with('[');
    const auto end = six ? text.find(']') : text.find(':');
    if (six && end == std::string_view::npos) return std::nullopt;
    address.host = ascii_lower(six ? text.substr(1, end - 1) : text.substr(0, end));
    if (address.host.empty()) return std::nullopt;
    address.port = address.scheme == "https" ? 443 : 1080;
    if (end == std::string_view::npos) return address;
    std::string_view rest = text.substr(end + (six ? 1 : 0));
    if (rest.empty()) return address;
    const auto port = rest.starts_with(':') ? parse_u64(rest.substr(1)) : std::nullopt;
    if (!port || *port == 0 || *port > 65535) return std::nullopt;
    address.port = static_cast<uint16_t>(*port);
    return address;
}

}  // namespace weir::client
