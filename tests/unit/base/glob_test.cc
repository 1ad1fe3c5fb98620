// The promises of base/glob.h. The tables were checked against doublestar v4.10.0, which zot
// uses.
#include "base/glob.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

struct Case {
    const char* pattern;
    const char* name;
    bool matches;
};

class GlobTable : public testing::TestWithParam<Case> {};

TEST_P(GlobTable, matches_as_doublestar_does) {
    const Case& c = GetParam();
    auto glob = Glob::parse(c.pattern);
    ASSERT_TRUE(glob) << c.pattern;
    EXPECT_EQ(glob->matches(c.name), c.matches) << c.pattern << " on " << c.name;
}

constexpr Case kCases[] = {
    {"abc", "abc", true},
    {"abc", "abcd", false},
    {"", "", true},
    {"", "a", false},
    // One component.
    {"*", "abc", true},
    {"*", "a/b", false},
    {"a*", "a", true},
    {"a*", "ab/c", false},
    {"a*/b", "abc/b", true},
    {"a*/b", "a/c/b", false},
    {"a*b?c*x", "abxbbxdbxebxczzx", true},
    {"a*b?c*x", "abxbbxdbxebxczzy", false},
    {"a?b", "a/b", false},
    {"a?b", "axb", true},
    // Any depth.
    {"**", "a", true},
    {"**", "a/b/c", true},
    {"a/**", "a", true},
    {"a/**", "a/b", true},
    {"a/**", "a/b/c", true},
    {"a/**", "ab", false},
    {"**/c", "c", true},
    {"**/c", "a/b/c", true},
    {"**/c", "a/abc", false},
    {"a/**/b", "a/b", true},
    {"a/**/d", "a/b/c/d", true},
    {"a/**/d", "a/b/c/de", false},
    // Two stars within a component are one.
    {"abc**", "abc", true},
    {"abc**", "abcd", true},
    {"abc**", "abc/d", false},
    {"**abc", "x/abc", false},
    {"**?/**", "c/-", true},
    {"a/a**b", "a/axxb", true},
    {"aa**b", "ab-/c", false},
    {"a**{a,b}", "ababcab/-", false},
    // Classes.
    {"ab[c]", "abc", true},
    {"ab[b-d]", "abc", true},
    {"ab[e-g]", "abc", false},
    {"ab[^c]", "abc", false},
    {"ab[!e-g]", "abc", true},
    {"[\\]a]", "]", true},
    {"[x\\-]", "-", true},
    {"[ab]{a,b}{a,b/c}", "abb/c", true},
    // Alternatives.
    {"ab{c,d}", "abc", true},
    {"ab{c,d,*}", "abcde", true},
    {"{acme,tools/**}", "tools/a/b", true},
    {"{acme,tools}/*", "acme/x", true},
    {"{acme,tools}/*", "other/x", false},
    {"{a,{b,c}}/*", "c/ab", true},
    {"{a,b}/**?", "b/c", true},
    {"a/a{a,{b,c}}", "a/ab", true},
    {"**/{a,{b,c}}", "ab/a", true},
    {"**{a,b/c}", "ab/c", true},
    {"{,a}**", "abc/abb", true},
    {"a{a,b}**", "a/b", false},
    {"a{,b}", "a", true},
    // A backslash.
    {"a\\*b", "a*b", true},
    {"a\\*b", "axb", false},
    {"\\{a\\}", "{a}", true},
};
INSTANTIATE_TEST_SUITE_P(All, GlobTable, testing::ValuesIn(kCases));

TEST(Glob, refuses_what_is_not_a_pattern) {
    for (const char* bad : {"[", "a[", "[]a]", "[^", "[^bc", "[a-b-c]", "[x-]", "\\", "a\\", "{",
                            "a{b", "a}", "{a,{b}"}) {
        EXPECT_FALSE(Glob::parse(bad)) << bad;
    }
    // Groups that would cut a class in two.
    EXPECT_FALSE(Glob::parse("{[}]}"));
    EXPECT_FALSE(Glob::parse("{[a,b]}"));
    EXPECT_TRUE(Glob::parse("[{]"));
    EXPECT_FALSE(Glob::parse(std::string(kMaxGlobBytes + 1, 'a')));
    EXPECT_FALSE(
        Glob::parse(std::string(kMaxGlobNesting + 1, '{') + std::string(kMaxGlobNesting + 1, '}')));
}

TEST(Glob, a_hostile_pattern_ends_in_bounded_time) {
    std::string stars;
    for (int i = 0; i < 60; ++i) stars += "*a";
    auto glob = Glob::parse(stars + "b");
    ASSERT_TRUE(glob);
    EXPECT_FALSE(glob->matches(std::string(255, 'a')));
    std::string braces = "**";
    for (int i = 0; i < 15; ++i) braces = "{a,*}/" + braces;
    glob = Glob::parse(braces + "/b");
    ASSERT_TRUE(glob);
    EXPECT_FALSE(glob->matches("a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/c"));
}

TEST(Glob, splits_into_the_literal_part_and_the_rest) {
    using Parts = std::pair<std::string_view, std::string_view>;
    EXPECT_EQ(split_glob("acme/tools/**"), Parts("acme/tools", "**"));
    EXPECT_EQ(split_glob("acme/t*"), Parts("acme", "t*"));
    EXPECT_EQ(split_glob("acme/{a,b}/c"), Parts("acme", "{a,b}/c"));
    EXPECT_EQ(split_glob("**"), Parts("", "**"));
    EXPECT_EQ(split_glob("a/b"), Parts("a/b", ""));
    EXPECT_EQ(split_glob("a/\\*/b*"), Parts("a/\\*", "b*"));
}

}  // namespace
}  // namespace weir
