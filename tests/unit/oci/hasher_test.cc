// The promises of crypto/hasher.h, on FIPS 180-4's published vectors.
#include "crypto/hasher.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace weir::crypto {
namespace {

using Algorithm = oci::Digest::Algorithm;

struct Vector {
    std::string text, sha256, sha512;
};

std::vector<Vector> vectors() {
    return {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
         "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
         "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
         "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
         "204a8fc6dda82f0a0ced7beb8e08a41657c16ef468b228a8279be331a703c335"
         "96fd15c13b1b07f9aa1d3bea57789ca031ad85c7a71dd70354ec631238ca3445"},
        {std::string(1'000'000, 'a'),
         "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
         "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
         "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"},
    };
}

TEST(Hasher, gives_the_published_sums) {
    for (const auto& v : vectors()) {
        Hasher small(Algorithm::sha256);
        small.update(as_bytes(v.text));
        EXPECT_EQ(small.digest().text(), "sha256:" + v.sha256);
        Hasher large(Algorithm::sha512);
        large.update(as_bytes(v.text));
        EXPECT_EQ(large.digest().text(), "sha512:" + v.sha512);
        EXPECT_EQ(digest_of(Algorithm::sha256, v.text).hex(), v.sha256);
        EXPECT_EQ(digest_of(Algorithm::sha512, v.text).hex(), v.sha512);
    }
}

TEST(Hasher, the_cuts_between_updates_do_not_matter) {
    std::string text;
    for (int i = 0; i < 1000; ++i) text.push_back(static_cast<char>(i * 7));
    const auto whole = digest_of(Algorithm::sha256, text);
    for (size_t piece : {size_t{1}, size_t{3}, size_t{63}, size_t{64}, size_t{65}, size_t{999}}) {
        Hasher hasher(Algorithm::sha256);
        for (size_t at = 0; at < text.size(); at += piece)
            hasher.update(as_bytes(std::string_view(text).substr(at, piece)));
        hasher.update({});
        EXPECT_EQ(hasher.digest(), whole) << piece;
    }
}

TEST(Hasher, asking_for_the_digest_does_not_end_the_sum) {
    Hasher hasher(Algorithm::sha256);
    hasher.update(as_bytes("a"));
    EXPECT_EQ(hasher.digest(), digest_of(Algorithm::sha256, "a"));
    EXPECT_EQ(hasher.digest(), digest_of(Algorithm::sha256, "a"));
    hasher.update(as_bytes("bc"));
    EXPECT_EQ(hasher.digest(), digest_of(Algorithm::sha256, "abc"));
}

TEST(Hasher, a_copy_goes_on_from_the_same_state_and_on_its_own) {
    Hasher hasher(Algorithm::sha512);
    hasher.update(as_bytes("ab"));
    Hasher copy(hasher);
    copy.update(as_bytes("c"));
    hasher.update(as_bytes("d"));
    EXPECT_EQ(copy.digest(), digest_of(Algorithm::sha512, "abc"));
    EXPECT_EQ(hasher.digest(), digest_of(Algorithm::sha512, "abd"));
}

TEST(Hasher, an_assigned_hasher_takes_the_other_ones_algorithm_and_state) {
    Hasher hasher(Algorithm::sha256);
    hasher.update(as_bytes("xyz"));
    Hasher other(Algorithm::sha512);
    other.update(as_bytes("ab"));
    hasher = other;
    hasher.update(as_bytes("c"));
    EXPECT_EQ(hasher.digest(), digest_of(Algorithm::sha512, "abc"));
    EXPECT_EQ(other.digest(), digest_of(Algorithm::sha512, "ab"));
    Hasher& same = hasher;
    hasher = same;
    EXPECT_EQ(hasher.digest(), digest_of(Algorithm::sha512, "abc"));
}

TEST(Hasher, a_moved_hasher_carries_its_state) {
    Hasher hasher(Algorithm::sha256);
    hasher.update(as_bytes("ab"));
    Hasher moved(std::move(hasher));
    moved.update(as_bytes("c"));
    EXPECT_EQ(moved.digest(), digest_of(Algorithm::sha256, "abc"));
    hasher = Hasher(Algorithm::sha256);
    EXPECT_EQ(hasher.digest(), digest_of(Algorithm::sha256, ""));
}

}  // namespace
}  // namespace weir::crypto
