#include "config/names.h"

#include <gtest/gtest.h>

#include "config/config.h"

namespace weir::config {
namespace {

TEST(Names, splits_hosts_and_ports_without_regard_to_case) {
    EXPECT_EQ(parse_host_port("GHCR.io.:443").text(), "ghcr.io:443");
    EXPECT_EQ(parse_host_port("ghcr.io").port, 0);
    EXPECT_EQ(parse_host_port("[::1]:5000").host, "::1");
    EXPECT_EQ(parse_host_port("[::1]:5000").text(), "[::1]:5000");
    EXPECT_EQ(parse_host_port("::1").host, "::1");
    EXPECT_EQ(parse_host_port("ghcr.io:").host, "ghcr.io");
    EXPECT_EQ(parse_host_port("ghcr.io:x").host, "ghcr.io:x");
    EXPECT_EQ(parse_host_port("ghcr.io:70000").host, "ghcr.io:70000");
    EXPECT_EQ(parse_host_port("").host, "");
}

TEST(Names, makes_urls_uniform) {
    EXPECT_EQ(parse_url("HTTPS://GHCR.io/")->text(), "https://ghcr.io");
    EXPECT_EQ(parse_url("https://ghcr.io:443")->text(), "https://ghcr.io");
    EXPECT_EQ(parse_url("http://reg.lab:80/")->text(), "http://reg.lab");
    EXPECT_EQ(parse_url("https://reg.lab:5000/")->text(), "https://reg.lab:5000");
    EXPECT_EQ(parse_url("https://art.lab/artifactory/api/docker/x/")->text(),
              "https://art.lab/artifactory/api/docker/x");
    EXPECT_EQ(parse_url("http://[2001:db8::1]:5000")->text(), "http://[2001:db8::1]:5000");
    EXPECT_EQ(parse_url("https://u:p@reg.lab")->text(), "https://reg.lab");
    EXPECT_TRUE(parse_url("https://u:p@reg.lab")->user_info);
    EXPECT_EQ(parse_url("https://reg.lab")->effective_port(), 443);
    EXPECT_EQ(parse_url("http://reg.lab")->effective_port(), 80);
    for (const char* bad :
         {"ghcr.io", "ftp://x", "https://", "https:///x", "https://a b", "https://a\"b", ""}) {
        EXPECT_FALSE(parse_url(bad)) << bad;
    }
}

TEST(Names, docker_hub_has_three) {
    for (const char* name : {"docker.io", "Docker.IO", "index.docker.io",
                             "registry-1.docker.io:443", "docker.io:80"}) {
        EXPECT_TRUE(is_hub_name(name)) << name;
    }
    for (const char* name :
         {"docker.io:5000", "evil-docker.io", "docker.io.evil.com", "auth.docker.io", ""}) {
        EXPECT_FALSE(is_hub_name(name)) << name;
    }
}

TEST(Names, knows_addresses) {
    EXPECT_TRUE(is_ip_address("127.0.0.1"));
    EXPECT_TRUE(is_ip_address("::1"));
    EXPECT_FALSE(is_ip_address("ghcr.io"));
    EXPECT_TRUE(is_loopback("localhost"));
    EXPECT_TRUE(is_loopback("127.1.2.3"));
    EXPECT_FALSE(is_loopback("127.evil.com"));
}

}  // namespace
}  // namespace weir::config
