// A Bucket against a real S3 server.
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "async/scope.h"
#include "base/failure.h"
#include "base/text.h"
#include "client/curl_client.h"
#include "s3/bucket.h"
#include "s3/sums.h"
#include "support/fixed_names.h"
#include "support/real_loop.h"
#include "support/versitygw.h"

namespace weir::s3 {
namespace {

using namespace std::chrono_literals;
using client::BodyAction;
using test::RealLoop;
using test::Versitygw;

struct Collected : client::Sink {
    int status = 0;
    std::string text;
    BodyAction on_head(const client::ReplyHead& head) override {
        status = head.status;
        return BodyAction::go_on;
    }
    BodyAction on_data(std::span<const std::byte> data) override {
        text += as_text(data);
        return BodyAction::go_on;
    }
};

std::string noise(size_t bytes) {
    std::mt19937_64 engine(bytes);
    std::string out(bytes, '\0');
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        const uint64_t word = engine();
        std::memcpy(out.data() + i, &word, 8);
    }
    return out;
}

class RealS3 : public ::testing::Test {
protected:
    static void SetUpTestSuite() { server = new Versitygw({"images", "dotted.images"}); }
    static void TearDownTestSuite() {
        delete server;
        server = nullptr;
    }

    RealS3() {
        options.bucket = "images";
        options.region = Versitygw::kRegion;
        options.endpoint = server->url();
        options.path_style = true;
        options.max_attempts = 1;
        credentials.configured = Credentials{
            Versitygw::kAccessKey, Secret(Versitygw::kSecretKey), {}, Credentials::kNoExpiry};
    }
    ~RealS3() override {
        made.reset();
        real.run([this]() { return scope.join(); });
    }

    Bucket& bucket() {
        if (!made) {
            client.emplace(client::CurlOptions{
                .names = test::fixed_names(
                    {{fmt::format("images.{}", Versitygw::kDomain), {"127.0.0.1"}}})});
            chain.emplace(credentials, *client, pool, system_clock(), scope);
            made.emplace(options, *client, *chain, pool, system_clock(), random);
        }
        return *made;
    }
    static TimePoint soon() { return system_clock().now() + 30s; }

    std::shared_ptr<File> file(const std::string& text) {
        const std::string path = directory / fmt::format("file-{}", ++files);
        auto out = posix_files().create(path);
        out->write_at(0, as_bytes(text));
        return out;
    }
    Result put(const std::string& key, const std::string& text, const std::string& sum = {}) {
        return real.run([=, this]() {
            return bucket().put(
                key, file(text), text.size(), sum,
                [this](std::string id) { return note(std::move(id)); }, soon());
        });
    }
    Result put_text(const std::string& key, const std::string& text) {
        return real.run([=, this]() { return bucket().put_text(key, text, soon()); });
    }
    GetResult get(const std::string& key, uint64_t first = 0, std::optional<uint64_t> last = {}) {
        sink = std::make_shared<Collected>();
        return real.run([=, this]() { return bucket().get(key, first, last, sink, {}, soon()); });
    }
    HeadResult head(const std::string& key) {
        return real.run([=, this]() { return bucket().head(key, soon()); });
    }
    ListResult list(const std::string& prefix, const std::string& continuation = {}) {
        return real.run([=, this]() { return bucket().list(prefix, continuation, soon()); });
    }
    Result remove_many(const std::vector<std::string>& keys, std::vector<std::string>* failed) {
        return real.run([=, this]() { return bucket().remove_many(keys, failed, soon()); });
    }
    std::string presigned(const std::string& key, std::chrono::seconds valid = 60s) {
        return real.run([=, this]() { return bucket().presigned_get(key, valid, soon()); })
            .value_or("");
    }
    // As anyone may: without credentials.
    client::ReplyEnd fetch(const std::string& url,
                           std::vector<std::pair<std::string, std::string>> fields = {}) {
        sink = std::make_shared<Collected>();
        client::Call call;
        call.url = url;
        call.fields = std::move(fields);
        call.guard.enabled = false;
        return real.run([=, this]() { return client->send(call, sink); });
    }

    static Versitygw* server;
    TemporaryDirectory directory;
    RealLoop real;
    ThreadPool pool{"pool", 2};
    Scope scope{"credentials"};
    SeededRandom random{7};
    std::optional<client::CurlClient> client;
    BucketOptions options;
    CredentialOptions credentials;
    std::optional<CredentialChain> chain;
    std::optional<Bucket> made;
    std::shared_ptr<Collected> sink;
    std::string upload_id;
    Task<> note(std::string id) {
        upload_id = std::move(id);
        co_return;
    }
    int files = 0;
};
Versitygw* RealS3::server = nullptr;

TEST_F(RealS3, an_object_goes_there_and_comes_back) {
    const std::string text = noise(300'000);
    EXPECT_EQ(put("blobs/sha256/ab/one", text, sha256_hex(text)).outcome, Outcome::ok);
    const auto there = head("blobs/sha256/ab/one");
    EXPECT_EQ(there.outcome, Outcome::ok) << there.detail;
    EXPECT_EQ(there.size, text.size());
    const auto got = get("blobs/sha256/ab/one");
    EXPECT_EQ(got.outcome, Outcome::ok) << got.detail;
    EXPECT_EQ(got.bytes, text.size());
    EXPECT_EQ(sink->status, 200);
    EXPECT_TRUE(sink->text == text);
    EXPECT_EQ(real.run([this]() { return bucket().remove("blobs/sha256/ab/one", soon()); }).outcome,
              Outcome::ok);
    EXPECT_EQ(head("blobs/sha256/ab/one").outcome, Outcome::absent);
    EXPECT_EQ(get("blobs/sha256/ab/one").outcome, Outcome::absent);
    EXPECT_EQ(real.run([this]() { return bucket().remove("blobs/sha256/ab/one", soon()); }).outcome,
              Outcome::ok);
}

TEST_F(RealS3, small_texts_and_empty_files_too) {
    EXPECT_EQ(put_text("note", "hello").outcome, Outcome::ok);
    EXPECT_EQ(get("note").outcome, Outcome::ok);
    EXPECT_EQ(sink->text, "hello");
    EXPECT_EQ(put("empty", "").outcome, Outcome::ok);
    EXPECT_EQ(head("empty").size, 0u);
    EXPECT_EQ(get("empty").outcome, Outcome::ok);
    EXPECT_EQ(sink->text, "");
}

TEST_F(RealS3, the_server_refuses_bytes_that_are_not_those_of_the_sum) {
    const auto result = put("wrong", "hello", sha256_hex("other"));
    EXPECT_EQ(result.outcome, Outcome::bad) << result.detail;
    EXPECT_EQ(head("wrong").outcome, Outcome::absent);
}

TEST_F(RealS3, ranges_are_exact) {
    const std::string text = noise(100'000);
    ASSERT_EQ(put("ranged", text).outcome, Outcome::ok);
    struct Case {
        uint64_t first;
        std::optional<uint64_t> last;
    };
    for (const auto& [first, last] : {Case{0, 0}, Case{5, 9}, Case{99'999, {}}, Case{50'000, {}},
                                      Case{0, 99'999}, Case{99'990, 500'000}}) {
        const auto got = get("ranged", first, last);
        EXPECT_EQ(got.outcome, Outcome::ok) << got.detail;
        EXPECT_EQ(sink->status, 206);
        EXPECT_TRUE(sink->text == text.substr(first, last ? *last - first + 1 : text.npos))
            << first;
    }
    EXPECT_EQ(get("ranged", 100'000).outcome, Outcome::bad);
}

TEST_F(RealS3, odd_keys_are_keys_like_any_other) {
    options.prefix = "odd";
    const std::vector<std::string> keys = {"a b",       "a+b",        "a=b&c",
                                           "a%b",       "100%25",     "ü/ключ",
                                           "a~b-c_d.e", "quote'\"<>", "#[]@!$()*,;:"};
    for (const auto& key : keys) {
        EXPECT_EQ(put_text(key, key).outcome, Outcome::ok) << key;
        EXPECT_EQ(head(key).size, key.size()) << key;
        EXPECT_EQ(get(key, 1).outcome, Outcome::ok) << key;
        EXPECT_EQ(sink->text, key.substr(1));
        EXPECT_EQ(fetch(presigned(key)).head.status, 200) << key;
        EXPECT_EQ(sink->text, key);
    }
    const auto listed = list("");
    EXPECT_EQ(listed.objects.size(), keys.size()) << listed.detail;
    for (const auto& object : listed.objects)
        EXPECT_NE(std::ranges::find(keys, object.key), keys.end()) << object.key;
    std::vector<std::string> failed;
    EXPECT_EQ(remove_many(keys, &failed).outcome, Outcome::ok);
    EXPECT_TRUE(list("").objects.empty());
}

TEST_F(RealS3, a_hundred_megabytes_go_up_in_parts) {
    options.part_bytes = 16 << 20;
    const std::string text = noise(100'000'003);
    const auto result = put("large", text);
    EXPECT_EQ(result.outcome, Outcome::ok) << result.detail;
    EXPECT_NE(upload_id, "");
    EXPECT_EQ(head("large").size, text.size());
    EXPECT_EQ(get("large").outcome, Outcome::ok);
    EXPECT_TRUE(sink->text == text);
    EXPECT_EQ(get("large", 50'000'000, 50'000'099).outcome, Outcome::ok);
    EXPECT_TRUE(sink->text == text.substr(50'000'000, 100));
}

TEST_F(RealS3, an_upload_that_was_left_behind_is_aborted_by_its_id) {
    options.single_put_bytes = 1;
    options.part_bytes = 5 << 20;
    const auto short_file = file(noise(1 << 20));
    const auto result = real.run([&]() {
        return bucket().put(
            "half", short_file, 12 << 20, "",
            [this](std::string id) { return note(std::move(id)); }, soon());
    });
    EXPECT_EQ(result.outcome, Outcome::bad);
    EXPECT_EQ(head("half").outcome, Outcome::absent);
    ASSERT_NE(upload_id, "");
    const auto gone = real.run([this]() { return bucket().abort("half", upload_id, soon()); });
    EXPECT_EQ(gone.outcome, Outcome::ok) << gone.detail;
}

TEST_F(RealS3, uploads_that_were_left_are_listed_under_the_prefix_until_they_are_aborted) {
    options.prefix = "left";
    options.single_put_bytes = 1;
    options.part_bytes = 5 << 20;
    // It never comes to its end: the listing is made while the id is being written down.
    UploadsResult open, elsewhere;
    const auto whole = file(noise(6 << 20));
    real.run([&]() {
        return bucket().put(
            "blobs/half", whole, 6 << 20, "",
            [&](std::string id) -> Task<> {
                upload_id = std::move(id);
                open = co_await bucket().list_uploads("blobs/", {}, soon());
                elsewhere = co_await bucket().list_uploads("tags/", {}, soon());
            },
            soon());
    });
    ASSERT_EQ(open.outcome, Outcome::ok) << open.detail;
    ASSERT_EQ(open.uploads.size(), 1u);
    EXPECT_EQ(open.uploads[0].key, "blobs/half");
    EXPECT_EQ(open.uploads[0].upload_id, upload_id);
    EXPECT_LT(system_clock().wall() - open.uploads[0].started, 1min);
    EXPECT_EQ(elsewhere.outcome, Outcome::ok) << elsewhere.detail;
    EXPECT_TRUE(elsewhere.uploads.empty());
    const auto after = real.run([&]() { return bucket().list_uploads("blobs/", {}, soon()); });
    EXPECT_TRUE(after.uploads.empty());
}

TEST_F(RealS3, a_list_comes_in_pages) {
    options.prefix = "pages";
    for (int i = 0; i < 1005; ++i)
        std::filesystem::create_directories(server->bucket_path("images") + "/pages/a");
    for (int i = 0; i < 1005; ++i)
        std::ofstream(fmt::format("{}/pages/a/{:04}", server->bucket_path("images"), i)) << "x";
    const auto first = list("a/");
    EXPECT_EQ(first.outcome, Outcome::ok) << first.detail;
    ASSERT_EQ(first.objects.size(), 1000u);
    EXPECT_EQ(first.objects[0].key, "a/0000");
    EXPECT_EQ(first.objects[0].size, 1u);
    EXPECT_LT(system_clock().wall() - first.objects[0].modified, 10min);
    ASSERT_NE(first.next, "");
    const auto second = list("a/", first.next);
    EXPECT_EQ(second.objects.size(), 5u);
    EXPECT_EQ(second.next, "");
    EXPECT_TRUE(list("b/").objects.empty());
}

TEST_F(RealS3, a_thousand_are_removed_with_those_that_are_not_there) {
    options.prefix = "many";
    std::filesystem::create_directories(server->bucket_path("images") + "/many");
    std::vector<std::string> keys;
    for (size_t i = 0; i < kMaxRemoved; ++i) {
        keys.push_back(fmt::format("{:04}", i));
        if (i % 2 == 0)
            std::ofstream(fmt::format("{}/many/{:04}", server->bucket_path("images"), i)) << "x";
    }
    std::vector<std::string> failed;
    const auto result = remove_many(keys, &failed);
    EXPECT_EQ(result.outcome, Outcome::ok) << result.detail;
    EXPECT_TRUE(failed.empty());
    EXPECT_TRUE(list("").objects.empty());
}

TEST_F(RealS3, a_wrong_secret_is_refused) {
    credentials.configured->secret_key = Secret("wrong");
    for (const auto& result :
         {Result(put_text("x", "y")), Result(head("x")), Result(get("x")), Result(list(""))})
        EXPECT_EQ(result.outcome, Outcome::refused) << result.detail;
}

TEST_F(RealS3, an_unknown_access_key_is_never_taken_for_an_absent_object) {
    // This server answers it with a 404.
    credentials.configured = Credentials{"nobody", Secret("wrong"), {}, Credentials::kNoExpiry};
    for (const auto& result : {Result(get("x")), Result(head("x"))})
        EXPECT_EQ(result.outcome, Outcome::bad) << result.detail;
}

TEST_F(RealS3, a_bucket_that_is_not_there_is_no_absent_object) {
    options.bucket = "nowhere";
    EXPECT_EQ(put_text("x", "y").outcome, Outcome::bad);
    EXPECT_EQ(get("x").outcome, Outcome::bad);
    EXPECT_EQ(head("x").outcome, Outcome::bad);
    EXPECT_EQ(list("").outcome, Outcome::bad);
}

TEST_F(RealS3, a_presigned_address_serves_anyone_with_ranges_and_only_as_signed) {
    ASSERT_EQ(put_text("signed", "0123456789").outcome, Outcome::ok);
    const std::string address = presigned("signed");
    EXPECT_EQ(fetch(address).head.status, 200);
    EXPECT_EQ(sink->text, "0123456789");
    EXPECT_EQ(fetch(address, {{"Range", "bytes=2-4"}}).head.status, 206);
    EXPECT_EQ(sink->text, "234");
    std::string forged = address;
    forged.back() = forged.back() == '0' ? '1' : '0';
    EXPECT_EQ(fetch(forged).head.status, 403);
    std::string other = address;
    other.replace(other.find("/signed?"), 8, "/signee?");
    EXPECT_EQ(fetch(other).head.status, 403);
    EXPECT_EQ(fetch(server->url() + "/images/signed").head.status, 403);
}

TEST_F(RealS3, the_bucket_may_stand_in_the_hosts_name) {
    options.path_style = false;
    options.endpoint = fmt::format("http://{}:{}", Versitygw::kDomain, server->port());
    EXPECT_EQ(put_text("virtual/a b", "hello").outcome, Outcome::ok);
    EXPECT_EQ(get("virtual/a b", 1, 3).outcome, Outcome::ok);
    EXPECT_EQ(sink->text, "ell");
    EXPECT_EQ(list("virtual/").objects.size(), 1u);
    EXPECT_EQ(fetch(presigned("virtual/a b")).head.status, 200);
    EXPECT_TRUE(std::filesystem::exists(server->bucket_path("images") + "/virtual/a b"));
    EXPECT_EQ(real.run([this]() { return bucket().remove("virtual/a b", soon()); }).outcome,
              Outcome::ok);
}

TEST_F(RealS3, a_bucket_with_a_dot_is_reached_by_its_path) {
    options.bucket = "dotted.images";
    EXPECT_EQ(put_text("x", "y").outcome, Outcome::ok);
    EXPECT_EQ(list("").objects.size(), 1u);
}

TEST_F(RealS3, another_region_is_found_out) {
    options.region = "us-west-2";
    options.max_attempts = 4;
    const auto result = put_text("region", "x");
    EXPECT_EQ(result.outcome, Outcome::ok) << result.detail;
}

// This machine's clock, an hour late.
class LateClock : public Clock {
public:
    TimePoint now() const override { return system_clock().now(); }
    WallTime wall() const override { return system_clock().wall() - 1h; }
};

TEST_F(RealS3, a_clock_that_is_an_hour_late_is_found_out) {
    LateClock late;
    bucket();
    made.emplace(options, *client, *chain, pool, late, random);
    const auto result = put_text("late", "x");
    EXPECT_EQ(result.outcome, Outcome::ok) << result.detail;
    EXPECT_EQ(head("late").outcome, Outcome::ok);
    made.emplace(options, *client, *chain, pool, late, random);
    EXPECT_EQ(head("late").outcome, Outcome::ok);
    EXPECT_EQ(fetch(presigned("late")).head.status, 200);
    made.reset();
}

TEST_F(RealS3, while_it_is_away_it_is_unavailable_and_then_it_is_back) {
    ASSERT_EQ(put_text("stays", "x").outcome, Outcome::ok);
    server->stop();
    EXPECT_EQ(get("stays").outcome, Outcome::unavailable);
    EXPECT_EQ(put("more", noise(100'000)).outcome, Outcome::unavailable);
    server->start();
    EXPECT_EQ(get("stays").outcome, Outcome::ok);
    EXPECT_EQ(put("more", noise(100'000)).outcome, Outcome::ok);
}

}  // namespace
}  // namespace weir::s3
