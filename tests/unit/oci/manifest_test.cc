// The promises of oci/manifest.h: what a manifest refers to, read from any form that clients pull.
#include "oci/manifest.h"
#include "oci/media_type.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace weir::oci {
namespace {

std::string digest_text(char c) {
    return "sha256:" + std::string(64, c);
}

std::string descriptor(std::string_view type, char c, std::string_view more = {}) {
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}{}}})", type, digest_text(c),
                       100 + c, more);
}

std::string oci_manifest(std::string_view media_type, std::string_view more = {}) {
    const std::string type =
        media_type.empty() ? "" : fmt::format(R"("mediaType":"{}",)", media_type);
    return fmt::format(R"({{"schemaVersion":2,{}"config":{},"layers":[{},{}]{}}})", type,
                       descriptor("application/vnd.oci.image.config.v1+json", 'a'),
                       descriptor("application/vnd.oci.image.layer.v1.tar+gzip", 'b'),
                       descriptor("application/vnd.oci.image.layer.v1.tar+zstd", 'c'), more);
}

std::string index_of(std::string_view media_type, std::string_view children) {
    const std::string type =
        media_type.empty() ? "" : fmt::format(R"("mediaType":"{}",)", media_type);
    return fmt::format(R"({{"schemaVersion":2,{}"manifests":[{}]}})", type, children);
}

Manifest parsed(std::string_view bytes, std::string_view content_type = {}) {
    auto manifest = parse_manifest(bytes, content_type);
    EXPECT_TRUE(manifest) << (manifest ? "" : manifest.error());
    return manifest ? *manifest : Manifest{};
}

std::string problem(std::string_view bytes, std::string_view content_type = {}) {
    auto manifest = parse_manifest(bytes, content_type);
    EXPECT_FALSE(manifest) << bytes;
    return manifest ? "" : manifest.error();
}

TEST(Manifest, of_an_oci_image_names_config_then_layers) {
    const Manifest m = parsed(oci_manifest(kOciManifest));
    EXPECT_EQ(m.media_type, kOciManifest);
    EXPECT_FALSE(m.is_index);
    ASSERT_EQ(m.blobs.size(), 3u);
    EXPECT_EQ(m.blobs[0].digest.text(), digest_text('a'));
    EXPECT_EQ(m.blobs[0].media_type, "application/vnd.oci.image.config.v1+json");
    EXPECT_EQ(m.blobs[0].size, 100u + 'a');
    EXPECT_EQ(m.blobs[2].digest.text(), digest_text('c'));
    EXPECT_TRUE(m.manifests.empty());
    EXPECT_TRUE(m.subject.empty());
    EXPECT_EQ(m.artifact_type, "application/vnd.oci.image.config.v1+json");
}

// Registries check what the specification makes a reference, so nothing else is one.
TEST(Manifest, only_an_artifact_manifest_has_blobs) {
    const std::string blobs = fmt::format(R"(,"blobs":[{}])", descriptor("text/plain", 'd'));
    const struct {
        std::string bytes, content_type;
        size_t references;
    } rows[] = {
        {oci_manifest(kOciManifest, blobs), "", 3},
        {oci_manifest(kDockerManifest, blobs), "", 3},
        {oci_manifest("", blobs), "", 3},
        {oci_manifest("", blobs), std::string(kOciManifest), 3},
        {oci_manifest("application/x-unknown", blobs), "", 3},
        {oci_manifest(kOciArtifact, blobs), "", 1},
        {fmt::format(R"({{"mediaType":"{}"{}}})", kOciManifest, blobs), "", 0},
        {fmt::format(R"({{"mediaType":"{}"{}}})", kOciArtifact, blobs), "", 1},
        {fmt::format(R"({{"mediaType":"application/x-unknown"{}}})", blobs), "", 1},
        {index_of(kOciIndex, descriptor(kOciManifest, 'e') + "]" + blobs + R"(,"x":[)"), "", 0},
    };
    for (const auto& row : rows) {
        const Manifest m = parsed(row.bytes, row.content_type);
        EXPECT_EQ(m.blobs.size(), row.references) << row.bytes;
    }
}

TEST(Manifest, of_docker_schema_2_is_read) {
    const std::string bytes = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}})", kDockerManifest,
        descriptor("application/vnd.docker.container.image.v1+json", 'a'),
        descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", 'b'));
    const Manifest m = parsed(bytes);
    EXPECT_EQ(m.media_type, kDockerManifest);
    EXPECT_FALSE(m.is_index);
    EXPECT_EQ(m.blobs.size(), 2u);
}

TEST(Manifest, of_an_artifact_names_its_blobs_and_subject) {
    const std::string bytes = fmt::format(
        R"({{"mediaType":"{}","artifactType":"application/spdx+json","blobs":[{}],"subject":{}}})",
        kOciArtifact, descriptor("text/plain", 'a'), descriptor(kOciManifest, 'd'));
    const Manifest m = parsed(bytes);
    EXPECT_EQ(m.media_type, kOciArtifact);
    EXPECT_EQ(m.artifact_type, "application/spdx+json");
    ASSERT_EQ(m.blobs.size(), 1u);
    ASSERT_EQ(m.subject.size(), 1u);
    EXPECT_EQ(m.subject[0].digest.text(), digest_text('d'));
    EXPECT_EQ(m.subject[0].media_type, kOciManifest);
}

TEST(Index, children_keep_their_platform) {
    const std::string bytes = index_of(
        kOciIndex,
        descriptor(kOciManifest, 'a', R"(,"platform":{"os":"linux","architecture":"amd64"})") +
            "," +
            descriptor(kOciManifest, 'b',
                       R"(,"platform":{"os":"linux","architecture":"arm","variant":"v7"})") +
            "," + descriptor(kOciManifest, 'c', R"(,"artifactType":"application/x")"));
    const Manifest m = parsed(bytes);
    EXPECT_TRUE(m.is_index);
    EXPECT_EQ(m.media_type, kOciIndex);
    EXPECT_TRUE(m.blobs.empty());
    ASSERT_EQ(m.manifests.size(), 3u);
    EXPECT_EQ(m.manifests[0].os, "linux");
    EXPECT_EQ(m.manifests[0].architecture, "amd64");
    EXPECT_EQ(m.manifests[0].variant, "");
    EXPECT_EQ(m.manifests[1].variant, "v7");
    EXPECT_EQ(m.manifests[2].os, "");
    EXPECT_EQ(m.manifests[2].artifact_type, "application/x");
}

TEST(Index, a_docker_list_is_one) {
    const Manifest m = parsed(index_of(kDockerList, descriptor(kDockerManifest, 'a')));
    EXPECT_TRUE(m.is_index);
    EXPECT_EQ(m.media_type, kDockerList);
    EXPECT_EQ(m.manifests.size(), 1u);
}

TEST(Index, without_children_is_fine) {
    EXPECT_TRUE(parsed(index_of(kOciIndex, "")).is_index);
    EXPECT_TRUE(parsed(R"({"schemaVersion":2,"manifests":null})").is_index);
}

TEST(MediaType, the_document_says_it_first) {
    EXPECT_EQ(parsed(oci_manifest(kDockerManifest), kOciManifest).media_type, kDockerManifest);
}

TEST(MediaType, then_the_content_type_without_its_parameters) {
    EXPECT_EQ(parsed(oci_manifest(""), kDockerManifest).media_type, kDockerManifest);
    EXPECT_EQ(parsed(oci_manifest(""), std::string(kOciManifest) + "; charset=utf-8").media_type,
              kOciManifest);
    EXPECT_EQ(parsed(oci_manifest(""), "application/vnd.example.thing+json").media_type,
              "application/vnd.example.thing+json");
}

TEST(MediaType, then_the_shape) {
    for (const char* nothing :
         {"", "application/json", "text/plain", "application/octet-stream", "text/html; a=b"}) {
        EXPECT_EQ(parsed(oci_manifest(""), nothing).media_type, kOciManifest);
        EXPECT_EQ(parsed(index_of("", descriptor(kOciManifest, 'a')), nothing).media_type,
                  kOciIndex);
        EXPECT_EQ(parsed(index_of("", descriptor(kDockerManifest, 'a')), nothing).media_type,
                  kDockerList);
    }
    const std::string docker =
        fmt::format(R"({{"schemaVersion":2,"config":{},"layers":[]}})",
                    descriptor("application/vnd.docker.container.image.v1+json", 'a'));
    EXPECT_EQ(parsed(docker).media_type, kDockerManifest);
    EXPECT_EQ(parsed(fmt::format(R"({{"artifactType":"a/b","blobs":[{}]}})", descriptor("x", 'a')))
                  .media_type,
              kOciArtifact);
}

TEST(MediaType, that_weir_does_not_know_is_kept_and_the_shape_tells_the_rest) {
    const Manifest m =
        parsed(index_of("application/vnd.example.index+json", descriptor(kOciManifest, 'a')));
    EXPECT_EQ(m.media_type, "application/vnd.example.index+json");
    EXPECT_TRUE(m.is_index);
    EXPECT_EQ(m.manifests.size(), 1u);
    EXPECT_EQ(parsed(oci_manifest("application/vnd.example+json")).blobs.size(), 3u);
}

TEST(Manifest, schema_1_is_refused_in_words) {
    const char* kText =
        R"({"schemaVersion":1,"name":"library/x","tag":"1","fsLayers":[{"blobSum":"sha256:0"}]})";
    EXPECT_EQ(problem(kText), "Docker schema 1 manifests are not supported");
    EXPECT_EQ(problem(R"({"a":1})", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
              "Docker schema 1 manifests are not supported");
    EXPECT_EQ(problem(R"({"mediaType":"application/vnd.docker.distribution.manifest.v1+json"})"),
              "Docker schema 1 manifests are not supported");
}

TEST(Manifest, what_is_not_a_json_object_is_refused_in_words) {
    for (const char* text : {"", " ", "[]", "null", "1", "\"x\"", "{", "{}x", "<html></html>",
                             "{\"a\":1,}", "{\"layers\":[", "nul", "{'a':1}"})
        EXPECT_FALSE(problem(text, kOciManifest).empty()) << text;
    EXPECT_EQ(problem("[]"), "not a JSON object");
}

TEST(Manifest, an_object_that_is_something_else_is_refused) {
    EXPECT_EQ(problem("{}"), "neither a manifest nor an index");
    EXPECT_EQ(problem(R"({"errors":[{"code":"DENIED"}]})", kOciManifest),
              "neither a manifest nor an index");
}

TEST(Manifest, what_different_clients_would_read_differently_is_refused) {
    const std::string children = R"(,"manifests":[)" + descriptor(kOciManifest, 'd') + "]";
    EXPECT_FALSE(problem(oci_manifest(kOciManifest, children)).empty());
    EXPECT_FALSE(problem(oci_manifest("", children)).empty());
    EXPECT_FALSE(problem(oci_manifest(kOciIndex)).empty());
    EXPECT_FALSE(problem(index_of(kOciManifest, descriptor(kOciManifest, 'd'))).empty());
    EXPECT_FALSE(problem(oci_manifest(""), kDockerList).empty());
    EXPECT_FALSE(parsed(oci_manifest(kOciManifest, R"(,"manifests":null)")).is_index);
}

TEST(Descriptor, with_a_digest_that_cannot_be_checked_is_left_out) {
    const std::string bytes = fmt::format(
        R"({{"config":{{"digest":"sha1:00"}},"layers":[{{"digest":"SHA256:x"}},{},{{}}],)"
        R"("subject":{{"digest":7}}}})",
        descriptor("x", 'b'));
    const Manifest m = parsed(bytes);
    ASSERT_EQ(m.blobs.size(), 1u);
    EXPECT_EQ(m.blobs[0].digest.text(), digest_text('b'));
    EXPECT_TRUE(m.subject.empty());
}

TEST(Descriptor, of_sha512_is_kept) {
    const Manifest m =
        parsed(fmt::format(R"({{"layers":[{{"digest":"sha512:{}","size":18446744073709551615}}]}})",
                           std::string(128, 'e')));
    ASSERT_EQ(m.blobs.size(), 1u);
    EXPECT_EQ(m.blobs[0].digest.algorithm(), Digest::Algorithm::sha512);
    EXPECT_EQ(m.blobs[0].size, UINT64_MAX);
}

TEST(Descriptor, a_size_that_is_no_number_of_bytes_is_refused) {
    for (const char* size : {"-1", "1.5", "\"7\"", "true", "[]", "1e30"}) {
        const std::string text =
            fmt::format(R"({{"layers":[{{"digest":"{}","size":{}}}]}})", digest_text('a'), size);
        EXPECT_EQ(problem(text), "the size of layers[0] is not a number of bytes") << size;
    }
}

TEST(Descriptor, of_the_wrong_type_is_refused) {
    EXPECT_EQ(problem(R"({"config":[],"layers":[]})"), "config is not an object");
    EXPECT_EQ(problem(R"({"layers":{}})"), "layers is not a list");
    EXPECT_EQ(problem(R"({"layers":[1]})"), "layers[0] is not an object");
    EXPECT_EQ(problem(R"({"manifests":[{},"x"]})"), "manifests[1] is not an object");
    EXPECT_EQ(problem(R"({"layers":[],"subject":"x"})"), "subject is not an object");
}

TEST(Limit, more_references_than_the_limit_are_refused) {
    std::string list;
    for (size_t i = 0; i < kMaxReferences; ++i) list += (i == 0 ? "" : ",") + descriptor("x", 'a');
    EXPECT_EQ(parsed(R"({"manifests":[)" + list + "]}").manifests.size(), kMaxReferences);
    EXPECT_FALSE(problem(R"({"manifests":[)" + list + "," + descriptor("x", 'a') + "]}").empty());
}

TEST(Limit, a_deep_document_is_refused_and_does_not_use_up_the_stack) {
    const std::string deep(1'000'000, '[');
    EXPECT_FALSE(problem(deep).empty());
    EXPECT_FALSE(problem(R"({"layers":[],"annotations":)" + deep).empty());
}

TEST(Limit, a_document_that_grows_in_memory_is_refused) {
    std::string text = R"({"layers":[],"x":[)";
    for (int i = 0; i < 300'000; ++i) text += "[],";
    text += "[]]}";
    EXPECT_EQ(problem(text), "JSON that takes too much memory");
}

TEST(Manifest, bytes_that_are_not_utf8_do_not_matter) {
    EXPECT_EQ(parsed("{\"layers\":[],\"annotations\":{\"a\":\"\xff\xfe\"}}").media_type,
              kOciManifest);
}

TEST(MediaType, parameters_are_cut_off) {
    EXPECT_EQ(media_type_without_parameters("application/json; charset=utf-8"), "application/json");
    EXPECT_EQ(media_type_without_parameters(" a/b ;x"), "a/b");
    EXPECT_EQ(media_type_without_parameters("a/b"), "a/b");
    EXPECT_EQ(media_type_without_parameters(""), "");
    EXPECT_EQ(media_type_without_parameters(";"), "");
}

TEST(Accept, asks_for_every_type_weir_takes_and_last_for_anything) {
    const std::string accept = accept_manifests("");
    for (std::string_view type :
         {kOciManifest, kOciIndex, kDockerManifest, kDockerList, kOciArtifact, kOrasArtifact})
        EXPECT_TRUE(accept.contains(type)) << type;
    EXPECT_TRUE(accept.ends_with("+json, */*;q=0.1")) << accept;
}

TEST(Accept, a_clients_own_types_are_those_that_weir_does_not_know) {
    EXPECT_EQ(more_manifest_types(""), "");
    EXPECT_EQ(more_manifest_types("*/*, application/*;q=0.2"), "");
    EXPECT_EQ(
        more_manifest_types(std::string(kOciManifest) + ";q=0.5, " + std::string(kOrasArtifact)),
        "");
    EXPECT_EQ(more_manifest_types("a/b ; q=1 , a/b,c/d+json"), "a/b, c/d+json");
    EXPECT_EQ(more_manifest_types("application/vnd.docker.distribution.manifest.v1+prettyjws"), "");
    EXPECT_EQ(more_manifest_types("a/b\r\nX: y, a b/c, /x, x/, a/b/c, \"q/r\""), "");
    EXPECT_EQ(accept_manifests("a/b, c/d").substr(accept_manifests("").find(", */*")),
              ", a/b, c/d, */*;q=0.1");
}

TEST(Accept, a_clients_types_are_bounded) {
    std::string many;
    for (int i = 0; i < 1000; ++i) many += "a/b" + std::to_string(i) + ",";
    const auto types = more_manifest_types(many);
    EXPECT_EQ(std::count(types.begin(), types.end(), ','), static_cast<long>(kMaxClientTypes) - 1);
    EXPECT_EQ(more_manifest_types("a/" + std::string(kMaxMediaTypeBytes, 'b')), "");
}

}  // namespace
}  // namespace weir::oci
