// The promises of base/network.h.
#include "base/network.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

bool within(const char* network, const char* address) {
    const auto parsed = Network::parse(network);
    EXPECT_TRUE(parsed.has_value()) << network;
    return parsed && parsed->contains(address);
}

TEST(Network, holds_the_addresses_of_its_prefix) {
    EXPECT_TRUE(within("10.0.0.0/8", "10.255.1.2"));
    EXPECT_FALSE(within("10.0.0.0/8", "11.0.0.1"));
    EXPECT_TRUE(within("192.0.2.128/25", "192.0.2.200"));
    EXPECT_FALSE(within("192.0.2.128/25", "192.0.2.127"));
    EXPECT_TRUE(within("fd00::/8", "fd12::1"));
    EXPECT_FALSE(within("fd00::/8", "fe80::1"));
    EXPECT_TRUE(within("0.0.0.0/0", "203.0.113.9"));
    EXPECT_FALSE(within("0.0.0.0/0", "2001:db8::1"));
    EXPECT_TRUE(within("::/0", "203.0.113.9"));
}

TEST(Network, of_one_address_holds_that_one) {
    EXPECT_TRUE(within("192.0.2.7", "192.0.2.7"));
    EXPECT_FALSE(within("192.0.2.7", "192.0.2.6"));
    EXPECT_TRUE(within("::1", "::1"));
}

TEST(Network, takes_ipv4_within_ipv6_as_ipv4) {
    EXPECT_TRUE(within("10.0.0.0/8", "::ffff:10.1.2.3"));
    EXPECT_TRUE(within("::ffff:10.0.0.0/104", "10.1.2.3"));
}

TEST(Network, does_not_read_what_is_none) {
    for (const char* text : {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x",
                             "10.0.0/8", "fd00::/129", "ghcr.io", "10.0.0.0/ 8"})
        EXPECT_FALSE(Network::parse(text).has_value()) << text;
    EXPECT_FALSE(within("0.0.0.0/0", ""));
    EXPECT_FALSE(within("::/0", "unix"));
}

TEST(Networks, an_empty_list_holds_everybody) {
    const auto networks = Networks::parse({});
    ASSERT_TRUE(networks.has_value());
    EXPECT_TRUE(networks->hold("203.0.113.9"));
    EXPECT_TRUE(networks->hold("2001:db8::1"));
}

TEST(Networks, hold_what_lies_in_one_of_them_and_nothing_else) {
    const auto networks = Networks::parse({"10.0.0.0/8", "192.0.2.7", "fd00::/8"});
    ASSERT_TRUE(networks.has_value());
    for (const char* inside : {"10.255.0.1", "192.0.2.7", "fd12::1", "::ffff:10.1.2.3"})
        EXPECT_TRUE(networks->hold(inside)) << inside;
    for (const char* outside : {"11.0.0.1", "192.0.2.8", "fe80::1", "not an address", ""})
        EXPECT_FALSE(networks->hold(outside)) << outside;
}

TEST(Networks, name_what_is_no_network) {
    const auto networks = Networks::parse({"10.0.0.0/8", "10.0.0.0/33"});
    ASSERT_FALSE(networks.has_value());
    EXPECT_EQ(networks.error(), "10.0.0.0/33");
}

}  // namespace
}  // namespace weir
