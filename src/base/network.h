// base/network.h: networks of addresses: "10.0.0.0/8", "fd00::/8", or one address. Values; any
// thread. The one place that reads them: what `verify` accepts is what `serve` serves.
#pragma once
#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

class Network {
public:
    // nullopt: no address, or a prefix that is too long.
    static std::optional<Network> parse(std::string_view text);
    // An address as text; IPv4 within IPv6 ("::ffff:10.1.2.3") is IPv4. What is no address is in no
    // network.
    bool contains(std::string_view address) const;

private:
    std::array<uint8_t, 16> address_{};  // IPv4 as ::ffff:a.b.c.d
    uint8_t bits_ = 0;                   // of the sixteen bytes
};

// Whom a list of networks means. An empty list means everybody.
class Networks {
public:
    // The error is the first text that is no network.
    static std::expected<Networks, std::string> parse(const std::vector<std::string>& list);
    bool hold(std::string_view address) const;

private:
    std::vector<Network> list_;
};

}  // namespace weir
