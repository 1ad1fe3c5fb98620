// The promises of Bucket::put about objects that go up in parts.
#include <map>

#include "base/failure.h"
#include "s3/sums.h"
#include "unit/s3/world.h"

namespace weir::s3 {
namespace {

constexpr uint64_t kPart = 5 << 20;

// An S3 that takes parts; each step can be told to go wrong.
class MultipartTest : public World {
protected:
    MultipartTest() {
        options.part_bytes = kPart;
        options.single_put_bytes = 1 << 20;
        options.parallel_parts = 3;
        http.handle([this](const client::Call& call) { return serve(call); });
    }

    FakeAnswer serve(const client::Call& call) {
        if (call.method == "HEAD")
            return there ? answer(200, "", {{"Content-Length", std::to_string(there_bytes)}})
                         : answer(404);
        if (call.url.ends_with("?uploads="))
            return answer(200,
                          "<InitiateMultipartUploadResult><UploadId>id/1</UploadId>"
                          "</InitiateMultipartUploadResult>");
        if (call.method == "DELETE") {
            ++aborted;
            return answer(204);
        }
        if (call.method == "POST") return completes ? completes() : done();
        const auto at = call.url.find("partNumber=") + 11;
        const int number = std::stoi(call.url.substr(at));
        if (on_part)
            if (auto said = on_part(number)) return *said;
        parts[number] = sent(call);
        EXPECT_EQ(FakeHttp::field(call, "x-amz-content-sha256"), sha256_hex(parts[number]));
        return answer(200, "", {{"ETag", "\"e" + std::to_string(number) + "\""}});
    }
    FakeAnswer done() {
        there = true;
        return answer(200,
                      "<CompleteMultipartUploadResult><ETag>x</ETag>"
                      "</CompleteMultipartUploadResult>");
    }
    std::string all() const {
        std::string out;
        for (const auto& [number, bytes] : parts) out += bytes;
        return out;
    }

    static std::string content() {
        std::string text;
        text.reserve(kPart * 4 + 5);
        while (text.size() < kPart * 4) text += "line " + std::to_string(text.size()) + "\n";
        text.resize(kPart * 4 + 3);
        return text;
    }

    const std::string text = content();  // five parts, the last of 3 bytes
    std::map<int, std::string> parts;
    std::function<std::optional<FakeAnswer>(int)> on_part;
    std::function<FakeAnswer()> completes;
    bool there = false;
    uint64_t there_bytes = kPart * 4 + 3;
    int aborted = 0;
};

TEST_F(MultipartTest, a_large_file_goes_up_in_parts_and_is_put_together) {
    options.storage_class = "GLACIER_IR";
    const auto result = put(text);
    EXPECT_EQ(result.outcome, Outcome::ok) << result.detail;
    EXPECT_EQ(upload_id, "id/1");
    EXPECT_EQ(parts.size(), 5u);
    EXPECT_TRUE(all() == text);
    EXPECT_EQ(aborted, 0);
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "x-amz-storage-class"), "GLACIER_IR");
    const auto& complete = http.calls().back();
    EXPECT_EQ(complete.url, "https://s3.lab:9000/images/k?uploadId=id%2F1");
    EXPECT_TRUE(complete.body.starts_with(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"e1\"</ETag></Part>"
        "<Part><PartNumber>2</PartNumber>"));
}

TEST_F(MultipartTest, parts_are_sent_side_by_side_and_no_more_than_allowed) {
    size_t most = 0;
    on_part = [&](int number) {
        most = std::max(most, http.running());
        auto slow = answer(200, "", {{"ETag", "e"}});
        slow.delay = std::chrono::seconds(number);
        parts[number] = "";
        return std::optional(slow);
    };
    EXPECT_EQ(put(text).outcome, Outcome::ok);
    EXPECT_EQ(most, 3u);
    EXPECT_EQ(parts.size(), 5u);
}

TEST_F(MultipartTest, a_part_is_tried_again_alone) {
    int fails = 2;
    on_part = [&](int number) -> std::optional<FakeAnswer> {
        if (number == 2 && fails-- > 0) return error(503, "SlowDown");
        return std::nullopt;
    };
    EXPECT_EQ(put(text).outcome, Outcome::ok);
    EXPECT_TRUE(all() == text);
    EXPECT_EQ(http.calls_to("partNumber=2").size(), 3u);
    EXPECT_EQ(http.calls_to("partNumber=1").size(), 1u);
}

TEST_F(MultipartTest, a_part_that_fails_ends_the_others_and_leaves_nothing_behind) {
    on_part = [&](int number) -> std::optional<FakeAnswer> {
        if (number == 2) return error(403, "AccessDenied");
        auto slow = answer(200);
        slow.delay = 8s;
        return slow;
    };
    const TimePoint before = clock.now();
    const auto result = put(text);
    EXPECT_EQ(result.outcome, Outcome::refused);
    EXPECT_LT(clock.now() - before, 2s);
    EXPECT_EQ(aborted, 1);
    EXPECT_LE(http.calls_to("partNumber").size(), 3u);
}

TEST_F(MultipartTest, past_the_deadline_it_is_aborted_all_the_same) {
    on_part = [](int) {
        auto hangs = answer(200);
        hangs.delay = kForever;
        return std::optional(hangs);
    };
    options.timeouts.response = 60s;
    EXPECT_EQ(put(text, "", 5s).outcome, Outcome::unavailable);
    EXPECT_EQ(aborted, 1);
}

TEST_F(MultipartTest, a_file_that_is_shorter_than_said_is_bad) {
    const auto file = std::make_shared<TextFile>(text);
    const auto result =
        run<Result>([&]() { return bucket().put("k", file, text.size() + 1, "", {}, in(60s)); });
    EXPECT_EQ(result.outcome, Outcome::bad);
    EXPECT_EQ(aborted, 1);
}

TEST_F(MultipartTest, an_upload_that_cannot_be_started_is_no_absent_object) {
    http.handle([](const client::Call&) { return answer(404); });
    EXPECT_EQ(put(text).outcome, Outcome::bad);
    http.handle([](const client::Call&) { return answer(200, "<html/>"); });
    EXPECT_EQ(put(text).outcome, Outcome::bad);
    EXPECT_EQ(upload_id, "");
}

TEST_F(MultipartTest, a_completion_that_fails_with_200_is_tried_again) {
    int fails = 1;
    completes = [&] { return fails-- > 0 ? error(200, "InternalError") : done(); };
    EXPECT_EQ(put(text).outcome, Outcome::ok);
    EXPECT_EQ(aborted, 0);
}

TEST_F(MultipartTest, a_completion_that_fails_for_good_is_aborted) {
    completes = [] { return error(200, "InvalidPart"); };
    const auto result = put(text);
    EXPECT_EQ(result.outcome, Outcome::bad);
    EXPECT_EQ(result.detail, "complete k: 200 InvalidPart: Said so.");
    EXPECT_EQ(aborted, 1);
    completes = [] { return answer(200, "<html/>"); };
    EXPECT_EQ(put(text).outcome, Outcome::bad);
    EXPECT_EQ(aborted, 2);
}

TEST_F(MultipartTest, a_completion_whose_answer_was_lost_is_found_out) {
    int tries = 0;
    completes = [&] {
        there = true;
        return ++tries == 1 ? broken(End::cut) : error(404, "NoSuchUpload");
    };
    EXPECT_EQ(put(text).outcome, Outcome::ok);
    EXPECT_EQ(tries, 2);
    EXPECT_EQ(aborted, 0);
}

TEST_F(MultipartTest, a_completion_that_was_lost_before_it_was_done_is_a_failure) {
    completes = [] { return broken(End::cut); };
    EXPECT_EQ(put(text).outcome, Outcome::unavailable);
    EXPECT_EQ(aborted, 1);
    completes = [&] {
        there = true;
        there_bytes = 5;  // another object's
        return broken(End::cut);
    };
    EXPECT_EQ(put(text).outcome, Outcome::unavailable);
}

TEST_F(MultipartTest, a_stop_ends_a_completion_that_is_never_answered_and_aborts_nothing) {
    completes = [] {
        auto hangs = answer(200);
        hangs.delay = kForever;
        return hangs;
    };
    const auto result = start<Result>([this]() {
        return bucket().put("k", std::make_shared<TextFile>(text), text.size(), "", {}, in(6h));
    });
    settle(1s);
    ASSERT_FALSE(*result);
    bucket().stop();
    settle(0s);
    ASSERT_TRUE(*result);
    EXPECT_EQ((*result)->outcome, Outcome::unavailable);
    EXPECT_EQ(aborted, 0);
    const size_t calls = http.calls().size();
    EXPECT_EQ(put(text).outcome, Outcome::unavailable);
    EXPECT_EQ(http.calls().size(), calls) << "nothing is begun after a stop";
}

TEST_F(MultipartTest, no_part_goes_before_the_id_is_written_down) {
    const auto file = std::make_shared<TextFile>(text);
    size_t parts_before = 1;
    const auto result = run<Result>([&]() {
        return bucket().put(
            "k", file, text.size(), "",
            [&](std::string) -> Task<> {
                co_await sleep_for(5s);
                parts_before = http.calls_to("partNumber").size();
            },
            in(60s));
    });
    EXPECT_EQ(result.outcome, Outcome::ok);
    EXPECT_EQ(parts_before, 0u);
}

TEST_F(MultipartTest, an_id_that_cannot_be_written_down_ends_the_upload) {
    const auto file = std::make_shared<TextFile>(text);
    const auto result = run<Result>([&]() {
        return bucket().put(
            "k", file, text.size(), "",
            [](std::string) -> Task<> {
                throw Failure(Kind::io, "no database");
                co_return;
            },
            in(60s));
    });
    EXPECT_EQ(result.outcome, Outcome::bad);
    EXPECT_EQ(result.detail, "no database");
    EXPECT_EQ(aborted, 1);
    EXPECT_TRUE(parts.empty());
}

}  // namespace
}  // namespace weir::s3
