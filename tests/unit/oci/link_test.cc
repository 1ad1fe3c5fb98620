// The promises of oci/link.h and oci/error_body.h: paged lists as upstreams send them and as weir
// answers.
#include "oci/link.h"

#include <gtest/gtest.h>

#include "oci/error_body.h"
#include "oci/manifest.h"

namespace weir::oci {
namespace {

using Tags = std::vector<std::string>;

TEST(Link, the_target_of_next_is_found_relative_or_absolute) {
    EXPECT_EQ(next_link(R"(</v2/x/tags/list?n=2&last=b>; rel="next")"),
              "/v2/x/tags/list?n=2&last=b");
    EXPECT_EQ(next_link("<https://h/v2/x/tags/list?last=b&n=2>;rel=next"),
              "https://h/v2/x/tags/list?last=b&n=2");
}

TEST(Link, among_several_links_the_right_one_is_found) {
    EXPECT_EQ(next_link(R"(</a,b?x=1>; rel="prev", </c>; title="x, <d>; rel=next"; rel="next")"),
              "/c");
    EXPECT_EQ(next_link(R"(</a>; rel=first, </b>; REL="last Next")"), "/b");
    EXPECT_EQ(next_link(R"(</a>; title="a\";rel=next;\""; rel=prev, </b>;rel=next)"), "/b");
}

TEST(Link, without_next_there_is_none) {
    for (const char* header :
         {"", "/v2/x", "<", "<a", "<a>", "<a>; rel=prev", "<a>; rel=nextish", "<a>; title=next",
          "<a>; rel=prev; rel=next", "<a>; rel", "<a>; rel=\"", ",,,;;;"})
        EXPECT_FALSE(next_link(header)) << header;
}

TEST(Link, the_query_is_given_raw) {
    EXPECT_EQ(link_query("https://h/v2/x/tags/list?n=2&last=b"), "n=2&last=b");
    EXPECT_EQ(link_query("?a=%2F?b#c?d"), "a=%2F?b");
    EXPECT_EQ(link_query("/v2/x#?a=b"), "");
    EXPECT_EQ(link_query("/v2/x?"), "");
    EXPECT_EQ(link_query(""), "");
}

TEST(Query, a_parameter_is_decoded) {
    EXPECT_EQ(query_parameter("n=2&last=a%2Fb%20c", "last"), "a/b c");
    EXPECT_EQ(query_parameter("n=2&last=b", "n"), "2");
    EXPECT_EQ(query_parameter("artifact%54ype=x", "artifactType"), "x");
    EXPECT_EQ(query_parameter("ns=docker.io:443", "ns"), "docker.io:443");
    EXPECT_EQ(query_parameter("a=b=c", "a"), "b=c");
    EXPECT_EQ(query_parameter("a+b=c+d", "a+b"), "c+d");
}

TEST(Query, an_empty_or_bare_parameter_is_there_and_empty) {
    EXPECT_EQ(query_parameter("n=", "n"), "");
    EXPECT_EQ(query_parameter("n", "n"), "");
}

TEST(Query, an_absent_or_broken_parameter_is_not) {
    for (const char* query : {"", "&", "m=1", "nn=1", "N=1", "n=%", "n=%2", "n=%zz", "%zz=1"})
        EXPECT_FALSE(query_parameter(query, "n")) << query;
}

TEST(TagList, is_read) {
    EXPECT_EQ(parse_tag_list(R"({"name":"x","tags":["b","a"]})", 10), (Tags{"b", "a"}));
    EXPECT_EQ(parse_tag_list(R"({"tags":["b"],"more":{"x":[1]}})", 10), (Tags{"b"}));
}

TEST(TagList, without_tags_is_empty_however_the_registry_writes_it) {
    for (const char* body :
         {R"({"name":"x","tags":[]})", R"({"name":"x","tags":null})", R"({"name":"x"})"})
        EXPECT_EQ(parse_tag_list(body, 10), Tags{}) << body;
}

TEST(TagList, something_else_is_not_one) {
    for (const char* body : {"", "[]", "{}", "<html>", R"({"errors":[]})", R"({"tags":{}})",
                             R"({"tags":"x"})", R"({"tags":["a",1]})", R"({"tags":["a")"})
        EXPECT_FALSE(parse_tag_list(body, 10)) << body;
}

TEST(TagList, is_cut_at_the_limit) {
    EXPECT_EQ(parse_tag_list(R"({"tags":["a","b","c"]})", 2), (Tags{"a", "b"}));
    EXPECT_EQ(parse_tag_list(R"({"tags":["a"]})", 0), Tags{});
}

TEST(TagList, a_hundred_thousand_short_tags_are_read) {
    std::string body = R"({"name":"x","tags":["0")";
    for (int i = 1; i < 100'000; ++i) body += ",\"" + std::to_string(i % 10) + "\"";
    body += "]}";
    const auto tags = parse_tag_list(body, 200'000);
    ASSERT_TRUE(tags);
    EXPECT_EQ(tags->size(), 100'000u);
}

TEST(TagList, what_is_written_can_be_read) {
    const Tags tags{"a", "quote\"d", "back\\slash", "new\nline", "\xc3\xa9"};
    EXPECT_EQ(parse_tag_list(tag_list_body("x/y", tags), 10), tags);
    EXPECT_EQ(tag_list_body("x/y", {}), R"({"name":"x/y","tags":[]})");
    EXPECT_EQ(tag_list_body("x", {"a", "b"}), R"({"name":"x","tags":["a","b"]})");
}

TEST(Catalog, is_a_list_of_names) {
    EXPECT_EQ(catalog_body({}), R"({"repositories":[]})");
    EXPECT_EQ(catalog_body({"a", "b/c"}), R"({"repositories":["a","b/c"]})");
}

TEST(Referrers, an_empty_answer_is_an_index) {
    const auto manifest = parse_manifest(empty_index(), kOciIndex);
    ASSERT_TRUE(manifest);
    EXPECT_TRUE(manifest->is_index);
    EXPECT_EQ(manifest->media_type, kOciIndex);
    EXPECT_TRUE(manifest->manifests.empty());
}

const char* const kReferrers =
    R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)"
    R"({"digest":"sha256:1","size":1,"artifactType":"a/sig","annotations":{"k":"v"}},)"
    R"({"digest":"sha256:2","size":2,"artifactType":"a/sbom"},{"digest":"sha256:3","size":3}],)"
    R"("annotations":{"x":"y"}})";

TEST(Referrers, are_filtered_and_keep_all_else) {
    EXPECT_EQ(
        filter_referrers(kReferrers, "a/sig"),
        R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)"
        R"({"digest":"sha256:1","size":1,"artifactType":"a/sig","annotations":{"k":"v"}}],)"
        R"("annotations":{"x":"y"}})");
    EXPECT_TRUE(parse_manifest(filter_referrers(kReferrers, "none"), "")->manifests.empty());
}

TEST(Referrers, without_a_filter_are_the_same_bytes) {
    EXPECT_EQ(filter_referrers(kReferrers, ""), kReferrers);
}

TEST(Referrers, of_what_is_no_index_are_none) {
    for (const char* text : {"", "[]", "{}", R"({"manifests":1})", "<html>"})
        for (const char* type : {"", "a/sig"})
            EXPECT_EQ(filter_referrers(text, type), empty_index()) << text;
}

TEST(ErrorBody, is_as_the_specification_writes_it) {
    EXPECT_EQ(error_body("MANIFEST_UNKNOWN", "no such manifest"),
              R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such manifest"}]})");
    EXPECT_EQ(error_body("DENIED", "a", R"({"x":[1]})"),
              R"({"errors":[{"code":"DENIED","message":"a","detail":{"x":[1]}}]})");
}

TEST(ErrorBody, foreign_text_cannot_break_out_of_it) {
    EXPECT_EQ(error_body("X", "a\"}],\\\n\x01"),
              "{\"errors\":[{\"code\":\"X\",\"message\":\"a\\\"}],\\\\\\u000a\\u0001\"}]}");
}

}  // namespace
}  // namespace weir::oci
