#include "registry/answers.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/failure.h"
#include "base/text.h"
#include "cache/readable.h"
#include "registry/blob_source.h"
#include "registry/fields.h"

namespace weir::registry {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

// A blob in memory that hands out a few bytes at a time and remembers what was asked of it.
class TextReader : public cache::BlobReader {
public:
    explicit TextReader(std::string text) : text_(std::move(text)) {}
    Task<std::optional<cache::Bytes>> next(uint64_t max) override {
        if (at_ == text_.size()) co_return std::nullopt;
        piece_ = text_.substr(at_, std::min<uint64_t>(max, 3));
        at_ += piece_.size();
        co_return cache::Bytes(as_bytes(piece_));
    }

private:
    std::string text_, piece_;
    size_t at_ = 0;
};

class TextReadable : public cache::BlobView::Readable {
public:
    explicit TextReadable(std::string text) : text_(std::move(text)) {}
    std::unique_ptr<cache::BlobReader> reader(uint64_t first, uint64_t length) const override {
        return std::make_unique<TextReader>(text_.substr(first, length));
    }

private:
    std::string text_;
};

cache::BlobView blob(const std::string& text) {
    cache::BlobView view;
    view.digest = *oci::Digest::parse(kDigest);
    view.size = text.size();
    view.from = cache::From::hit_disk;
    view.upstream = std::make_shared<const std::string>("docker.io");
    view.readable = std::make_shared<const TextReadable>(text);
    return view;
}

struct Asked {
    explicit Asked(std::vector<std::pair<std::string_view, std::string_view>> given)
        : fields(std::move(given)) {
        request.fields = fields;
    }
    http::Response answer(const cache::BlobView& view) {
        BlobFields lines;
        return blob_answer(request, view, lines.of(view, {}), asked_ranges(request, kDigest));
    }
    std::vector<std::pair<std::string_view, std::string_view>> fields;
    http::Request request;
};

std::string read_all(http::Response& response) {
    Loop loop;
    std::string text;
    auto* source = std::get_if<std::unique_ptr<http::Source>>(&response.body);
    if (source == nullptr) return text;
    Scope scope("test");
    scope.spawn(loop, [&]() -> Task<> {
        while (auto piece = co_await (*source)->next(1 << 20))
            text += as_text(std::get<std::span<const std::byte>>(*piece));
    });
    loop.run_ready();
    return text;
}

std::string all_fields(const http::Response& response) {
    return response.fields + (response.shared_fields ? *response.shared_fields : "");
}

TEST(BlobAnswer, is_the_whole_blob_when_no_range_is_asked_for) {
    Asked asked({});
    auto response = asked.answer(blob("0123456789"));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_length, 10u);
    EXPECT_EQ(read_all(response), "0123456789");
    const std::string fields = all_fields(response);
    EXPECT_THAT(fields, HasSubstr("Content-Type: application/octet-stream\r\n"));
    EXPECT_THAT(fields, HasSubstr("Docker-Content-Digest: " + kDigest + "\r\n"));
    EXPECT_THAT(fields, HasSubstr("Etag: \"" + kDigest + "\"\r\n"));
    EXPECT_THAT(fields, HasSubstr("Accept-Ranges: bytes\r\n"));
    EXPECT_THAT(fields, HasSubstr("X-Cache: hit_disk\r\n"));
    EXPECT_THAT(fields, Not(HasSubstr("Content-Range")));
}

struct RangeCase {
    const char* range;
    int status;
    const char* content_range;
    const char* body;
};

TEST(BlobAnswer, gives_single_ranges_clamped_to_the_blob) {
    const RangeCase cases[] = {
        {"bytes=0-3", 206, "bytes 0-3/10", "0123"},
        {"bytes=4-", 206, "bytes 4-9/10", "456789"},
        {"bytes=8-100", 206, "bytes 8-9/10", "89"},
        {"bytes=-3", 206, "bytes 7-9/10", "789"},
        {"bytes=-30", 206, "bytes 0-9/10", "0123456789"},
        {"bytes=0-", 206, "bytes 0-9/10", "0123456789"},
        {"bytes=9-8", 200, nullptr, "0123456789"},
        {"lines=1-2", 200, nullptr, "0123456789"},
        {"bytes=10-", 416, "bytes */10", ""},
    };
    for (const auto& c : cases) {
        Asked asked({{"Range", c.range}});
        auto response = asked.answer(blob("0123456789"));
        EXPECT_EQ(response.status, c.status) << c.range;
        EXPECT_EQ(read_all(response), c.body) << c.range;
        if (c.content_range)
            EXPECT_THAT(all_fields(response),
                        HasSubstr(fmt::format("Content-Range: {}\r\n", c.content_range)));
        if (c.status == 206) EXPECT_EQ(response.content_length, std::string(c.body).size());
    }
}

TEST(BlobAnswer, several_ranges_come_as_parts_and_the_length_is_known_before) {
    Asked asked({{"Range", "bytes=0-1, 5-6,-1"}});
    auto response = asked.answer(blob("0123456789"));
    ASSERT_EQ(response.status, 206);
    const std::string fields = all_fields(response);
    const size_t at = fields.find("multipart/byteranges; boundary=");
    ASSERT_NE(at, std::string::npos);
    EXPECT_THAT(fields, Not(HasSubstr("octet-stream")));
    const std::string boundary = fields.substr(at + 31, fields.find("\r\n", at) - at - 31);
    const std::string type = "Content-Type: application/octet-stream\r\n";
    const std::string body = read_all(response);
    EXPECT_EQ(body, "--" + boundary + "\r\n" + type + "Content-Range: bytes 0-1/10\r\n\r\n01" +
                        "\r\n--" + boundary + "\r\n" + type +
                        "Content-Range: bytes 5-6/10\r\n\r\n56" + "\r\n--" + boundary + "\r\n" +
                        type + "Content-Range: bytes 9-9/10\r\n\r\n9" + "\r\n--" + boundary +
                        "--\r\n");
    EXPECT_EQ(response.content_length, body.size());
}

TEST(BlobAnswer, ranges_that_ask_for_more_than_all_get_the_whole_once) {
    Asked asked({{"Range", "bytes=0-9,0-9,0-9"}});
    auto response = asked.answer(blob("0123456789"));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_length, 10u);
}

TEST(BlobAnswer, a_range_stands_only_if_its_condition_holds) {
    const std::string same = "\"" + kDigest + "\"";
    const std::string weak = "W/" + same;
    EXPECT_EQ(Asked({{"Range", "bytes=0-3"}, {"If-Range", same}}).answer(blob("0123456789")).status,
              206);
    for (const std::string& other :
         {weak, std::string("\"x\""), std::string("Sat, 29 Oct 1994 19:43:31 GMT")})
        EXPECT_EQ(
            Asked({{"Range", "bytes=0-3"}, {"If-Range", other}}).answer(blob("0123456789")).status,
            200)
            << other;
}

TEST(BlobAnswer, is_not_modified_for_who_has_it) {
    const std::string same = "\"x\", W/\"" + kDigest + "\"";
    const auto response = Asked({{"If-None-Match", same}}).answer(blob("0123456789"));
    EXPECT_EQ(response.status, 304);
    EXPECT_EQ(response.body.index(), 0u);
}

TEST(BlobAnswer, a_head_needs_no_bytes_and_ignores_ranges) {
    Asked asked({{"Range", "bytes=0-3"}});
    asked.request.method = http::Method::head;
    auto view = blob("0123456789");
    view.readable.reset();
    const auto response = asked.answer(view);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_length, 10u);
}

TEST(BlobAnswer, an_empty_blob_has_an_empty_body) {
    Asked asked({});
    auto view = blob("");
    view.readable.reset();
    const auto response = asked.answer(view);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_length, 0u);
}

cache::ManifestView manifest(std::string bytes) {
    auto made = std::make_shared<cache::Manifest>();
    made->digest = *oci::Digest::parse(kDigest);
    made->digest_text = kDigest;
    made->media_type = "application/vnd.oci.image.index.v1+json";
    made->size = bytes.size();
    made->bytes = std::make_shared<const std::string>(std::move(bytes));
    cache::ManifestView view;
    view.manifest = made;
    view.upstream = std::make_shared<const std::string>("docker.io");
    return view;
}

TEST(ManifestAnswer, has_exact_type_digest_and_length) {
    Asked asked({{"Range", "bytes=0-"}, {"Accept", "text/html"}});
    ManifestFields fields;
    const auto view = manifest("{}");
    const auto response = manifest_answer(asked.request, view, fields.of(view, "docker.io", true));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_length, 2u);
    EXPECT_EQ(*response.shared_fields,
              "Content-Type: application/vnd.oci.image.index.v1+json\r\nDocker-Content-Digest: " +
                  kDigest + "\r\nDocker-Distribution-Api-Version: registry/2.0\r\nEtag: \"" +
                  kDigest + "\"\r\nX-Cache: hit_memory\r\nAge: 0\r\nOCI-Namespace: docker.io\r\n");
}

TEST(ManifestAnswer, warns_of_what_is_stale) {
    Asked asked({});
    ManifestFields fields;
    auto view = manifest("{}");
    view.from = cache::From::stale;
    view.stale = true;
    view.age = std::chrono::seconds(400);
    const auto text = fields.of(view, {}, true);
    EXPECT_THAT(*text, HasSubstr("Warning: 299 - \"stale: docker.io has not confirmed"));
    EXPECT_THAT(*text, HasSubstr("Age: 400\r\n"));
    EXPECT_THAT(*text, HasSubstr("X-Cache: stale\r\n"));
}

TEST(ManifestFields, are_made_once_until_something_changes) {
    ManifestFields fields;
    auto view = manifest("{}");
    const auto first = fields.of(view, {}, true);
    EXPECT_EQ(fields.of(view, {}, true), first);
    view.age = std::chrono::seconds(1);
    EXPECT_NE(fields.of(view, {}, true), first);
    const auto second = manifest("{}");
    EXPECT_NE(fields.of(second, {}, true), first);
}

TEST(ManifestFields, an_upstreams_media_type_can_not_add_a_line) {
    ManifestFields fields;
    auto made = std::make_shared<cache::Manifest>();
    made->media_type = "a/b\r\nSet-Cookie: x";
    cache::ManifestView view;
    view.manifest = made;
    EXPECT_THAT(*fields.of(view, {}, false), Not(HasSubstr("\nSet-Cookie")));
}

TEST(Link, leads_to_us_and_keeps_the_namespace) {
    EXPECT_EQ(next_link_value("/v2/a/tags/list", "n=2&last=b", "reg.lab:5000"),
              "</v2/a/tags/list?n=2&last=b&ns=reg.lab%3A5000>; rel=\"next\"");
    EXPECT_EQ(next_link_value("/v2/a/tags/list", "n=2&ns=evil", ""),
              "</v2/a/tags/list?n=2>; rel=\"next\"");
    EXPECT_EQ(next_link_value("/v2/a/tags/list", "n=2>; rel=\"x\"\r\nA: b", ""),
              "</v2/a/tags/list?n=2;rel=xA:b>; rel=\"next\"");
}

TEST(Query, that_holds_a_secret_does_not_go_upstream) {
    EXPECT_EQ(query_for_upstream("n=5&access_token=s3cret&last=a"), "n=5&last=a");
    EXPECT_EQ(query_for_upstream("access%5Ftoken=s3cret"), "");
    EXPECT_EQ(query_for_upstream("Private-Token=s3cret&next_page=abc"), "next_page=abc");
}

TEST(Query, loses_ns_and_nothing_else) {
    EXPECT_EQ(query_for_upstream("ns=docker.io"), "");
    EXPECT_EQ(query_for_upstream("n=5&ns=docker.io&last=a%20b"), "n=5&last=a%20b");
    EXPECT_EQ(query_for_upstream("nsx=1&ns"), "nsx=1");
    EXPECT_EQ(query_for_upstream("n%73=x&n=1"), "n=1");
    EXPECT_EQ(query_for_upstream(""), "");
}

}  // namespace
}  // namespace weir::registry
