// The promises of oci/link.h and oci/error_body.h: paged lists as upstreams send them and as weir
// answers.
#include "oci/link.h"

#include <gtest/gtest.h>

#include "oci/error_body.h"
#include "oci/manifest.h"

namespace weir::oci {
namespace {

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

TEST(TagList, is_written_as_the_specification_has_it) {
    EXPECT_EQ(tag_list_body("x/y", {}), R"({"name":"x/y","tags":[]})");
    EXPECT_EQ(tag_list_body("x", {"a", "quote\"d"}), R"({"name":"x","tags":["a","quote\"d"]})");
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
