// The promises of oci/name.h: the distribution specification's grammar and no more.
#include "oci/name.h"

#include <gtest/gtest.h>

#include <regex>

namespace weir::oci {
namespace {

const std::string kHex(64, 'c');

TEST(Name, what_the_specification_allows_is_valid) {
    for (const char* name :
         {"a", "0", "library/debian", "a/b/c/d/e", "foo.bar/baz_qux/a__b/c-d/e---f", "0a-1.b_2",
          "xn--p1ai", "my-org/my.app_1/sub__component"})
        EXPECT_TRUE(valid_name(name)) << name;
}

TEST(Name, everything_else_is_not) {
    for (const char* name : {"",      "/",        "a/",   "/a",    "a//b", "A",    "library/Debian",
                             "a..b",  "a._b",     "a_.b", "a___b", "a-_b", "a.-b", "-a",
                             "a-",    ".a",       "a.",   "_a",    "a_",   "a/-b", "a/b-",
                             "..",    "a/../b",   "./a",  "a/.",   "a b",  "a:b",  "a@b",
                             "a%2fb", "\xc3\xa9", "a\n"})
        EXPECT_FALSE(valid_name(name)) << name;
    EXPECT_FALSE(valid_name(std::string_view("a\0b", 3)));
}

TEST(Name, its_length_is_limited) {
    EXPECT_TRUE(valid_name(std::string(kMaxNameBytes, 'a')));
    EXPECT_FALSE(valid_name(std::string(kMaxNameBytes + 1, 'a')));
    EXPECT_FALSE(valid_name(std::string(100'000, '/')));
}

// All texts of up to 6 characters over an alphabet that holds every class of the grammar.
TEST(Name, agrees_with_the_specifications_regular_expression) {
    const std::regex grammar(
        R"(^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$)");
    const std::string alphabet = "a._-/A";
    for (size_t length = 1; length <= 6; ++length) {
        size_t total = 1;
        for (size_t i = 0; i < length; ++i) total *= alphabet.size();
        for (size_t number = 0; number < total; ++number) {
            std::string text;
            for (size_t n = number, i = 0; i < length; ++i, n /= alphabet.size())
                text.push_back(alphabet[n % alphabet.size()]);
            ASSERT_EQ(valid_name(text), std::regex_match(text, grammar)) << text;
        }
    }
}

TEST(Tag, what_the_specification_allows_is_valid) {
    for (const char* tag : {"latest", "1", "_", "v1.2.3-rc.1_x", "A", "__", "a..b", "a--", "_."})
        EXPECT_TRUE(valid_tag(tag)) << tag;
    EXPECT_TRUE(valid_tag(std::string(kMaxTagBytes, 'z')));
}

TEST(Tag, everything_else_is_not) {
    for (const char* tag :
         {"", ".", "-", ".a", "-a", "a/b", "a:b", "a b", "a+b", "a@b", "\xff", "a\n"})
        EXPECT_FALSE(valid_tag(tag)) << tag;
    EXPECT_FALSE(valid_tag(std::string(kMaxTagBytes + 1, 'z')));
    EXPECT_FALSE(valid_tag(std::string_view("a\0", 2)));
}

TEST(SignatureTag, cosigns_tags_are_known) {
    for (const char* suffix : {"", ".sig", ".att", ".sbom"}) {
        EXPECT_TRUE(is_signature_tag("sha256-" + kHex + suffix)) << suffix;
        EXPECT_TRUE(is_signature_tag("sha512-" + kHex + suffix)) << suffix;
    }
}

TEST(SignatureTag, tags_that_only_look_alike_are_not) {
    std::string upper = kHex;
    upper[3] = 'C';
    for (const std::string& tag :
         {std::string("latest"), std::string(), std::string("sha256-"), "sha256-" + kHex.substr(1),
          "sha256-" + kHex + "c", "sha256-" + upper, "sha256-" + kHex + ".sigx",
          "sha256-" + kHex + ".", "sha256:" + kHex, "sha1-" + kHex, "xsha256-" + kHex,
          "sha256-" + std::string(64, 'g')})
        EXPECT_FALSE(is_signature_tag(tag)) << tag;
}

TEST(SignatureTag, the_referrers_tag_is_one) {
    const auto digest = Digest::parse("sha512:" + kHex + kHex);
    ASSERT_TRUE(digest);
    EXPECT_TRUE(is_signature_tag(referrers_tag(*digest)));
}

TEST(Reference, is_a_digest_or_a_tag) {
    const auto digest = Reference::parse("sha256:" + kHex);
    ASSERT_TRUE(digest);
    EXPECT_TRUE(digest->is_digest());
    EXPECT_EQ(digest->digest().hex(), kHex);
    EXPECT_EQ(digest->text(), "sha256:" + kHex);

    const auto tag = Reference::parse("v1.0");
    ASSERT_TRUE(tag);
    EXPECT_FALSE(tag->is_digest());
    EXPECT_EQ(tag->tag(), "v1.0");
    EXPECT_EQ(tag->text(), "v1.0");
    EXPECT_NE(*tag, *digest);
}

TEST(Reference, an_unknown_algorithm_is_not_taken_for_a_tag) {
    for (const std::string& text : {"sha1:" + kHex, "sha256:" + kHex.substr(1), std::string(":"),
                                    std::string("a:b"), std::string(), std::string("-x")})
        EXPECT_FALSE(Reference::parse(text)) << text;
}

TEST(ReferrersTag, cuts_the_encoded_part_to_64_characters) {
    EXPECT_EQ(referrers_tag(*Digest::parse("sha256:" + kHex)), "sha256-" + kHex);
    EXPECT_EQ(referrers_tag(*Digest::parse("sha512:" + kHex + std::string(64, 'd'))),
              "sha512-" + kHex);
}

}  // namespace
}  // namespace weir::oci
