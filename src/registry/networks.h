// registry/networks.h: which clients are meant by a list of networks ("10.0.0.0/8", "fd00::/8",
// "192.0.2.7").
#pragma once
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace weir::registry {

// Immutable. An empty list holds everybody. An IPv4 client of a dual-stack socket counts as IPv4.
class Networks {
public:
    // Failure{config_invalid} names what is no network.
    explicit Networks(const std::vector<std::string>& networks);
    bool holds(std::string_view address) const;

private:
    std::vector<boost::asio::ip::network_v4> v4_;
    std::vector<boost::asio::ip::network_v6> v6_;
    bool everybody_ = false;
};

}  // namespace weir::registry
