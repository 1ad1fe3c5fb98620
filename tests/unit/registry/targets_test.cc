#include "registry/targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/failure.h"

namespace weir::registry {
namespace {

config::Registry registry(const std::string& name) {
    config::Registry made;
    made.name = name;
    made.urls = {"https://" + name};
    made.on_demand = true;
    return made;
}

std::shared_ptr<Targets> targets(config::Config config) {
    auto shared = std::make_shared<const config::Config>(std::move(config));
    std::vector<cache::Candidate> sources(shared->registries.size());
    return std::make_shared<Targets>(shared, std::move(sources));
}

config::Config two() {
    config::Config config;
    config.registries = {registry("ghcr.io"), registry("quay.io")};
    for (auto& each : config.registries) {
        each.content.emplace_back();
        each.content[0].prefix = "**";
        each.content[0].destination = "/" + each.name;
    }
    config.registries[1].settings.ttl = std::chrono::minutes(1);
    return config;
}

TEST(Targets, a_known_name_is_routed_and_an_unknown_one_is_told_why) {
    const auto all = targets(two());
    const auto found = all->resolve({.host = "x", .ns = "ghcr.io", .repository = "acme/tool"});
    ASSERT_TRUE(found.target);
    EXPECT_EQ(found.target->candidates.size(), 1u);
    EXPECT_EQ(found.target->candidates.front().repository, "acme/tool");
    EXPECT_EQ(*found.target->upstream_name, "ghcr.io");
    const auto unknown = all->resolve({.host = "x", .ns = "evil.example", .repository = "a/b"});
    EXPECT_FALSE(unknown.target);
    EXPECT_FALSE(unknown.unknown.empty());
}

TEST(Targets, freshness_is_the_upstreams_unless_a_rule_says_otherwise) {
    auto config = two();
    config.freshness.immutable = {"v[0-9.]+"};
    config.freshness.rules = {
        {.repositories = "quay.io/acme/**", .tags = "nightly.*", .ttl = std::chrono::seconds(3)}};
    const auto all = targets(std::move(config));
    const auto ghcr = all->resolve({.host = "", .ns = "ghcr.io", .repository = "acme/tool"});
    const auto quay = all->resolve({.host = "", .ns = "quay.io", .repository = "acme/tool"});
    const auto other = all->resolve({.host = "", .ns = "quay.io", .repository = "other/tool"});
    ASSERT_TRUE(ghcr.target && quay.target && other.target);
    EXPECT_EQ(ghcr.target->freshness->ttl_of("latest"), std::chrono::minutes(5));
    EXPECT_EQ(quay.target->freshness->ttl_of("latest"), std::chrono::minutes(1));
    EXPECT_EQ(ghcr.target->freshness->ttl_of("v1.2"), cache::Freshness::kForever);
    EXPECT_EQ(quay.target->freshness->ttl_of("nightly-1"), std::chrono::seconds(3));
    EXPECT_EQ(other.target->freshness->ttl_of("nightly-1"), std::chrono::minutes(1));
}

TEST(Targets, a_pattern_that_means_nothing_is_refused) {
    auto config = two();
    config.freshness.immutable = {"v("};
    EXPECT_THROW(targets(std::move(config)), Failure);
}

}  // namespace
}  // namespace weir::registry
