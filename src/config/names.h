// config/names.h: names of registries as clients, files and URLs write them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::config {

inline constexpr std::string_view kHub = "docker.io";
// Docker Hub's other names.
inline constexpr std::string_view kHubNames[] = {"docker.io", "index.docker.io",
                                                 "registry-1.docker.io"};

// "GHCR.io.:443" -> {"ghcr.io", 443}; "[::1]:5000" -> {"::1", 5000}. Port 0: none was written. A
// port that is no number stays part of the name.
struct HostPort {
    std::string host;
    uint16_t port = 0;
    std::string text() const;  // "ghcr.io:443", "[::1]:5000", "ghcr.io"
};
HostPort parse_host_port(std::string_view);

// Scheme, host and path of an upstream's URL.
struct Url {
    bool https = true;
    HostPort host;           // port 0: the scheme's
    std::string path;        // "" or "/..." without a trailing slash
    bool user_info = false;  // it had one; it is not kept
    uint16_t effective_port() const { return host.port ? host.port : https ? 443 : 80; }
    std::string text() const;       // as Registry::urls has it; the scheme's own port is left out
    std::string host_text() const;  // "ghcr.io", "reg.lab:5000"; the scheme's own port is left out
};
// nullopt: no http or https, or no host.
std::optional<Url> parse_url(std::string_view);

bool is_ip_address(std::string_view host);
bool is_loopback(std::string_view host);  // localhost, 127.0.0.0/8, ::1

}  // namespace weir::config
