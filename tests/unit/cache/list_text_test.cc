// Lists as they are kept: pages as pieces, filters, and what a list of referrers is.
#include "cache/list_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "crypto/hasher.h"
#include "oci/manifest.h"

namespace weir::cache {
namespace {

ListText tags(std::string_view document) {
    ListText list;
    EXPECT_TRUE(add_tags(list, document));
    return list;
}

TEST(ListText, knows_where_its_members_are) {
    const auto list = tags(R"({"name":"x", "tags": ["a", "b" ,"cc"]})");
    EXPECT_EQ(list.items, R"("a","b","cc")");
    EXPECT_EQ(list.count(), 3u);
    EXPECT_EQ(list.item(2), R"("cc")");
    EXPECT_EQ(list.end_of(0, 2), 7u);
    EXPECT_EQ(list.end_of(0, 3), list.items.size());
    EXPECT_TRUE(list.sorted);
    EXPECT_EQ(list.after("a"), 1u);
    EXPECT_EQ(list.after("bb"), 2u);
    EXPECT_EQ(list.after("zz"), 3u);
}

TEST(ListText, goes_on_behind_a_tag_of_a_list_in_any_order) {
    const auto list = tags(R"({"tags":["z","a","m"]})");
    EXPECT_FALSE(list.sorted);
    EXPECT_EQ(list.after("z"), 1u);
    EXPECT_EQ(list.after("m"), 3u);
    EXPECT_FALSE(list.after("b"));
}

TEST(ListText, pages_are_added_to_each_other) {
    auto list = tags(R"({"tags":["a"]})");
    ASSERT_TRUE(add_tags(list, R"({"tags":["b","c"]})"));
    EXPECT_EQ(list.items, R"("a","b","c")");
    EXPECT_TRUE(list.sorted);
}

TEST(ListText, leaves_out_what_is_longer_than_any_tag_and_stops_at_its_limit) {
    EXPECT_EQ(tags(R"({"tags":["a",")" + std::string(1'000'000, 'x') + R"("]})").items, R"("a")");
    std::string body = R"({"tags":["0")";
    for (int i = 1; i < 100'000; ++i) body += fmt::format(",\"{:0>200}\"", i);
    EXPECT_LE(tags(body + "]}").items.size(), kMaxListBytes);
}

TEST(ListText, is_the_same_when_it_is_read_again) {
    auto list = tags(R"({"tags":["b","a\"]","c"]})");
    const auto again = read_list(list.items, false);
    EXPECT_EQ(again.starts, list.starts);
    EXPECT_EQ(again.sorted, list.sorted);
    EXPECT_TRUE(read_list("", false).starts.empty());
    read_list("\"a\",[[\"", false);  // what is no list does no harm
}

TEST(ListText, referrers_are_filtered_by_type) {
    ListText list;
    ASSERT_TRUE(add_referrers(list, R"({"manifests":[{"digest":"1","artifactType":"a/sig"},)"
                                    R"({"digest":"2","artifactType":"a\/sbom"},{"digest":"3"}]})"));
    EXPECT_EQ(list.filtered("a/sbom").items, R"({"digest":"2","artifactType":"a\/sbom"})");
    EXPECT_EQ(list.filtered("none").items, "");
    EXPECT_EQ(read_list(list.items, true).types, list.types);
    EXPECT_FALSE(add_referrers(list, R"({"errors":[]})"));
    EXPECT_FALSE(add_referrers(list, R"({"manifests":[1]})"));
}

// Of the tag "sha256-<hex>".
TEST(ReferrersIndex, is_an_index_of_artifacts_and_not_the_subject) {
    const auto subject = *oci::Digest::parse("sha256:" + std::string(64, 'a'));
    const auto index = [](const std::string& children) {
        return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",)"
               R"("manifests":[)" +
               children + "]}";
    };
    EXPECT_TRUE(is_referrers_index(index(""), oci::kOciIndex, subject));
    EXPECT_TRUE(is_referrers_index(index(R"({"artifactType":"a/b"})"), "", subject));
    EXPECT_TRUE(is_referrers_index(index(R"({"digest":"x"})"), oci::kOciIndex, subject));
    EXPECT_TRUE(is_referrers_index(index(R"({"artifactType":"a/b","platform":{"os":"linux"}})"), "",
                                   subject));
    EXPECT_FALSE(
        is_referrers_index(index(R"({"platform":{"os":"linux"}})"), oci::kOciIndex, subject))
        << "an image of several platforms";
    EXPECT_FALSE(is_referrers_index(R"({"config":{},"layers":[]})", oci::kOciManifest, subject));
    EXPECT_FALSE(is_referrers_index(R"({"manifests":[]})", oci::kDockerList, subject));
    EXPECT_FALSE(is_referrers_index("<html>", oci::kOciIndex, subject));
    const auto itself = crypto::digest_of(oci::Digest::Algorithm::sha256, index(""));
    EXPECT_FALSE(is_referrers_index(index(""), oci::kOciIndex, itself));
}

}  // namespace
}  // namespace weir::cache
