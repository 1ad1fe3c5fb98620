#include "config/names.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/config.h"

namespace weir::config {

std::string HostPort::text() const {
    const bool v6 = host.find(':') != std::string::npos;
    std::string out = v6 ? "[" + host + "]" : host;
    if (port) out += fmt::format(":{}", port);
    return out;
}

HostPort parse_host_port(std::string_view text) {
    text = trim(text);
    HostPort parsed;
    std::string_view host = text, port;
    if (text.starts_with('[')) {
        const size_t close = text.find(']');
        if (close != std::string_view::npos) {
            host = text.substr(1, close - 1);
            port = text.substr(close + 1);
        }
    } else if (size_t colon = text.find(':');
               colon != std::string_view::npos && colon == text.rfind(':')) {
        host = text.substr(0, colon);
        port = text.substr(colon);
    }
    if (port.starts_with(':')) {
        auto number = parse_u64(port.substr(1));
        if (number && *number > 0 && *number <= 65535) {
            parsed.port = static_cast<uint16_t>(*number);
        } else if (port.size() > 1) {
            host = text;
        }
    }
    while (host.ends_with('.')) host.remove_suffix(1);
    parsed.host = ascii_lower(host);
    return parsed;
}

std::string Url::text() const {
    return (https ? "https://" : "http://") + host_text() + path;
}

std::string Url::host_text() const {
    HostPort shown = host;
    if (shown.port == (https ? 443 : 80)) shown.port = 0;
    return shown.text();
}

std::optional<Url> parse_url(std::string_view text) {
    Url url;
    text = trim(text);
    if (istarts_with(text, "https://")) {
        text.remove_prefix(8);
    } else if (istarts_with(text, "http://")) {
        url.https = false;
        text.remove_prefix(7);
    } else {
        return {};
    }
    text = text.substr(0, text.find_first_of("?#"));
    const size_t slash = std::min(text.find('/'), text.size());
    std::string_view authority = text.substr(0, slash);
    std::string_view path = text.substr(slash);
    while (path.ends_with('/')) path.remove_suffix(1);
    url.path = path;
    if (size_t at = authority.rfind('@'); at != std::string_view::npos) {
        url.user_info = true;
        authority.remove_prefix(at + 1);
    }
    url.host = parse_host_port(authority);
    const bool v6 = authority.starts_with('[');
    const bool good =
        !url.host.host.empty() && std::ranges::all_of(url.host.host, [&](unsigned char c) {
            return std::isalnum(c) || c == '.' || c == '-' || c == '_' || (v6 && c == ':');
        });
    if (!good || path.find_first_of(" \t\"\\") != std::string_view::npos) return {};
    return url;
}

bool is_ip_address(std::string_view host) {
    const std::string text(host);
    in6_addr address{};
    return inet_pton(AF_INET, text.c_str(), &address) == 1 ||
           inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

bool is_loopback(std::string_view host) {
    return host == "localhost" || host == "::1" ||
           (host.starts_with("127.") && is_ip_address(host));
}

bool is_hub_name(std::string_view host) {
    const HostPort parsed = parse_host_port(host);
    const bool usual_port = parsed.port == 0 || parsed.port == 443 || parsed.port == 80;
    return usual_port && std::ranges::find(kHubNames, parsed.host) != std::end(kHubNames);
}

}  // namespace weir::config
