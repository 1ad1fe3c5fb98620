// The promises of oci/digest.h: one spelling of a digest, and no other is taken.
#include "oci/digest.h"

#include <gtest/gtest.h>

#include <unordered_set>

#include "base/text.h"

namespace weir::oci {
namespace {

const std::string kHex256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const std::string kHex512(128, 'a');

TEST(Digest, sha256_goes_from_text_to_text) {
    const auto digest = Digest::parse("sha256:" + kHex256);
    ASSERT_TRUE(digest);
    EXPECT_EQ(digest->algorithm(), Digest::Algorithm::sha256);
    EXPECT_EQ(digest->algorithm_name(), "sha256");
    EXPECT_EQ(digest->text(), "sha256:" + kHex256);
    EXPECT_EQ(digest->hex(), kHex256);
    EXPECT_EQ(to_hex(digest->sum()), kHex256);
}

TEST(Digest, sha512_goes_from_text_to_text) {
    const auto digest = Digest::parse("sha512:" + kHex512);
    ASSERT_TRUE(digest);
    EXPECT_EQ(digest->algorithm(), Digest::Algorithm::sha512);
    EXPECT_EQ(digest->algorithm_name(), "sha512");
    EXPECT_EQ(digest->text(), "sha512:" + kHex512);
    EXPECT_EQ(digest->sum().size(), 64u);
}

TEST(Digest, every_byte_value_survives_the_round_trip) {
    for (unsigned value = 0; value < 256; ++value) {
        std::array<std::byte, 32> sum{};
        sum[value % 32] = static_cast<std::byte>(value);
        const Digest digest = Digest::from_sum(Digest::Algorithm::sha256, sum);
        const auto again = Digest::parse(digest.text());
        ASSERT_TRUE(again);
        EXPECT_EQ(*again, digest);
    }
}

TEST(Digest, other_spellings_are_refused) {
    std::string upper = kHex256;
    upper[0] = 'E';
    const std::string cases[] = {
        "",
        "sha256",
        "sha256:",
        kHex256,
        ":" + kHex256,
        "sha256:" + upper,
        "SHA256:" + kHex256,
        "Sha256:" + kHex256,
        "sha-256:" + kHex256,
        "sha256-" + kHex256,
        "sha256::" + kHex256,
        "sha256:" + kHex256 + "0",
        "sha256:" + kHex256.substr(1),
        "sha256:" + kHex256.substr(2),
        "sha256:" + kHex256 + "00",
        " sha256:" + kHex256,
        "sha256:" + kHex256 + " ",
        "sha256:" + kHex256 + "\n",
        "sha256:" + kHex512,
        "sha512:" + kHex256,
        "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sha384:" + std::string(96, 'a'),
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256+b64:" + kHex256,
    };
    for (const auto& text : cases) EXPECT_FALSE(Digest::parse(text)) << text;
}

TEST(Digest, no_other_character_passes_for_a_digit_at_any_place) {
    for (size_t at : {size_t{0}, size_t{1}, size_t{31}, size_t{62}, size_t{63}}) {
        for (unsigned c = 0; c < 256; ++c) {
            std::string text = "sha256:" + kHex256;
            text[7 + at] = static_cast<char>(c);
            const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            EXPECT_EQ(Digest::parse(text).has_value(), digit) << at << " " << c;
        }
    }
}

TEST(Digest, the_algorithm_is_part_of_the_name) {
    std::array<std::byte, 64> sum{};
    const Digest a = Digest::from_sum(Digest::Algorithm::sha256, std::span(sum).first(32));
    const Digest b = Digest::from_sum(Digest::Algorithm::sha512, sum);
    EXPECT_NE(a, b);
    EXPECT_NE(a.hash(), b.hash());
    EXPECT_EQ(a, Digest());
}

TEST(Digest, every_part_of_the_sum_counts_for_order_and_hash) {
    std::unordered_set<size_t> hashes;
    std::unordered_set<Digest, DigestHash> digests;
    for (size_t at = 0; at < 32; ++at) {
        std::array<std::byte, 32> sum{};
        sum[at] = std::byte{1};
        const Digest digest = Digest::from_sum(Digest::Algorithm::sha256, sum);
        EXPECT_GT(digest, Digest());
        hashes.insert(digest.hash());
        digests.insert(digest);
    }
    EXPECT_EQ(hashes.size(), 32u);
    EXPECT_EQ(digests.size(), 32u);
}

TEST(DigestDeathTest, a_sum_of_the_wrong_length_is_a_bug) {
    std::array<std::byte, 20> sum{};
    EXPECT_DEATH(Digest::from_sum(Digest::Algorithm::sha256, sum), "length");
}

}  // namespace
}  // namespace weir::oci
