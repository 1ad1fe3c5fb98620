#include "base/network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

namespace weir {
namespace {

constexpr uint8_t kMappedBits = 96;  // of ::ffff:0:0/96

struct Parsed {
    std::array<uint8_t, 16> bytes{};
    bool v4 = false;  // as written
};

std::optional<Parsed> parse_address(std::string_view text) {
    const std::string copy(text);
    Parsed parsed;
    if (inet_pton(AF_INET, copy.c_str(), parsed.bytes.data() + 12) == 1) {
        parsed.v4 = true;
        parsed.bytes[10] = parsed.bytes[11] = 0xff;
        return parsed;
    }
    if (inet_pton(AF_INET6, copy.c_str(), parsed.bytes.data()) == 1) return parsed;
    return std::nullopt;
}

}  // namespace

std::optional<Network> Network::parse(std::string_view text) {
    const size_t slash = text.find('/');
    const auto address = parse_address(text.substr(0, slash));
    if (!address) return std::nullopt;
    const unsigned most = address->v4 ? 32 : 128;
    unsigned bits = most;
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        const char* end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, bits);
        if (error != std::errc() || stop != end || bits > most) return std::nullopt;
    }
    Network network;
    network.address_ = address->bytes;
    network.bits_ = static_cast<uint8_t>(bits + (address->v4 ? kMappedBits : 0));
    return network;
}

bool Network::contains(std::string_view text) const {
    const auto address = parse_address(text);
    if (!address) return false;
    const size_t whole = bits_ / 8;
    if (std::memcmp(address->bytes.data(), address_.data(), whole) != 0) return false;
    if (bits_ % 8 == 0) return true;
    const auto mask = static_cast<uint8_t>(0xff << (8 - bits_ % 8));
    return ((address->bytes[whole] ^ address_[whole]) & mask) == 0;
}

std::expected<Networks, std::string> Networks::parse(const std::vector<std::string>& list) {
    Networks networks;
    for (const std::string& text : list) {
        const auto network = Network::parse(text);
        if (!network) return std::unexpected(text);
        networks.list_.push_back(*network);
    }
    return networks;
}

bool Networks::hold(std::string_view address) const {
    return list_.empty() ||
           std::ranges::any_of(list_, [&](const Network& each) { return each.contains(address); });
}

}  // namespace weir
