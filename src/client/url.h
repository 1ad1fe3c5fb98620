// client/url.h: http and https addresses, read strictly, so that what weir judges is what libcurl
// dials.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::client {

inline constexpr size_t kMaxUrlBytes = 16 * 1024;  // signed CDN addresses are long

struct Url {
    std::string scheme;  // "http" or "https"
    std::string host;    // lower case; an IPv6 address stands without brackets
    uint16_t port = 0;   // always known
    std::string target;  // path and query, begins with '/'; no fragment

    // nullopt for other schemes, user information, an empty or odd host, blanks, control
    // characters, backslashes and bytes that aren't ASCII: everything that two parsers could
    // understand differently.
    static std::optional<Url> parse(std::string_view);

    std::string text() const;
    // "registry.example:5000"; without the port when it is the scheme's own.
    std::string authority() const;
    std::string_view path() const;  // of target, without the query
    bool secure() const { return scheme == "https"; }
    // Scheme, host and port: what a secret may be shared within.
    bool same_origin(const Url& other) const {
        return scheme == other.scheme && host == other.host && port == other.port;
    }
};

// The target of a reference (a Location header) found at `base`: RFC 3986 section 5.2, for
// absolute, //host, /path, relative and ?query forms. nullopt for what Url::parse refuses.
std::optional<Url> resolve(const Url& base, std::string_view reference);

// Whether `entry` ("host" or "host:port", any case) names this address. Without a port it names
// every port.
bool names(std::string_view entry, const Url&);

}  // namespace weir::client
