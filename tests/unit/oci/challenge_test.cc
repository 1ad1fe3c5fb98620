// The promises of oci/challenge.h, on headers that registries and proxies really send, and on ones
// that nobody should.
#include "oci/challenge.h"

#include <gtest/gtest.h>

namespace weir::oci {
namespace {

TEST(Challenge, a_registrys_bearer_challenge_is_read) {
    const auto found = parse_challenges(
        R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push")");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].scheme, "bearer");
    EXPECT_EQ(found[0].parameter("realm"), "https://auth.docker.io/token");
    EXPECT_EQ(found[0].parameter("service"), "registry.docker.io");
    EXPECT_EQ(found[0].parameter("scope"), "repository:library/debian:pull,push");
    EXPECT_EQ(found[0].parameter("error"), "");
    EXPECT_EQ(found[0].token68, "");
}

TEST(Challenge, several_schemes_in_one_header_are_told_apart) {
    const auto found = parse_challenges(
        R"(Negotiate, NTLM TlRMTVNTUAAC==, Basic realm="a, b", Digest realm="c" , nonce=xyz, Bearer realm="d")");
    ASSERT_EQ(found.size(), 5u);
    EXPECT_EQ(found[0].scheme, "negotiate");
    EXPECT_EQ(found[1].scheme, "ntlm");
    EXPECT_EQ(found[1].token68, "TlRMTVNTUAAC==");
    EXPECT_TRUE(found[1].parameters.empty());
    EXPECT_EQ(found[2].scheme, "basic");
    EXPECT_EQ(found[2].parameter("realm"), "a, b");
    EXPECT_EQ(found[3].parameter("nonce"), "xyz");
    EXPECT_EQ(found[4].scheme, "bearer");
    EXPECT_EQ(found[4].parameter("realm"), "d");
}

// RFC 9110 section 11.6.1
TEST(Challenge, the_example_of_the_standard_is_read) {
    const auto found = parse_challenges(
        R"(Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\"")");
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].parameter("realm"), "simple");
    EXPECT_EQ(found[1].scheme, "newauth");
    EXPECT_EQ(found[1].parameter("type"), "1");
    EXPECT_EQ(found[1].parameter("title"), R"(Login to "apps")");
}

TEST(Challenge, names_are_lower_case_and_the_first_of_a_name_counts) {
    const auto found = parse_challenges(R"(BEARER Realm="a",REALM="b")");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].parameters[0].first, "realm");
    EXPECT_EQ(found[0].parameter("REALM"), "a");
}

TEST(Challenge, blanks_around_the_equals_sign_and_commas_are_fine) {
    const auto found = parse_challenges("  ,, Bearer\trealm = \"a\"  ,  service\t=\tb ,,");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].parameter("realm"), "a");
    EXPECT_EQ(found[0].parameter("service"), "b");
}

TEST(Challenge, an_unquoted_url_is_taken_whole) {
    const auto found = parse_challenges("Bearer realm=https://h:5000/token?a=b,service=s");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].parameter("realm"), "https://h:5000/token?a=b");
    EXPECT_EQ(found[0].parameter("service"), "s");
}

TEST(Challenge, a_forgotten_comma_is_forgiven) {
    const auto found = parse_challenges(R"(Bearer realm="a" service="b" Basic realm="c")");
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].parameter("service"), "b");
    EXPECT_EQ(found[1].scheme, "basic");
    EXPECT_EQ(found[1].parameter("realm"), "c");
}

TEST(Challenge, an_empty_quoted_value_is_a_value) {
    const auto found = parse_challenges(R"(Bearer realm="",scope="x")");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].parameters.size(), 2u);
    EXPECT_EQ(found[0].parameter("scope"), "x");
}

TEST(Challenge, a_scheme_alone_is_a_challenge) {
    const auto found = parse_challenges("Basic");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].scheme, "basic");
    EXPECT_TRUE(found[0].parameters.empty());
}

TEST(Challenge, what_cannot_be_read_is_left_out_and_the_rest_is_kept) {
    auto found = parse_challenges(R"(@@@ "x,y", realm="lost", Bearer realm="a"junk, service="s")");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].scheme, "bearer");
    EXPECT_EQ(found[0].parameter("realm"), "a");
    EXPECT_EQ(found[0].parameter("service"), "s");

    found = parse_challenges(R"(Be(arer realm="a", Basic realm="b")");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].scheme, "basic");
}

TEST(Challenge, an_unfinished_quote_loses_its_parameter_only) {
    const auto found = parse_challenges(R"(Bearer service="s",realm="https://h/)");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].parameter("service"), "s");
    EXPECT_EQ(found[0].parameter("realm"), "");
    EXPECT_TRUE(parse_challenges(R"(Bearer realm="\)")[0].parameters.empty());
}

TEST(Challenge, nothing_gives_nothing) {
    for (const char* text : {"", " ", ",", "\"", "=", "==", "=\"a\"", "\xff\xfe", ", , ,"})
        EXPECT_TRUE(parse_challenges(text).empty()) << text;
}

TEST(Challenge, there_are_never_more_than_the_limit) {
    std::string header;
    for (int i = 0; i < 1000; ++i) header += "Basic realm=\"x\", ";
    EXPECT_EQ(parse_challenges(header).size(), kMaxChallenges);
    header = "Bearer ";
    for (int i = 0; i < 100'000; ++i) header += "a=b,";
    EXPECT_LE(parse_challenges(header)[0].parameters.size(), 64u);
}

}  // namespace
}  // namespace weir::oci
