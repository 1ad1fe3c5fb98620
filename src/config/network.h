// config/network.h: a network of client addresses: "10.0.0.0/8", "fd00::/8", or one address. A
// value; any thread.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::config {

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

}  // namespace weir::config
