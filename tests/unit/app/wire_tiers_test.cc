// The promises of app/wire_tiers.h.
#include "app/wire_tiers.h"

#include <gtest/gtest.h>

namespace weir::app {
namespace {

using namespace std::chrono_literals;

config::Config with_s3() {
    config::Config config;
    config.storage.s3.emplace();
    config.storage.s3->bucket = "images";
    return config;
}

TEST(WireTiers, a_bucket_is_as_the_file_says) {
    config::Config config = with_s3();
    EXPECT_EQ(bucket_options(config).region, "us-east-1");
    EXPECT_FALSE(bucket_options(config).path_style);
    EXPECT_EQ(bucket_options(config).part_bytes, 16 * config::kMiB);
    config.storage.s3->region = "eu-x";
    config.storage.s3->endpoint = "http://s3.lab:9000";
    config.storage.s3->root = "/pool/";
    config.storage.s3->skip_verify = true;
    config.storage.s3->chunk_bytes = 8 * config::kMiB;
    config.s3.stall_timeout = 1500ms;
    const auto options = bucket_options(config);
    EXPECT_EQ(options.region, "eu-x");
    EXPECT_EQ(options.bucket, "images");
    EXPECT_TRUE(options.path_style);
    EXPECT_EQ(options.prefix, "pool");
    EXPECT_FALSE(options.tls.verify);
    EXPECT_EQ(options.part_bytes, 8 * config::kMiB);
    EXPECT_EQ(options.timeouts.stall, 2s);
}

TEST(WireTiers, credentials_of_the_file_come_before_the_environments) {
    config::Config config = with_s3();
    const auto nothing = [](const std::string& name) -> std::optional<std::string> {
        if (name == "HOME") return "/home/u";
        return std::nullopt;
    };
    EXPECT_FALSE(credential_options(config, nothing).configured);
    EXPECT_EQ(credential_options(config, nothing).home, "/home/u");
    config.storage.s3->access_key = "AK";
    config.storage.s3->secret_key = Secret("SK");
    config.storage.s3->region = "eu-x";
    const auto options = credential_options(config, nothing);
    ASSERT_TRUE(options.configured);
    EXPECT_EQ(options.configured->secret_key.reveal(), "SK");
    EXPECT_EQ(options.sts_endpoint, "https://sts.eu-x.amazonaws.com");
}

TEST(WireTiers, bounds_follow_the_disk) {
    config::Config config;
    EXPECT_EQ(eviction_options(config, {1000, 500}).max_bytes, UINT64_MAX);
    EXPECT_FALSE(eviction_options(config, {1000, 500}).durable_tier);
    config.cache.max_bytes = {.bytes = 0, .percent = 80.0};
    config.cache.quotas = {{"docker.io", {.bytes = 0, .percent = 10.0}}, {"ghcr.io", {7, {}}}};
    config.cache.max_age = 1h;
    const auto options = eviction_options(config, {1000, 500});
    EXPECT_EQ(options.max_bytes, 800u);
    EXPECT_EQ(options.quotas,
              (std::map<std::string, uint64_t>{{"docker.io", 100}, {"ghcr.io", 7}}));
    EXPECT_EQ(options.max_age, 1h);
    EXPECT_TRUE(eviction_options(with_s3(), {1000, 500}).durable_tier);
}

TEST(WireTiers, retention_waits_as_long_as_gc_unless_told) {
    config::Config config;
    config.storage.gc.delay = 3h;
    EXPECT_EQ(collector_options(config).retention.delay, 3h);
    config.storage.retention.delay = 5h;
    EXPECT_EQ(collector_options(config).retention.delay, 5h);
}

TEST(WireTiers, an_interval_of_zero_leaves_collection_to_the_verb) {
    config::Config config;
    EXPECT_TRUE(collector_options(config).enabled);
    config.storage.gc.interval = 0s;
    EXPECT_FALSE(collector_options(config).enabled);
    config.storage.gc.interval = 1h;
    config.storage.gc.enable = false;
    EXPECT_FALSE(collector_options(config).enabled);
}

TEST(WireTiers, policies_keep_what_they_say) {
    config::Config config;
    config::RetentionPolicy policy;
    policy.repositories = {"hub/**"};
    policy.keep_tags.resize(1);
    policy.keep_tags[0].patterns = {"v.*"};
    policy.keep_tags[0].most_recently_pulled = 2;
    config::RetentionPolicy rest;
    rest.repositories = {"**"};
    config.storage.retention.policies = {policy, rest};
    const auto retention = collector_options(config).retention;
    ASSERT_EQ(retention.policies.size(), 2u);
    EXPECT_EQ(retention.policy_of("hub/a/b"), &retention.policies[0]);
    EXPECT_EQ(retention.policy_of("other"), &retention.policies[1]);
    const auto& rule = retention.policies[0].keep_tags.at(0);
    EXPECT_EQ(rule.patterns.size(), 1u);
    EXPECT_EQ(rule.most_recently_pulled, 2u);
    EXPECT_FALSE(rule.most_recently_pushed);
    EXPECT_TRUE(retention.policies[0].has_keep_tags);
    EXPECT_FALSE(retention.policies[1].has_keep_tags);
}

// As zot groups them: "v" counts v1 and v2 only, although the second entry would match all.
TEST(WireTiers, a_tag_belongs_to_the_first_entry_of_keep_tags_that_matches_it) {
    config::Config config;
    config::RetentionPolicy policy;
    policy.repositories = {"**"};
    policy.keep_tags.resize(2);
    policy.keep_tags[0].patterns = {"^v"};
    policy.keep_tags[0].most_recently_pushed = 1;
    policy.keep_tags[1].pulled_within = 48h;
    config.storage.retention.policies = {policy};
    const auto retention = collector_options(config).retention;
    const WallTime now{std::chrono::hours(500'000)};
    const auto tag = [&](const char* name, int pushed_ago, int pulled_ago) {
        meta::TagInfo info;
        info.name = name;
        info.pushed = now - std::chrono::hours(pushed_ago);
        info.pulled = now - std::chrono::hours(pulled_ago);
        return info;
    };
    const std::vector<meta::TagInfo> tags = {tag("v1", 900, 1), tag("v2", 800, 700),
                                             tag("old", 900, 900), tag("pulled", 900, 2),
                                             tag("fresh", 3, 900)};
    std::vector<std::string> gone;
    for (const auto& removal : cache::tags_to_remove(retention.policies[0], 1h, tags, now))
        gone.push_back(removal.name);
    EXPECT_EQ(gone, (std::vector<std::string>{"v1", "old"}));
}

TEST(WireTiers, pins_are_handed_on) {
    config::Config config;
    config.cache.pins = {{"docker.io/**", "v1"}, {}};
    EXPECT_EQ(configured_pins(config),
              (std::vector<meta::Pin>{{"docker.io/**", "v1"}, {"**", "*"}}));
}

}  // namespace
}  // namespace weir::app
