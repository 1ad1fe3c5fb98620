#include "client/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace weir::client {
namespace {

bool is_plain(char c) {
    return c > 0x20 && c < 0x7f && c != '\\' && c != '"' && c != '<' && c != '>';
}

bool is_host_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_address_character(char c) {
    return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9') || c == ':' || c == '.';
}

uint16_t own_port(std::string_view scheme) {
    return scheme == "https" ? 443 : 80;
}

// Splits "host:port" or "[v6]:port" into `url`; false when it is neither.
bool read_authority(std::string_view authority, Url& url) {
    if (authority.find('@') != std::string_view::npos) return false;
    std::string_view port;
    if (authority.starts_with('[')) {
        const auto end = authority.find(']');
        if (end == std::string_view::npos) return false;
        url.host = ascii_lower(authority.substr(1, end - 1));
        port = authority.substr(end + 1);
        if (url.host.find(':') == std::string::npos ||
            !std::ranges::all_of(url.host, is_address_character))
            return false;
    } else {
        const auto colon = authority.find(':');
        url.host = ascii_lower(authority.substr(0, colon));
        port = colon == std::string_view::npos ? std::string_view{} : authority.substr(colon);
        if (url.host.empty() || url.host.size() > 253 || url.host.front() == '.' ||
            !std::ranges::all_of(url.host, is_host_character))
            return false;
    }
    url.port = own_port(url.scheme);
    if (port.empty()) return true;
    const auto number = parse_u64(port.substr(1));
    if (port.front() != ':' || !number || *number == 0 || *number > 65535) return false;
    url.port = static_cast<uint16_t>(*number);
    return true;
}

// RFC 3986 section 5.2.4, on an absolute path.
std::string without_dots(std::string_view path) {
    std::vector<std::string_view> kept;
    const auto parts = split(path.substr(1), '/');
    for (size_t i = 0; i < parts.size(); ++i) {
        const bool last = i + 1 == parts.size();
        if (parts[i] == "." || parts[i] == "..") {
            if (parts[i] == ".." && !kept.empty()) kept.pop_back();
            if (last) kept.emplace_back();
        } else {
            kept.push_back(parts[i]);
        }
    }
    return fmt::format("/{}", fmt::join(kept, "/"));
}

}  // namespace

std::optional<Url> Url::parse(std::string_view text) {
    if (text.size() > kMaxUrlBytes || !std::ranges::all_of(text, is_plain)) return std::nullopt;
    Url url;
    if (istarts_with(text, "https://")) {
        url.scheme = "https";
    } else if (istarts_with(text, "http://")) {
        url.scheme = "http";
    } else {
        return std::nullopt;
    }
    text.remove_prefix(url.scheme.size() + 3);
    text = text.substr(0, text.find('#'));
    const auto end = std::min(text.find_first_of("/?"), text.size());
    if (!read_authority(text.substr(0, end), url)) return std::nullopt;
    url.target = text.substr(end);
    if (!url.target.starts_with('/')) url.target.insert(0, "/");
    return url;
}

std::string Url::authority() const {
    const bool v6 = host.find(':') != std::string::npos;
    std::string out = v6 ? fmt::format("[{}]", host) : host;
    if (port != own_port(scheme)) out += fmt::format(":{}", port);
    return out;
}

std::string Url::text() const {
    return fmt::format("{}://{}{}", scheme, authority(), target);
}

std::string_view Url::path() const {
    return std::string_view(target).substr(0, target.find('?'));
}

std::optional<Url> resolve(const Url& base, std::string_view reference) {
    if (reference.empty() || reference.size() > kMaxUrlBytes) return std::nullopt;
    const auto colon = reference.find(':');
    if (colon < reference.find_first_of("/?#")) return Url::parse(reference);  // has a scheme
    if (reference.starts_with("//"))
        return Url::parse(fmt::format("{}:{}", base.scheme, reference));
    if (!std::ranges::all_of(reference, is_plain)) return std::nullopt;
    reference = reference.substr(0, reference.find('#'));
    Url url = base;
    if (reference.empty()) return url;
    if (reference.starts_with('?')) {
        url.target = fmt::format("{}{}", base.path(), reference);
        return url;
    }
    const auto path = reference.substr(0, reference.find('?'));
    const auto query = reference.substr(path.size());
    std::string whole(path);
    if (!path.starts_with('/')) {
        const auto folder = base.path().substr(0, base.path().rfind('/') + 1);
        whole = fmt::format("{}{}", folder, path);
    }
    url.target = without_dots(whole) + std::string(query);
    return url;
}

bool names(std::string_view entry, const Url& url) {
    if (iequals(entry, url.host) || iequals(entry, url.authority())) return true;
    const bool v6 = url.host.find(':') != std::string::npos;
    return iequals(entry, v6 ? fmt::format("[{}]:{}", url.host, url.port)
                             : fmt::format("{}:{}", url.host, url.port)) ||
           (v6 && iequals(entry, fmt::format("[{}]", url.host)));
}

}  // namespace weir::client
