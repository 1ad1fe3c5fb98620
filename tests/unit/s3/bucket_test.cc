// The promises of s3/bucket.h about single requests, against a scripted S3.
#include "s3/bucket.h"

#include "base/failure.h"
#include "s3/sums.h"
#include "unit/s3/world.h"

namespace weir::s3 {
namespace {

class BucketTest : public World {};

std::string date_of(const client::Call& call) {
    return FakeHttp::field(call, "x-amz-date");
}

TEST_F(BucketTest, an_object_is_put_under_its_prefix_with_its_sum_signed) {
    options.prefix = "pool";
    script({answer(200)});
    EXPECT_EQ(put("hello", sha256_hex("hello")).outcome, Outcome::ok);
    ASSERT_EQ(http.calls().size(), 1u);
    const auto& call = http.calls()[0];
    EXPECT_EQ(call.method, "PUT");
    EXPECT_EQ(call.url, "https://s3.lab:9000/images/pool/k");
    EXPECT_EQ(FakeHttp::field(call, "x-amz-content-sha256"), sha256_hex("hello"));
    EXPECT_EQ(sent(call), "hello");
    EXPECT_TRUE(call.bulk);
    EXPECT_FALSE(call.guard.enabled);
    EXPECT_NE(
        call.authorization.reveal().find("Credential=AKID/20260101/eu-x/s3/aws4_request, "
                                         "SignedHeaders=host;x-amz-content-sha256;x-amz-date"),
        std::string::npos)
        << call.authorization.reveal();
}

TEST_F(BucketTest, a_sum_that_is_not_known_is_made) {
    script({answer(200)});
    EXPECT_EQ(put("hello").outcome, Outcome::ok);
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "x-amz-content-sha256"), sha256_hex("hello"));
}

TEST_F(BucketTest, storage_class_and_encryption_are_said_and_signed) {
    options.storage_class = "STANDARD_IA";
    options.encrypt = true;
    options.kms_key_id = "key-1";
    script({answer(200)});
    EXPECT_EQ(put("x").outcome, Outcome::ok);
    const auto& call = http.calls()[0];
    EXPECT_EQ(FakeHttp::field(call, "x-amz-storage-class"), "STANDARD_IA");
    EXPECT_EQ(FakeHttp::field(call, "x-amz-server-side-encryption"), "aws:kms");
    EXPECT_EQ(FakeHttp::field(call, "x-amz-server-side-encryption-aws-kms-key-id"), "key-1");
    EXPECT_NE(call.authorization.reveal().find("x-amz-server-side-encryption;"), std::string::npos);
}

TEST_F(BucketTest, a_file_that_cannot_be_read_is_bad_and_nothing_is_sent) {
    const auto file = std::make_shared<TextFile>("hello");
    file->fails = true;
    const auto result = run<Result>([&]() { return bucket().put("k", file, 5, "", {}, in(60s)); });
    EXPECT_EQ(result.outcome, Outcome::bad);
    EXPECT_EQ(result.detail, "EIO");
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(BucketTest, a_text_carries_its_md5) {
    script({answer(200)});
    const auto result = run<Result>([this]() { return bucket().put_text("k", "hello", in(60s)); });
    EXPECT_EQ(result.outcome, Outcome::ok);
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "Content-MD5"), "XUFAKrxLKna5cZ2REBfFkg==");
    EXPECT_EQ(http.calls()[0].body, "hello");
}

TEST_F(BucketTest, a_head_tells_the_size) {
    script({answer(503), answer(200, "", {{"Content-Length", "7"}})});
    const auto result = head();
    EXPECT_EQ(result.outcome, Outcome::ok) << result.detail;
    EXPECT_EQ(result.size, 7u);
    EXPECT_EQ(http.calls()[1].method, "HEAD");
    auto silent = answer(200);
    silent.has_length = false;
    script({silent});
    EXPECT_EQ(head().outcome, Outcome::bad);
}

TEST_F(BucketTest, what_is_not_there_is_absent) {
    script({answer(404)});
    EXPECT_EQ(head().outcome, Outcome::absent);
    script({error(404, "NoSuchKey")});
    EXPECT_EQ(get().outcome, Outcome::absent);
    EXPECT_TRUE(sink->statuses.empty());
    EXPECT_EQ(http.calls().size(), 3u);
}

TEST_F(BucketTest, a_head_does_not_take_a_missing_bucket_for_a_missing_object) {
    script({answer(404), error(404, "NoSuchBucket")});
    EXPECT_EQ(head().outcome, Outcome::bad);
    script({answer(404), error(404, "NoSuchKey")});
    EXPECT_EQ(head().outcome, Outcome::absent);
}

TEST_F(BucketTest, a_404_for_another_reason_says_nothing_about_the_object) {
    for (const auto& said : {error(404, "NoSuchBucket"), error(404, "XAdminNoSuchUser"),
                             answer(404, "<html>nginx</html>")}) {
        script({said});
        EXPECT_EQ(get().outcome, Outcome::bad);
    }
}

TEST_F(BucketTest, a_refusal_is_not_tried_again_and_says_why_without_secrets) {
    script({error(403, "SignatureDoesNotMatch", {{"Date", "Thu, 01 Jan 2026 00:00:01 GMT"}})});
    const auto result = get();
    EXPECT_EQ(result.outcome, Outcome::refused);
    EXPECT_EQ(result.detail, "get k: 403 SignatureDoesNotMatch: Said so.");
    EXPECT_EQ(http.calls().size(), 1u);
}

TEST_F(BucketTest, slow_down_and_lost_connections_are_tried_again_after_growing_pauses) {
    script({error(503, "SlowDown"), broken(End::unreachable), error(400, "RequestTimeout"),
            answer(200, "x")});
    const TimePoint before = clock.now();
    const auto result = get();
    EXPECT_EQ(result.outcome, Outcome::ok) << result.detail;
    EXPECT_EQ(http.calls().size(), 4u);
    EXPECT_GE(clock.now() - before, 350ms);
    EXPECT_LE(clock.now() - before, 700ms);
}

TEST_F(BucketTest, tries_are_bounded) {
    script({error(500, "InternalError")});
    const auto result = get();
    EXPECT_EQ(result.outcome, Outcome::unavailable);
    EXPECT_EQ(result.detail, "get k: 500 InternalError: Said so.");
    EXPECT_EQ(http.calls().size(), 4u);
}

TEST_F(BucketTest, a_stop_ends_the_pause_between_two_tries) {
    script({error(503, "SlowDown", {{"Retry-After", "5"}})});
    const auto result = start<HeadResult>([this]() { return bucket().head("k", in(1h)); });
    settle(1s);
    ASSERT_FALSE(*result);
    bucket().stop();
    settle(0s);
    ASSERT_TRUE(*result);
    EXPECT_EQ((*result)->outcome, Outcome::unavailable);
    EXPECT_EQ(http.calls().size(), 1u);
}

TEST_F(BucketTest, the_deadline_is_kept_whatever_the_service_does) {
    script({error(503, "SlowDown", {{"Retry-After", "5"}})});
    TimePoint before = clock.now();
    EXPECT_EQ(head(2s).outcome, Outcome::unavailable);
    EXPECT_LE(clock.now() - before, 2s);
    EXPECT_EQ(http.calls().size(), 1u);

    auto hangs = answer(200);
    hangs.delay = kForever;
    script({hangs});
    before = clock.now();
    options.timeouts.response = 60s;
    const auto result = head(3s);
    EXPECT_EQ(result.outcome, Outcome::unavailable);
    EXPECT_EQ(clock.now() - before, 3s);
}

TEST_F(BucketTest, a_clock_that_is_wrong_is_set_by_the_refusal_for_all_that_follows) {
    http.handle([](const client::Call& call) {
        if (!date_of(call).starts_with("20260203T"))
            return error(403, "RequestTimeTooSkewed", {{"Date", "Tue, 03 Feb 2026 04:05:06 GMT"}});
        return answer(200, "x");
    });
    EXPECT_EQ(get().outcome, Outcome::ok);
    EXPECT_EQ(http.calls().size(), 2u);
    EXPECT_EQ(get().outcome, Outcome::ok);
    EXPECT_EQ(http.calls().size(), 3u);
    EXPECT_EQ(date_of(http.calls()[1]), "20260203T040506Z");
}

TEST_F(BucketTest, a_head_that_is_refused_with_a_far_date_sets_the_clock_too) {
    http.handle([](const client::Call& call) {
        const bool right = date_of(call).starts_with("20260203T");
        return answer(right ? 200 : 403, "", {{"Date", "Tue, 03 Feb 2026 04:05:06 GMT"}});
    });
    EXPECT_EQ(head().outcome, Outcome::ok);
    EXPECT_EQ(http.calls().size(), 2u);
}

TEST_F(BucketTest, an_expired_token_is_renewed_once) {
    int asked = 0;
    credentials.configured.reset();
    credentials.environment = [&](const std::string& name) -> std::optional<std::string> {
        if (name == "AWS_ACCESS_KEY_ID") return "AKID" + std::to_string(++asked);
        return name == "AWS_SECRET_ACCESS_KEY" || name == "AWS_SESSION_TOKEN"
                   ? std::optional(std::string("x"))
                   : std::nullopt;
    };
    http.handle([](const client::Call& call) {
        const bool fresh = call.authorization.reveal().find("=AKID2/") != std::string::npos;
        return fresh ? answer(200, "x") : error(400, "ExpiredToken");
    });
    EXPECT_EQ(get().outcome, Outcome::ok);
    EXPECT_EQ(http.calls().size(), 2u);

    http.handle([](const client::Call&) { return error(400, "ExpiredToken"); });
    EXPECT_EQ(get().outcome, Outcome::refused);
    EXPECT_EQ(http.calls().size(), 4u);
}

TEST_F(BucketTest, the_region_that_the_service_names_is_taken) {
    options.endpoint.clear();
    options.path_style = false;
    http.handle([](const client::Call& call) {
        if (call.url.find(".us-west-2.") == std::string::npos)
            return error(301, "PermanentRedirect", {{"x-amz-bucket-region", "us-west-2"}});
        return answer(200, "x");
    });
    EXPECT_EQ(get().outcome, Outcome::ok);
    ASSERT_EQ(http.calls().size(), 2u);
    EXPECT_EQ(http.calls()[1].url, "https://images.s3.us-west-2.amazonaws.com/k");
    EXPECT_EQ(get().outcome, Outcome::ok);
    EXPECT_EQ(http.calls().size(), 3u);
}

TEST_F(BucketTest, the_region_of_a_malformed_header_is_taken) {
    http.handle([](const client::Call& call) {
        if (call.authorization.reveal().find("/us-west-2/") == std::string::npos)
            return error(400, "AuthorizationHeaderMalformed", {}, "<Region>us-west-2</Region>");
        return answer(200, "x");
    });
    EXPECT_EQ(get().outcome, Outcome::ok);
    EXPECT_EQ(http.calls()[1].url, "https://s3.lab:9000/images/k");
}

TEST_F(BucketTest, a_region_that_is_no_word_is_not_taken) {
    script({error(301, "PermanentRedirect", {{"x-amz-bucket-region", "evil.example/"}})});
    EXPECT_EQ(get().outcome, Outcome::bad);
    EXPECT_EQ(http.calls().size(), 1u);
}

TEST_F(BucketTest, without_credentials_nothing_is_asked) {
    credentials.configured.reset();
    credentials.imds_endpoint.clear();
    const auto result = get();
    EXPECT_EQ(result.outcome, Outcome::refused);
    EXPECT_NE(result.detail.find("no S3 credentials: configuration: nothing there"),
              std::string::npos)
        << result.detail;
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(BucketTest, removing_what_is_not_there_is_done) {
    script({error(404, "NoSuchKey")});
    const auto removed = run<Result>([this]() { return bucket().remove("k", in(30s)); });
    EXPECT_EQ(removed.outcome, Outcome::ok);
    script({error(404, "NoSuchUpload")});
    const auto aborted = run<Result>([this]() { return bucket().abort("k", "id", in(30s)); });
    EXPECT_EQ(aborted.outcome, Outcome::ok);
}

TEST_F(BucketTest, many_are_removed_in_one_request_and_the_rest_is_told) {
    options.prefix = "pool";
    script({answer(200,
                   "<DeleteResult><Error><Key>pool/b</Key><Code>InternalError</Code></Error>"
                   "<Error><Key>pool/c</Key><Code>NoSuchKey</Code></Error></DeleteResult>")});
    std::vector<std::string> failed;
    const auto result =
        run<Result>([&]() { return bucket().remove_many({"a&", "b", "c"}, &failed, in(30s)); });
    EXPECT_EQ(result.outcome, Outcome::ok);
    EXPECT_EQ(result.detail, "remove_many pool/b: InternalError ");
    EXPECT_EQ(failed, std::vector<std::string>{"b"});
    ASSERT_EQ(http.calls().size(), 1u);
    const auto& call = http.calls()[0];
    EXPECT_EQ(call.url, "https://s3.lab:9000/images?delete=");
    EXPECT_EQ(FakeHttp::field(call, "Content-MD5"), md5_base64(call.body));
    EXPECT_NE(call.body.find("<Key>pool/a&amp;</Key>"), std::string::npos);
}

TEST_F(BucketTest, when_the_request_fails_all_of_the_many_have_failed) {
    script({error(500, "InternalError")});
    std::vector<std::string> failed;
    const auto result =
        run<Result>([&]() { return bucket().remove_many({"a", "b"}, &failed, in(30s)); });
    EXPECT_EQ(result.outcome, Outcome::unavailable);
    EXPECT_EQ(failed, (std::vector<std::string>{"a", "b"}));
    const auto none = run<Result>([&]() { return bucket().remove_many({}, &failed, in(30s)); });
    EXPECT_EQ(none.outcome, Outcome::ok);
    const std::vector<std::string> many(kMaxRemoved + 1, "k");
    const auto over = run<Result>([&]() { return bucket().remove_many(many, nullptr, in(30s)); });
    EXPECT_EQ(over.outcome, Outcome::bad);
    EXPECT_EQ(http.calls().size(), 4u);
}

TEST_F(BucketTest, a_list_is_of_the_keys_below_the_prefix) {
    options.prefix = "pool";
    script({answer(200,
                   "<ListBucketResult><IsTruncated>true</IsTruncated>"
                   "<NextContinuationToken>n</NextContinuationToken><Contents><Key>pool/blobs/a"
                   "</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>3</Size>"
                   "</Contents></ListBucketResult>")});
    const auto list = run<ListResult>([this]() { return bucket().list("blobs/", "t+", in(30s)); });
    EXPECT_EQ(list.outcome, Outcome::ok) << list.detail;
    ASSERT_EQ(list.objects.size(), 1u);
    EXPECT_EQ(list.objects[0].key, "blobs/a");
    EXPECT_EQ(list.objects[0].size, 3u);
    EXPECT_EQ(list.next, "n");
    EXPECT_EQ(
        http.calls()[0].url,
        "https://s3.lab:9000/images?continuation-token=t%2B&list-type=2&prefix=pool%2Fblobs%2F");
}

TEST_F(BucketTest, a_list_that_is_none_is_bad_and_never_empty) {
    script({answer(200, "<html></html>")});
    EXPECT_EQ(run<ListResult>([this]() { return bucket().list("", "", in(30s)); }).outcome,
              Outcome::bad);
    script({error(404, "NoSuchBucket")});
    EXPECT_EQ(run<ListResult>([this]() { return bucket().list("", "", in(30s)); }).outcome,
              Outcome::bad);
}

TEST_F(BucketTest, a_presigned_address_names_endpoint_bucket_and_key) {
    const auto address = run<std::optional<std::string>>(
        [this]() { return bucket().presigned_get("a b", 300s, in(30s)); });
    ASSERT_TRUE(address);
    EXPECT_TRUE(address->starts_with("https://s3.lab:9000/images/a%20b?X-Amz-Algorithm="))
        << *address;
    EXPECT_NE(address->find("&X-Amz-Expires=300&"), std::string::npos);
    EXPECT_TRUE(http.calls().empty());
}

TEST_F(BucketTest, what_cannot_be_a_bucket_is_a_wrong_configuration) {
    options.endpoint = "ftp://x";
    EXPECT_THROW(bucket(), Failure);
}

}  // namespace
}  // namespace weir::s3
