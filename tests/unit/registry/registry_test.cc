#include "registry/registry.h"

#include "oci/link.h"
#include "world.h"

namespace weir::registry {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kBlob = "0123456789abcdefghijklmnopqrstuvwxyz";

const std::string kManifest =
    R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]})";

class RegistryTest : public World {};

TEST_F(RegistryTest, a_ping_is_answered_whatever_the_upstreams_do) {
    down = true;
    const auto seen = get("/v2/");
    EXPECT_EQ(seen.status, 200);
    EXPECT_EQ(seen.body, "{}");
    EXPECT_EQ(seen.field("Docker-Distribution-Api-Version"), "registry/2.0");
    EXPECT_TRUE(hot);
    EXPECT_EQ(get("/v2").status, 200);
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(RegistryTest, a_manifest_comes_as_it_is_and_is_hot_from_then_on) {
    const std::string body = kManifest;
    const auto digest = put_manifest("library/debian", "12", body);
    const auto cold = get("/v2/docker.io/library/debian/manifests/12");
    EXPECT_EQ(cold.status, 200);
    EXPECT_EQ(cold.body, body);
    EXPECT_EQ(cold.field("Content-Type"), oci::kOciManifest);
    EXPECT_EQ(cold.field("Docker-Content-Digest"), digest);
    EXPECT_EQ(cold.field("X-Cache"), "miss");
    get("/v2/docker.io/library/debian/manifests/12");
    const size_t asked = http.calls().size();
    const auto warm = get("/v2/docker.io/library/debian/manifests/12");
    EXPECT_TRUE(hot);
    EXPECT_EQ(warm.body, body);
    EXPECT_EQ(warm.field("X-Cache"), "hit_memory");
    EXPECT_EQ(http.calls().size(), asked);
    const auto head = ask(http::Method::head, "/v2/docker.io/library/debian/manifests/12");
    EXPECT_EQ(head.fields, warm.fields);
}

TEST_F(RegistryTest, a_stale_tag_is_answered_with_a_warning_when_the_upstream_is_down) {
    put_manifest("library/debian", "12", kManifest);
    get("/v2/docker.io/library/debian/manifests/12");
    down = true;
    clock.advance(std::chrono::minutes(10));
    get("/v2/docker.io/library/debian/manifests/12");
    const auto stale = get("/v2/docker.io/library/debian/manifests/12");
    EXPECT_EQ(stale.status, 200);
    EXPECT_THAT(stale.field("Warning"), HasSubstr("299 - \"stale"));
    EXPECT_EQ(stale.cache, "stale");
}

TEST_F(RegistryTest, the_namespace_is_returned_and_never_passed_on) {
    put_manifest("library/debian", "12", kManifest);
    const auto seen = get("/v2/library/debian/manifests/12?ns=docker.io");
    EXPECT_EQ(seen.status, 200);
    EXPECT_EQ(seen.field("OCI-Namespace"), "docker.io");
    ASSERT_FALSE(http.calls().empty());
    for (const auto& call : http.calls()) EXPECT_THAT(call.url, Not(HasSubstr("ns=")));
}

TEST_F(RegistryTest, an_unknown_name_is_404_and_nobody_is_asked) {
    const auto seen = get("/v2/library/debian/manifests/12?ns=evil.example");
    EXPECT_EQ(seen.status, 404);
    EXPECT_THAT(seen.body, HasSubstr("NAME_UNKNOWN"));
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(RegistryTest, what_is_not_a_name_a_tag_or_a_digest_is_told_apart) {
    EXPECT_THAT(get("/v2/docker.io/Library/x/manifests/1").body, HasSubstr("NAME_INVALID"));
    EXPECT_THAT(get("/v2/docker.io/library/x/manifests/-1").body, HasSubstr("TAG_INVALID"));
    EXPECT_THAT(get("/v2/docker.io/library/x/manifests/sha256:12").body,
                HasSubstr("DIGEST_INVALID"));
    EXPECT_THAT(get("/v2/docker.io/library/x/blobs/latest").body, HasSubstr("DIGEST_INVALID"));
    EXPECT_EQ(get("/v2/docker.io/library/x/manifests/-1").status, 400);
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(RegistryTest, a_write_is_405) {
    const auto seen = ask(http::Method::post, "/v2/docker.io/library/x/blobs/uploads/");
    EXPECT_EQ(seen.status, 405);
    EXPECT_THAT(seen.body, HasSubstr("UNSUPPORTED"));
}

TEST_F(RegistryTest, a_second_no_is_said_from_memory) {
    const auto first = get("/v2/docker.io/library/debian/manifests/13");
    EXPECT_EQ(first.status, 404);
    EXPECT_THAT(first.body, HasSubstr("MANIFEST_UNKNOWN"));
    EXPECT_EQ(first.cache, "miss");
    const size_t asked = http.calls().size();
    const auto second = get("/v2/docker.io/library/debian/manifests/13");
    EXPECT_EQ(second.status, 404);
    EXPECT_EQ(second.cache, "negative");
    EXPECT_EQ(second.route, "manifest");
    EXPECT_EQ(http.calls().size(), asked);
}

TEST_F(RegistryTest, a_cold_blob_is_answered_whole_in_ranges_and_hot) {
    const auto digest = put_blob("library/debian", kBlob);
    const std::string path = "/v2/docker.io/library/debian/blobs/" + digest;
    const auto part = get(path, {{"Range", "bytes=-4"}});
    EXPECT_EQ(part.status, 206);
    EXPECT_EQ(part.body, "wxyz");
    EXPECT_EQ(part.field("Content-Range"), "bytes 32-35/36");
    const auto whole = get(path);
    EXPECT_EQ(whole.status, 200);
    EXPECT_EQ(whole.body, kBlob);
    EXPECT_EQ(whole.field("Docker-Content-Digest"), digest);
    EXPECT_EQ(whole.field("Accept-Ranges"), "bytes");
    get(path);
    const auto hot_part = get(path, {{"Range", "bytes=1-2,4-5"}});
    EXPECT_TRUE(hot);
    EXPECT_EQ(hot_part.status, 206);
    EXPECT_THAT(hot_part.field("Content-Type"), HasSubstr("multipart/byteranges"));
    EXPECT_THAT(hot_part.body, HasSubstr("\r\n\r\n12\r\n--"));
    EXPECT_EQ(get(path, {{"Range", "bytes=99-"}}).status, 416);
    EXPECT_EQ(get(path, {{"If-None-Match", "\"" + digest + "\""}}).status, 304);
}

TEST_F(RegistryTest, a_head_of_a_blob_downloads_nothing) {
    const auto digest = put_blob("library/debian", kBlob);
    const auto seen = ask(http::Method::head, "/v2/docker.io/library/debian/blobs/" + digest);
    EXPECT_EQ(seen.status, 200);
    for (const auto& call : http.calls()) EXPECT_EQ(call.method, "HEAD");
}

TEST_F(RegistryTest, a_list_of_tags_has_the_clients_name_and_our_link) {
    put("library/debian/tags/list", R"({"name":"library/debian","tags":["11","12"]})");
    const auto seen = get("/v2/debian/tags/list?n=1&ns=docker.io");
    EXPECT_EQ(seen.status, 200);
    EXPECT_EQ(seen.body, R"({"name":"debian","tags":["11"]})");
    EXPECT_EQ(seen.field("Link"), "</v2/debian/tags/list?n=1&last=11&ns=docker.io>; rel=\"next\"");
    const auto next = get("/v2/debian/tags/list?n=1&last=11&ns=docker.io");
    EXPECT_EQ(next.body, R"({"name":"debian","tags":["12"]})");
    EXPECT_EQ(next.field("Link"), "");
    EXPECT_EQ(http.calls().size(), 1u);
    EXPECT_EQ(get("/v2/debian/tags/list?n=x&ns=docker.io").status, 400);
}

TEST_F(RegistryTest, the_pages_of_an_upstream_become_one_list) {
    put("library/debian/tags/list", R"({"name":"x","tags":["1","2"]})",
        {{"Link", "</v2/library/debian/tags/list?n=2&last=2>; rel=\"next\""}});
    put("library/debian/tags/list?n=1000&last=2", R"({"name":"x","tags":["3"]})");
    const auto seen = get("/v2/docker.io/library/debian/tags/list");
    EXPECT_EQ(seen.body, R"({"name":"docker.io/library/debian","tags":["1","2","3"]})");
    EXPECT_EQ(seen.field("Link"), "");
}

TEST_F(RegistryTest, where_an_upstream_gives_no_more_its_own_link_leads_on) {
    put("library/debian/tags/list", R"({"name":"x","tags":["1","2"]})",
        {{"Link", "</v2/library/debian/tags/list?next_page=abc&n=2>; rel=\"next\""}});
    const auto seen = get("/v2/docker.io/library/debian/tags/list");
    EXPECT_EQ(seen.field("Link"),
              "</v2/docker.io/library/debian/tags/list?next_page=abc&n=2>; rel=\"next\"");
    put("library/debian/tags/list?next_page=abc&n=2", R"({"name":"x","tags":["3"]})");
    const auto next = get("/v2/docker.io/library/debian/tags/list?next_page=abc&n=2");
    EXPECT_EQ(next.body, R"({"name":"docker.io/library/debian","tags":["3"]})");
}

TEST_F(RegistryTest, a_long_list_is_sent_in_pieces_that_make_it_whole) {
    std::vector<std::string> tags;
    for (int i = 0; i < 100'000; ++i) tags.push_back(fmt::format("{:0>10}", i));
    put("library/debian/tags/list", oci::tag_list_body("x", tags));
    const auto whole = get("/v2/docker.io/library/debian/tags/list");
    EXPECT_TRUE(whole.body == oci::tag_list_body("docker.io/library/debian", tags));
    const auto page = get("/v2/docker.io/library/debian/tags/list?n=90000&last=0000000009");
    tags.erase(tags.begin(), tags.begin() + 10);
    tags.resize(90'000);
    EXPECT_TRUE(page.body == oci::tag_list_body("docker.io/library/debian", tags));
}

TEST_F(RegistryTest, referrers_are_filtered_by_us_whatever_the_upstream_does) {
    const std::string subject = "sha256:" + std::string(64, '1');
    put("library/debian/referrers/" + subject,
        R"({"schemaVersion":2,"manifests":[{"artifactType":"a/b","size":1},{"artifactType":"c/d","size":2}]})",
        {{"Content-Type", std::string(oci::kOciIndex)}});
    const auto seen =
        get("/v2/docker.io/library/debian/referrers/" + subject + "?artifactType=a/b");
    EXPECT_EQ(seen.status, 200);
    EXPECT_THAT(seen.body, HasSubstr("a/b"));
    EXPECT_THAT(seen.body, Not(HasSubstr("c/d")));
    EXPECT_EQ(seen.field("OCI-Filters-Applied"), "artifactType");
    EXPECT_EQ(seen.field("Content-Type"), oci::kOciIndex);
    const auto all = get("/v2/docker.io/library/debian/referrers/" + subject);
    EXPECT_THAT(all.body, HasSubstr("c/d"));
    EXPECT_EQ(all.field("OCI-Filters-Applied"), "");
}

TEST_F(RegistryTest, a_request_of_unusual_length_is_understood_anew_each_time) {
    put_manifest("library/debian", "12", kManifest);
    const std::string path = "/v2/docker.io/library/debian/manifests/12";
    get(path);
    get(path + "?q=short");
    get(path + "?q=short");
    EXPECT_TRUE(hot);
    const std::string long_query = path + "?q=" + std::string(2 * kMaxMemoKeyBytes, 'q');
    EXPECT_EQ(get(long_query).status, 200);
    EXPECT_EQ(get(long_query).status, 200);
    EXPECT_FALSE(hot);
}

TEST_F(RegistryTest, a_manifest_is_never_served_as_a_page) {
    for (const char* type : {"text/html", "image/svg+xml", "application/xhtml+xml"}) {
        const std::string body = std::string(R"({"schemaVersion":2,"mediaType":")") + type +
                                 R"(","config":{"x":"<script>"},"layers":[]})";
        put("library/odd/manifests/1", body, {{"Content-Type", type}});
        EXPECT_EQ(get("/v2/docker.io/library/odd/manifests/1").status, 502) << type;
    }
    const std::string odd =
        R"({"schemaVersion":2,"mediaType":"application/vnd.acme.v1+json","config":{},"layers":[]})";
    put("library/odd/manifests/2", odd, {{"Content-Type", "application/vnd.acme.v1+json"}});
    const auto seen = get("/v2/docker.io/library/odd/manifests/2");
    EXPECT_EQ(seen.status, 200);
    EXPECT_EQ(seen.field("Content-Type"), "application/vnd.acme.v1+json");
}

TEST_F(RegistryTest, the_catalog_lists_what_is_cached_in_pages) {
    for (const char* name : {"library/a", "library/b", "library/c"}) {
        put_manifest(name, "1", kManifest);
        get(std::string("/v2/docker.io/") + name + "/manifests/1");
    }
    const auto first = get("/v2/_catalog?n=2");
    EXPECT_THAT(first.body, HasSubstr("library/a\",\""));
    EXPECT_THAT(first.body, Not(HasSubstr("library/c")));
    const auto link = first.field("Link");
    ASSERT_THAT(link, HasSubstr("</v2/_catalog?n=2&last="));
    const auto second = get(link.substr(1, link.find('>') - 1));
    EXPECT_THAT(second.body, HasSubstr("library/c"));
    EXPECT_EQ(second.field("Link"), "");
    EXPECT_EQ(get("/v2/_catalog?n=x").status, 400);
}

TEST_F(RegistryTest, a_reload_that_drops_an_upstream_drops_what_was_memorised) {
    put_manifest("library/debian", "12", kManifest);
    for (int i = 0; i < 3; ++i) get("/v2/library/debian/manifests/12?ns=docker.io");
    EXPECT_TRUE(hot);
    config::Config other = *shared;
    other.registries[0].name = "ghcr.io";
    other.registries[0].urls = {"https://ghcr.io"};
    other.registries[0].quirks.hub = false;
    set_config(std::move(other));
    EXPECT_EQ(get("/v2/library/debian/manifests/12?ns=docker.io").status, 404);
}

}  // namespace
}  // namespace weir::registry
