// The promises of Bucket::get about ranges, receivers and broken bodies.
#include "base/failure.h"
#include "unit/s3/world.h"

namespace weir::s3 {
namespace {

class GetTest : public World {
protected:
    static FakeAnswer part(std::string range, std::string body) {
        return answer(206, std::move(body), {{"Content-Range", std::move(range)}});
    }
};

TEST_F(GetTest, the_whole_is_asked_for_without_a_range) {
    script({answer(200, "hello")});
    const auto result = get();
    EXPECT_EQ(result.outcome, Outcome::ok);
    EXPECT_EQ(result.bytes, 5u);
    EXPECT_FALSE(result.cut || result.stopped);
    EXPECT_EQ(sink->text, "hello");
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "Range"), "");
    EXPECT_TRUE(http.calls()[0].bulk);
}

TEST_F(GetTest, a_range_is_asked_for_and_signed) {
    script({part("bytes 5-9/20", "01234")});
    EXPECT_EQ(get(5, 9).outcome, Outcome::ok);
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "Range"), "bytes=5-9");
    EXPECT_NE(http.calls()[0].authorization.reveal().find("SignedHeaders=host;range;"),
              std::string::npos);
    script({part("bytes 5-5/6", "x")});
    EXPECT_EQ(get(5).outcome, Outcome::ok);
    EXPECT_EQ(FakeHttp::field(http.calls()[1], "Range"), "bytes=5-");
}

TEST_F(GetTest, another_range_than_asked_for_never_reaches_the_sink) {
    for (const auto& said : {answer(200, "the whole"), part("bytes 0-9/20", "x"),
                             part("bytes 5-10/20", "x"), part("bytes 5-4/20", ""),
                             part("bytes 5", "x"), part("nonsense", "x"), answer(206, "x")}) {
        script({said});
        const auto result = get(5, 9);
        EXPECT_EQ(result.outcome, Outcome::bad);
        EXPECT_FALSE(result.stopped || result.cut);
    }
    script({part("bytes 0-0/20", "x")});
    EXPECT_EQ(get().outcome, Outcome::bad);
    EXPECT_TRUE(sink->statuses.empty());
}

TEST_F(GetTest, more_bytes_than_the_range_has_are_refused) {
    script({part("bytes 5-9/20", "012345")});
    const auto result = get(5, 9);
    EXPECT_EQ(result.outcome, Outcome::bad);
    EXPECT_EQ(sink->text, "");
}

TEST_F(GetTest, only_a_good_answer_reaches_the_sink) {
    script({error(503, "SlowDown"), broken(End::cut), answer(200, "hello")});
    EXPECT_EQ(get().outcome, Outcome::ok);
    EXPECT_EQ(sink->statuses, std::vector<int>{200});
    EXPECT_EQ(sink->text, "hello");
}

TEST_F(GetTest, a_body_that_ends_early_is_told_and_not_asked_for_again) {
    for (const End end : {End::cut, End::stalled}) {
        auto half = answer(200, "hel", {{"Content-Length", "5"}});
        half.end = end;
        half.detail = "reset";
        script({half});
        const auto result = get();
        EXPECT_EQ(result.outcome, Outcome::ok);
        EXPECT_TRUE(result.cut);
        EXPECT_EQ(result.bytes, 3u);
        EXPECT_EQ(result.detail, "reset");
    }
    EXPECT_EQ(http.calls().size(), 2u);
}

TEST_F(GetTest, an_exception_of_the_sink_stops_it_and_is_told) {
    script({answer(200, "hello")});
    sink->throws = true;
    const auto result = get();
    EXPECT_EQ(result.outcome, Outcome::ok);
    EXPECT_TRUE(result.stopped);
    EXPECT_FALSE(result.cut);
    EXPECT_EQ(result.detail, "the disk is full");
    EXPECT_EQ(result.bytes, 0u);
}

TEST_F(GetTest, a_sink_that_has_enough_stops_it) {
    script({answer(200, "hello")});
    sink->at_data = BodyAction::stop;
    const auto result = get();
    EXPECT_EQ(result.outcome, Outcome::ok);
    EXPECT_TRUE(result.stopped);
    EXPECT_EQ(http.calls().size(), 1u);
}

TEST_F(GetTest, the_deadline_is_for_the_head_alone) {
    auto slow = answer(200, "hello");
    slow.body_delay = 60s;
    script({slow});
    const auto result = get(0, {}, 5s);
    EXPECT_EQ(result.outcome, Outcome::ok);
    EXPECT_EQ(sink->text, "hello");

    auto hangs = answer(200, "hello");
    hangs.delay = 9s;
    script({hangs});
    const TimePoint before = clock.now();
    EXPECT_EQ(get(0, {}, 5s).outcome, Outcome::unavailable);
    EXPECT_EQ(clock.now() - before, 5s);
}

TEST_F(GetTest, its_handle_ends_it_before_and_after_the_head) {
    auto slow = answer(200, "hello");
    slow.delay = 5s;
    slow.body_delay = 5s;
    script({slow});
    for (const Duration at : {2s, 7s}) {
        const auto out = start<GetResult>([this]() {
            return bucket().get(
                "k", 0, {}, sink, [this](auto given) { handle = std::move(given); }, in(30s));
        });
        settle(0s);
        loop.at(clock.now() + at, [this] { handle->cancel(); });
        settle();
        ASSERT_TRUE(out->has_value());
        EXPECT_EQ((*out)->stopped, at == 7s);
        EXPECT_EQ((*out)->outcome, at == 7s ? Outcome::ok : Outcome::unavailable);
        EXPECT_FALSE((*out)->cut);
    }
    EXPECT_EQ(http.calls().size(), 2u);
}

TEST_F(GetTest, a_handle_that_was_pulled_ends_the_pause_between_tries_too) {
    script({error(503, "SlowDown", {{"Retry-After", "5"}})});
    const auto out = start<GetResult>([this]() {
        return bucket().get(
            "k", 0, {}, sink, [this](auto given) { handle = std::move(given); }, in(30s));
    });
    settle(1s);
    handle->cancel();
    settle();
    EXPECT_EQ((*out)->outcome, Outcome::unavailable);
    EXPECT_EQ(http.calls().size(), 1u);
}

}  // namespace
}  // namespace weir::s3
