#include "registry/networks.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/failure.h"

namespace weir::registry {

namespace ip = boost::asio::ip;

Networks::Networks(const std::vector<std::string>& networks) : everybody_(networks.empty()) {
    for (const std::string& text : networks) {
        boost::system::error_code error;
        const bool has_length = text.find('/') != std::string::npos;
        if (text.find(':') == std::string::npos) {
            v4_.push_back(ip::make_network_v4(has_length ? text : text + "/32", error));
        } else {
            v6_.push_back(ip::make_network_v6(has_length ? text : text + "/128", error));
        }
        if (error)
            throw Failure(
                Kind::config_invalid,
                fmt::format(
                    "weir.redirect.networks: {} is no network: write 10.0.0.0/8 or fd00::/8",
                    text));
    }
}

bool Networks::holds(std::string_view text) const {
    if (everybody_) return true;
    boost::system::error_code error;
    auto address = ip::make_address(std::string(text), error);
    if (error) return false;
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        address = ip::make_address_v4(ip::v4_mapped, address.to_v6());
    if (address.is_v4()) {
        const auto v4 = address.to_v4();
        return std::any_of(v4_.begin(), v4_.end(), [&](const ip::network_v4& net) {
            return ip::network_v4(v4, net.prefix_length()).canonical() == net.canonical();
        });
    }
    const auto v6 = address.to_v6();
    return std::any_of(v6_.begin(), v6_.end(), [&](const ip::network_v6& net) {
        return ip::network_v6(v6, net.prefix_length()).canonical() == net.canonical();
    });
}

}  // namespace weir::registry
