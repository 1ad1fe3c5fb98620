// Which clients a list of networks means.
#include "registry/networks.h"

#include <gtest/gtest.h>

#include "base/failure.h"

namespace weir::registry {
namespace {

TEST(Networks, an_empty_list_holds_everybody) {
    const Networks networks({});
    EXPECT_TRUE(networks.holds("203.0.113.9"));
    EXPECT_TRUE(networks.holds("2001:db8::1"));
}

TEST(Networks, holds_what_lies_in_one_of_them_and_nothing_else) {
    const Networks networks({"10.0.0.0/8", "192.0.2.7", "fd00::/8"});
    EXPECT_TRUE(networks.holds("10.255.0.1"));
    EXPECT_TRUE(networks.holds("192.0.2.7"));
    EXPECT_TRUE(networks.holds("fd12::1"));
    EXPECT_FALSE(networks.holds("11.0.0.1"));
    EXPECT_FALSE(networks.holds("192.0.2.8"));
    EXPECT_FALSE(networks.holds("fe80::1"));
    EXPECT_FALSE(networks.holds("not an address"));
}

TEST(Networks, an_ipv4_client_of_a_dual_stack_socket_counts_as_ipv4) {
    EXPECT_TRUE(Networks({"10.0.0.0/8"}).holds("::ffff:10.1.2.3"));
}

TEST(Networks, what_is_no_network_is_refused_by_name) {
    try {
        Networks({"10.0.0.0/33"});
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::config_invalid);
        EXPECT_NE(std::string(failure.what()).find("10.0.0.0/33"), std::string::npos);
    }
}

}  // namespace
}  // namespace weir::registry
