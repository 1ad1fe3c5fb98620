// A head is a promise: it leaves when all that was asked for is here, or an origin has begun to
// give what leads to it; else an error comes in its place, while the client may still go elsewhere.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class PromiseTest : public Lab {
protected:
    PromiseTest() { options.upstream.breaker_failures = 1000; }
    // The first part of a blob is here, and nobody is at it.
    oci::Digest half() {
        const auto digest = blob(1000 * kKib);
        EXPECT_TRUE(part(digest, *read(digest, {{0, 499'999}}), 0, 500'000));
        return digest;
    }
    void refused(const oci::Digest& digest, std::vector<WantedRange> ranges, const char* what) {
        const auto reading = read(digest, std::move(ranges));
        EXPECT_TRUE(reading->failed) << what;
        EXPECT_FALSE(reading->size) << what << ": a head went out";
        EXPECT_LE(reading->ended - reading->began, 10s) << what;
    }
};

TEST_F(PromiseTest, bytes_that_nobody_can_give_are_refused_before_the_head) {
    boot();
    for (const Mood mood : {Mood::fails, Mood::refuses, Mood::hangs, Mood::denies, Mood::rejects,
                            Mood::throttles, Mood::busy}) {
        mirror().mood = Mood::well;
        wait(301s);
        const auto digest = half();
        mirror().mood = mood;
        const char* name = sim::mood_name(mood);
        refused(digest, {}, name);
        refused(digest, {{600'000, std::nullopt}}, name);
        refused(digest, {{499'000, 600'000}}, name);
        refused(digest, {{std::nullopt, 1000}}, name);
        EXPECT_TRUE(part(digest, *read(digest, {{1000, 1999}}), 1000, 1000))
            << name << ": what is here needs nobody";
    }
}

TEST_F(PromiseTest, after_a_restart_too) {
    boot();
    const auto digest = half();
    restart();
    mirror().mood = Mood::fails;
    refused(digest, {}, "the whole");
    EXPECT_TRUE(part(digest, *read(digest, {{1000, 1999}}), 1000, 1000));
    mirror().mood = Mood::well;
    wait(301s);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(PromiseTest, whoever_joins_while_the_origin_is_away_waits_for_its_word) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}};
    const auto first = start(digest);
    until([&] { return first->bytes.size() > 50 * kKib; });
    mirror().mood = Mood::fails;
    wait(500ms);
    const auto joined = start(digest);
    wait(500ms);
    EXPECT_FALSE(joined->size);
    mirror().mood = Mood::well;
    finish(*joined);
    EXPECT_TRUE(whole(digest, *joined)) << joined->why;
    EXPECT_TRUE(whole(digest, *first));
}

TEST_F(PromiseTest, where_every_origin_says_no_to_the_rest_the_reader_is_let_go) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}};
    const auto first = start(digest);
    until([&] { return first->bytes.size() > 50 * kKib; });
    mirror().mood = Mood::refuses;
    const TimePoint gone = clock.now();
    finish(*first);
    EXPECT_TRUE(first->failed);
    EXPECT_LE(clock.now() - gone, 5s);
    wait(100ms);
    EXPECT_GE(staged(digest), 100 * kKib) << "what came stays";
}

TEST_F(PromiseTest, nothing_in_place_of_a_blob_is_wrong_bytes) {
    options.mirrors = {2};
    boot();
    const auto digest = blob(100 * kKib);
    faults[0] = {{Fault::Kind::nothing, 0}};
    EXPECT_TRUE(whole(digest, *read(digest))) << "the next mirror has it";
    EXPECT_EQ(asks(What::blob).size(), 2u);
}

TEST_F(PromiseTest, nothing_from_the_only_upstream_is_an_error_and_not_kept) {
    boot();
    const auto digest = blob(100 * kKib);
    faults[0] = std::deque<Fault>(10, Fault{Fault::Kind::nothing, 0});
    refused(digest, {}, "the whole");
    refused(digest, {{0, 99}}, "a range");
    EXPECT_FALSE(stored(digest));
    faults[0].clear();
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(PromiseTest, a_head_that_says_nothing_is_no_size) {
    boot();
    const auto digest = blob(100 * kKib);
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        return ask.what == What::blob && ask.method == "HEAD" ? Fault{Fault::Kind::nothing, 0}
                                                              : Fault{};
    };
    EXPECT_EQ(head_fails(digest), std::nullopt) << "another request tells it";
    EXPECT_EQ(head_fails(blob(0)), std::nullopt);
}

TEST_F(PromiseTest, a_relay_of_nothing_is_refused) {
    options.limits.max_bytes = 10 * kKib;
    boot();
    const auto digest = blob(100 * kKib);
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        return ask.what == What::blob ? Fault{Fault::Kind::nothing, 0} : Fault{};
    };
    refused(digest, {}, "the whole");
    internet.fault = {};
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(PromiseTest, a_mirror_that_refuses_ranges_gives_the_whole_once_for_all_its_parts) {
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        return ask.what == What::blob && ask.ranged ? Fault{Fault::Kind::refuse_range, 0} : Fault{};
    };
    boot();
    const auto digest = blob(1000 * kKib);
    EXPECT_TRUE(part(digest, *read(digest, {{400'000, 400'099}}), 400'000, 100));
    wait(1s);
    EXPECT_EQ(asks(What::blob).size(), 2u);
    std::vector<std::shared_ptr<Reading>> readings;
    for (uint64_t first = 500'000; first < 900'000; first += 100'000)
        readings.push_back(start(digest, {{first, first + 99}}));
    for (const auto& reading : readings) finish(*reading);
    EXPECT_EQ(asks(What::blob).size(), 2u) << "all of it was kept";
    EXPECT_LE(given(digest).total, 1000 * kKib);
}

TEST_F(PromiseTest, a_cut_blob_of_a_mirror_that_refuses_ranges_is_read_again_from_its_start) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}, {Fault::Kind::refuse_range, 0}};
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    EXPECT_LE(reading->ended - reading->began, 1s);
    EXPECT_TRUE(stored(digest));
}

}  // namespace
}  // namespace weir::cache
