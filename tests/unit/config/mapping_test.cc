// zot's mapping as a table: features.md 1.4, and the cases of zot's own tests of the same rules.
#include <gtest/gtest.h>

#include "config/routing.h"

namespace weir::config {
namespace {

Content content(std::string prefix, std::string destination = "/", bool strip = false) {
    Content made;
    made.prefix = std::move(prefix);
    made.destination = std::move(destination);
    made.strip_prefix = strip;
    return made;
}

struct Case {
    const char* prefix;
    const char* destination;
    bool strip;
    const char* upstream;
    const char* local;
};

class MappingTable : public testing::TestWithParam<Case> {};

TEST_P(MappingTable, names_the_same_repository_in_both_directions) {
    const Case& c = GetParam();
    const std::vector<Content> contents = {content(c.prefix, c.destination, c.strip)};
    EXPECT_EQ(local_name(contents, c.upstream), c.local);
    EXPECT_EQ(upstream_name(contents, c.local), c.upstream);
}

constexpr Case kCases[] = {
    // features.md 1.4
    {"**", "/", false, "acme/tools/ctl", "acme/tools/ctl"},
    {"**", "", false, "acme/tools/ctl", "acme/tools/ctl"},
    {"**", "/hub", false, "acme/tools/ctl", "hub/acme/tools/ctl"},
    {"acme/**", "/a", false, "acme/tools/ctl", "a/acme/tools/ctl"},
    {"acme/**", "/a", true, "acme/tools/ctl", "a/tools/ctl"},
    {"acme/tools/ctl", "/ctl", true, "acme/tools/ctl", "ctl"},
    // Slashes around a prefix or a destination mean nothing.
    {"/acme/**", "/a", true, "acme/tools/ctl", "a/tools/ctl"},
    {"acme/**/", "a/", true, "acme/tools/ctl", "a/tools/ctl"},
    {"/acme/tools/", "/x/", false, "acme/tools", "x/acme/tools"},
    // No glob: exactly that repository.
    {"fold/alpine", "/alpine", false, "fold/alpine", "alpine/fold/alpine"},
    {"fold/alpine", "/", false, "fold/alpine", "fold/alpine"},
    {"fold/alpine", "/alpine", true, "fold/alpine", "alpine"},
    {"fold/*", "/", true, "fold/alpine", "alpine"},
    {"fold/**", "/", true, "fold/alpine", "alpine"},
    {"fold/**", "/", false, "fold/alpine", "fold/alpine"},
    {"fold/**", "/my/place", true, "fold/internal/alpine", "my/place/internal/alpine"},
    // Any special character ends the literal part.
    {"acme/t*", "/a", true, "acme/tools", "a/tools"},
    {"acme/{x,y}/**", "/a", true, "acme/y/ctl", "a/y/ctl"},
    {"{x,y}/**", "/a", true, "y/ctl", "a/y/ctl"},
    {"acme/?/b", "/a", true, "acme/1/b", "a/1/b"},
    {"**", "/a/b", true, "c/d", "a/b/c/d"},
};
INSTANTIATE_TEST_SUITE_P(All, MappingTable, testing::ValuesIn(kCases));

TEST(Mapping, is_the_identity_without_content) {
    EXPECT_EQ(upstream_name({}, "acme/x"), "acme/x");
    EXPECT_EQ(local_name({}, "acme/x"), "acme/x");
    EXPECT_EQ(upstream_name({}, ""), std::nullopt);
}

TEST(Mapping, filters_what_no_content_matches) {
    const std::vector<Content> contents = {content("acme/*", "/a"), content("tools/ctl", "/")};
    EXPECT_EQ(upstream_name(contents, "a/other/x"), std::nullopt);
    EXPECT_EQ(upstream_name(contents, "a/acme/x/y"), std::nullopt);
    EXPECT_EQ(upstream_name(contents, "ab/acme/x"), std::nullopt);
    EXPECT_EQ(upstream_name(contents, "acme/x"), std::nullopt);
    EXPECT_EQ(upstream_name(contents, "tools/ctl"), "tools/ctl");
    EXPECT_EQ(upstream_name(contents, "tools/ctl/more"), std::nullopt);
    EXPECT_EQ(local_name(contents, "other/x"), std::nullopt);
}

// zot's TestGetContentByLocalRepo, told by what comes out.
TEST(Mapping, the_first_content_that_matches_decides) {
    EXPECT_EQ(
        upstream_name({content("fold/alpine/", "/alpine", true), content("fold/alpine", "/alpine")},
                      "alpine/fold/alpine"),
        "fold/alpine");
    EXPECT_EQ(upstream_name({content("fold/*", "/alpine"), content("fold/alpine", "/alpine", true)},
                            "alpine/fold/alpine"),
              "fold/alpine");
    EXPECT_EQ(upstream_name({content("fold/*", "/alpine", true), content("fold/alpine", "/", true)},
                            "alpine"),
              std::nullopt);
    EXPECT_EQ(
        upstream_name({content("fold/*", "/alpine", true), content("fold/*", "/", true)}, "alpine"),
        "fold/alpine");
    EXPECT_EQ(upstream_name({content("fold/*", "/alpine", true), content("fold/*", "/", true)},
                            "alpine/alpine"),
              "fold/alpine");
    EXPECT_EQ(upstream_name({content("a/**", "/x", true), content("b/**", "/x", true)}, "x/ctl"),
              "a/ctl");
}

TEST(Mapping, a_destination_alone_is_no_repository) {
    EXPECT_EQ(upstream_name({content("**", "/hub")}, "hub"), std::nullopt);
    EXPECT_EQ(local_name({content("**", "/hub")}, ""), std::nullopt);
}

TEST(Mapping, a_pattern_that_is_none_matches_nothing) {
    EXPECT_EQ(upstream_name({content("[repo%^&")}, "repo"), std::nullopt);
    EXPECT_EQ(upstream_name({content("[repo%^&"), content("**")}, "repo"), "repo");
}

}  // namespace
}  // namespace weir::config
