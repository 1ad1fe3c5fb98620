// Which media types a manifest may have.
#include "oci/media_type.h"

#include <gtest/gtest.h>

#include <string>

#include "oci/manifest.h"

namespace weir::oci {
namespace {

TEST(MediaType, is_two_names_of_restricted_characters) {
    for (const char* type : {"application/json", "a/b", "application/vnd.x.y+json", "text/html",
                             "application/vnd.cncf.helm.chart.content.v1.tar+gzip"})
        EXPECT_TRUE(valid_media_type(type)) << type;
    for (const char* type : {"", "/", "a/", "/b", "a", "a/b/c", "a/b c", "a/b;c=d", "a/b\r\nX: y",
                             "a/\xc3\xa9", ".a/b", "a/\"b\""})
        EXPECT_FALSE(valid_media_type(type)) << type;
    const std::string longest = "application/" + std::string(kMaxMediaTypeBytes - 12, 'm');
    EXPECT_TRUE(valid_media_type(longest));
    EXPECT_FALSE(valid_media_type(longest + "m"));
}

TEST(MediaType, of_a_manifest_is_known_or_of_an_application_that_no_browser_runs) {
    for (const auto type : {kOciManifest, kOciIndex, kDockerManifest, kDockerList, kOciArtifact,
                            std::string_view("application/vnd.acme.odd.v1+json"),
                            std::string_view("application/json")})
        EXPECT_TRUE(may_be_manifest_type(type)) << type;
    for (const char* type :
         {"text/html", "TEXT/HTML", "image/svg+xml", "application/xhtml+xml", "application/xml",
          "application/vnd.x+XML", "application/javascript", "application/pdf", "text/plain",
          "multipart/mixed", "application/x;charset=utf-7", ""})
        EXPECT_FALSE(may_be_manifest_type(type)) << type;
}

std::string document(const std::string& type) {
    return R"({"schemaVersion":2,"mediaType":")" + type +
           R"(","config":{"mediaType":"a/b","digest":"sha256:)" + std::string(64, 'a') +
           R"(","size":2},"layers":[]})";
}

TEST(MediaType, that_is_none_of_a_manifest_refuses_the_document) {
    for (const std::string& type :
         {std::string("text/html"), "application/" + std::string(3'000'000, 'm'),
          std::string("application/x y"), std::string("image/svg+xml")})
        EXPECT_FALSE(parse_manifest(document(type), "application/json")) << type.substr(0, 60);
}

TEST(MediaType, that_weir_does_not_know_is_taken_where_the_upstream_says_the_same_or_nothing) {
    const std::string odd = "application/vnd.acme.odd.v1+json";
    for (const char* said : {"application/vnd.acme.odd.v1+json", "", "application/json",
                             "application/octet-stream", "text/plain"}) {
        const auto manifest = parse_manifest(document(odd), said);
        ASSERT_TRUE(manifest) << said << ": " << manifest.error();
        EXPECT_EQ(manifest->media_type, odd);
    }
    EXPECT_FALSE(parse_manifest(document(odd), "application/vnd.acme.other"));
    EXPECT_TRUE(parse_manifest(document(odd), kOciManifest));
    EXPECT_TRUE(parse_manifest(document(std::string(kOciManifest)), "application/vnd.acme.other"));
}

TEST(MediaType, of_an_upstream_alone_counts_only_if_a_manifest_may_have_it) {
    const std::string bare = R"({"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:)" +
                             std::string(64, 'a') + R"(","size":2},"layers":[]})";
    EXPECT_EQ(parse_manifest(bare, "text/html")->media_type, kOciManifest);
    EXPECT_EQ(parse_manifest(bare, "image/svg+xml")->media_type, kOciManifest);
    EXPECT_EQ(parse_manifest(bare, "application/vnd.acme.odd")->media_type,
              "application/vnd.acme.odd");
}

}  // namespace
}  // namespace weir::oci
