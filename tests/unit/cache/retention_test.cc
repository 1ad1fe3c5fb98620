// zot's retention rules as a table: which tags go, and which stay because of what.
#include "cache/retention.h"

#include <gtest/gtest.h>
#include <re2/re2.h>

namespace weir::cache {
namespace {

using namespace std::chrono_literals;

const WallTime kNow{std::chrono::microseconds(1'800'000'000'000'000)};

meta::TagInfo tag(std::string name, Duration pushed_ago, Duration pulled_ago) {
    meta::TagInfo info;
    info.name = std::move(name);
    info.pushed = kNow - std::chrono::duration_cast<std::chrono::microseconds>(pushed_ago);
    info.pulled = kNow - std::chrono::duration_cast<std::chrono::microseconds>(pulled_ago);
    return info;
}

std::shared_ptr<const re2::RE2> pattern(const char* text) {
    return std::make_shared<const re2::RE2>(text);
}

std::vector<std::string> gone(const RetentionPolicy& policy, std::vector<meta::TagInfo> tags,
                              Duration delay = 0s) {
    std::vector<std::string> names;
    for (const auto& removal : tags_to_remove(policy, delay, tags, kNow))
        names.push_back(removal.name);
    return names;
}

const std::vector<meta::TagInfo> kTags = {tag("v1", 900h, 800h), tag("v2", 500h, 10h),
                                          tag("v3", 24h, 20h), tag("dev", 400h, 400h)};
using Names = std::vector<std::string>;

TEST(Retention, without_keep_tags_every_tag_stays) {
    EXPECT_EQ(gone(RetentionPolicy{}, kTags), Names{});
}

TEST(Retention, an_empty_keep_tags_list_keeps_no_tag) {
    RetentionPolicy policy;
    policy.has_keep_tags = true;
    EXPECT_EQ(gone(policy, kTags), (Names{"v1", "v2", "v3", "dev"}));
}

TEST(Retention, a_tag_that_matches_no_pattern_goes) {
    RetentionPolicy policy;
    policy.has_keep_tags = true;
    KeepRule versions;
    versions.patterns = {pattern("^v")};
    policy.keep_tags.push_back(versions);
    EXPECT_EQ(gone(policy, kTags), Names{"dev"});
}

TEST(Retention, rules_of_one_entry_are_or_ed) {
    RetentionPolicy policy;
    policy.has_keep_tags = true;
    KeepRule rule;
    rule.most_recently_pushed = 1;  // v3
    rule.pulled_within = 48h;       // v2, v3
    policy.keep_tags.push_back(rule);
    EXPECT_EQ(gone(policy, kTags), (Names{"v1", "dev"}));
}

TEST(Retention, entries_are_or_ed_and_count_only_what_their_patterns_match) {
    RetentionPolicy policy;
    policy.has_keep_tags = true;
    KeepRule versions;
    versions.patterns = {pattern("^v")};
    versions.most_recently_pulled = 1;  // v2
    KeepRule dev;
    dev.patterns = {pattern("^dev$")};
    policy.keep_tags = {versions, dev};
    EXPECT_EQ(gone(policy, kTags), (Names{"v1", "v3"}));
}

TEST(Retention, a_tag_within_the_delay_after_its_push_stays) {
    RetentionPolicy policy;
    policy.has_keep_tags = true;
    EXPECT_EQ(gone(policy, kTags, 48h), (Names{"v1", "v2", "dev"}));
}

TEST(Retention, the_first_policy_whose_glob_matches_is_used) {
    Retention retention;
    RetentionPolicy first, second;
    first.repositories = {*Glob::parse("hub/library/**")};
    second.repositories = {*Glob::parse("hub/**")};
    second.delete_untagged = false;
    retention.policies = {first, second};
    ASSERT_NE(retention.policy_of("hub/library/debian"), nullptr);
    EXPECT_TRUE(retention.policy_of("hub/library/debian")->delete_untagged);
    EXPECT_FALSE(retention.policy_of("hub/acme/tool")->delete_untagged);
    EXPECT_EQ(retention.policy_of("other/x"), nullptr);
}

TEST(Retention, untagged_manifests_stay_by_their_own_rules) {
    std::vector<meta::ManifestInfo> untagged(2);
    untagged[0].pulled = kNow - 1h;
    untagged[1].pulled = kNow - 900h;
    RetentionPolicy policy;
    EXPECT_EQ(untagged_to_remove(policy, untagged, kNow).size(), 2u);
    policy.keep_untagged = KeepRule{};
    policy.keep_untagged->pulled_within = 24h;
    ASSERT_EQ(untagged_to_remove(policy, untagged, kNow).size(), 1u);
    EXPECT_EQ(untagged_to_remove(policy, untagged, kNow)[0].pulled, untagged[1].pulled);
    policy.delete_untagged = false;
    EXPECT_TRUE(untagged_to_remove(policy, untagged, kNow).empty());
}

}  // namespace
}  // namespace weir::cache
