#include "app/wire.h"

#include <gtest/gtest.h>

namespace weir::app {
namespace {

using namespace std::chrono_literals;

TEST(Wire, an_idle_timeout_of_zero_or_less_is_none_as_in_zot) {
    config::Config config;
    config.http.read_timeout = 0s;
    config.http.write_timeout = -1s;
    const auto limits = http_limits(config);
    EXPECT_GT(limits.read_timeout, 24h);
    EXPECT_GT(limits.write_timeout, 24h);
    config.http.read_timeout = 1500us;
    EXPECT_EQ(http_limits(config).read_timeout, 2ms);
}

TEST(Wire, logs_are_json_unless_people_look_or_text_was_asked_for) {
    config::Config config;
    config.log.format = "text";
    EXPECT_EQ(access_format(config), log::Format::text);
    config.log.format = "json";
    EXPECT_EQ(access_format(config), log::Format::json);
    config.log.format = "auto";
    config.log.output = "/var/log/weir";
    EXPECT_EQ(access_format(config), log::Format::json);
}

TEST(Wire, space_follows_the_disk_where_it_is_given_as_a_share) {
    config::Config config;
    EXPECT_EQ(space_limits(config, {1000, 500}).max_bytes, UINT64_MAX);
    config.cache.max_bytes = {.bytes = 0, .percent = 80.0};
    config.cache.min_free = {.bytes = 0, .percent = 10.0};
    const auto limits = space_limits(config, {.total_bytes = 1000, .free_bytes = 500});
    EXPECT_EQ(limits.max_bytes, 800u);
    EXPECT_EQ(limits.min_free_bytes, 100u);
}

TEST(Wire, an_upstream_gets_its_mirrors_in_order_and_its_own_settings) {
    config::Config config;
    config.limits.max_manifest_bytes = 123;
    config::Registry registry;
    registry.name = "quay.io";
    registry.urls = {"https://a", "https://b"};
    registry.max_retries = 7;
    registry.quirks.head_lacks_digest = true;
    registry.settings.stall_timeout = 1500ms;
    registry.settings.max_concurrent = 5;
    client::Tls tls;
    tls.verify = false;
    const auto options = upstream_options(config, registry, tls);
    ASSERT_EQ(options.mirrors.size(), 2u);
    EXPECT_EQ(options.mirrors[0].url, "https://a");
    EXPECT_EQ(options.mirrors[1].url, "https://b");
    EXPECT_FALSE(options.mirrors[1].tls.verify);
    EXPECT_EQ(options.max_retries, 7u);
    EXPECT_FALSE(options.use_head);
    EXPECT_EQ(options.timeouts.stall, 2s);
    EXPECT_EQ(options.max_concurrent, 5u);
    EXPECT_EQ(options.max_manifest_bytes, 123u);
}

TEST(Wire, the_database_stands_beside_the_blobs_and_is_as_durable) {
    config::Config config;
    config.storage.root_directory = "/srv/weir";
    config.storage.commit = true;
    EXPECT_EQ(metadata_options(config).path, "/srv/weir/weir.db");
    EXPECT_TRUE(metadata_options(config).durable);
    EXPECT_EQ(store_options(config).root, "/srv/weir");
    EXPECT_TRUE(store_options(config).durable);
}

TEST(Wire, loops_are_as_many_as_cores_unless_told) {
    config::Config config;
    EXPECT_GE(loop_count(config), 1u);
    config.threads.loops = 3;
    EXPECT_EQ(loop_count(config), 3u);
}

}  // namespace
}  // namespace weir::app
