// What upstreams do to a fetch, and what clients see of it: nothing, or a clear end.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class FetchFaultsTest : public Lab {
protected:
    void two_mirrors() { options.mirrors = {2}; }
};

TEST_F(FetchFaultsTest, a_cut_is_taken_up_with_a_range) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}, {Fault::Kind::cut, 100 * kKib}};
    EXPECT_TRUE(whole(digest, *read(digest)));
    const auto made = asks(What::blob);
    ASSERT_EQ(made.size(), 3u);
    EXPECT_FALSE(made[0].ranged);
    EXPECT_EQ(made[1].first, 100 * kKib);
    EXPECT_EQ(made[2].first, 200 * kKib);
    EXPECT_EQ(given(digest).total, 300 * kKib);
}

TEST_F(FetchFaultsTest, a_cut_is_taken_up_with_range_at_the_next_mirror) {
    two_mirrors();
    mirror(0).bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}};
    const auto reading = start(digest);
    until([&] { return reading->bytes.size() > 50 * kKib; });
    mirror(0).mood = Mood::refuses;
    finish(*reading);
    EXPECT_TRUE(whole(digest, *reading));
    const auto made = asks(What::blob);
    EXPECT_EQ(made.back().mirror, 1u);
    EXPECT_EQ(made.back().first, 100 * kKib);
    EXPECT_EQ(given(digest).total, 300 * kKib);
}

// Seed 12601: such a reader has its head when all bytes are here, so it comes between the wrong
// bytes and the new beginning.
TEST_F(FetchFaultsTest, a_reader_that_comes_when_the_bytes_are_known_to_be_wrong_is_given_none) {
    two_mirrors();
    options.longest_job = 20ms;
    boot();
    for (uint64_t size : {uint64_t{32}, 10 * kKib}) {
        const auto digest = blob(size);
        faults[0] = {{Fault::Kind::flip, 5}};
        const auto reading = read(digest, {{std::nullopt, 20 * kKib}});
        EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    }
}

// Seed 19626.
TEST_F(FetchFaultsTest, a_mirror_that_is_being_tried_again_serves_a_blob_in_segments) {
    options.fetch = {.segments = 4, .segment_bytes = 64 * kKib, .segment_min_bytes = 128 * kKib};
    boot();
    mirror().mood = Mood::fails;
    for (int i = 0; i < 10; ++i) read(blob(kKib));
    mirror().mood = Mood::well;
    mirror().bytes_per_second = 8 * kKib;  // half a second to the first piece
    wait(10min);
    const auto digest = blob(200 * kKib);
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    EXPECT_EQ(given(digest).total, 200 * kKib);
}

TEST_F(FetchFaultsTest, a_stalled_mirror_is_left) {
    two_mirrors();
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::stall, 100 * kKib}};
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading));
    EXPECT_LE(reading->ended - reading->began, 6s);
    const auto made = asks(What::blob);
    ASSERT_EQ(made.size(), 2u);
    EXPECT_EQ(made[1].mirror, 1u);
    EXPECT_EQ(made[1].first, 100 * kKib);
}

TEST_F(FetchFaultsTest, a_mirror_that_hangs_leaves_time_for_the_next) {
    two_mirrors();
    mirror(0).mood = Mood::hangs;
    boot();
    const auto digest = blob(10 * kKib);
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading));
    EXPECT_LE(reading->ended - reading->began, 5s);
}

TEST_F(FetchFaultsTest, a_mirror_that_lacks_the_blob_is_passed_over) {
    two_mirrors();
    boot();
    const auto digest = blob(10 * kKib);
    mirror(0).lacks.insert(digest);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchFaultsTest, the_last_byte_is_withheld_until_the_digest_is_right) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::flip, 299 * kKib}};
    const auto reading = read(digest);
    EXPECT_EQ(reading->failed, Kind::upstream_bad);
    EXPECT_LT(reading->bytes.size(), 300 * kKib);
    EXPECT_FALSE(stored(digest));
    EXPECT_EQ(staged(digest), 0u) << "and what was wrong is gone";
}

TEST_F(FetchFaultsTest, after_wrong_bytes_the_next_request_starts_anew) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::flip, 7}};
    EXPECT_EQ(read(digest)->failed, Kind::upstream_bad);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchFaultsTest, an_upstream_that_always_sends_wrong_bytes_is_no_missing_blob) {
    boot();
    const auto digest = blob(10 * kKib);
    for (int i = 0; i < 3; ++i) {
        faults[0] = {{Fault::Kind::flip, 7}};
        EXPECT_EQ(read(digest)->failed, Kind::upstream_bad);
        wait(1s);
    }
}

TEST_F(FetchFaultsTest, a_wrong_blob_is_dropped_and_a_second_mirror_heals) {
    two_mirrors();
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::flip, 7}, {Fault::Kind::flip, 7}};
    EXPECT_FALSE(read(digest)->complete) << "it had been shown bytes";
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(asks(What::blob).back().mirror, 1u);
}

TEST_F(FetchFaultsTest, nobody_notices_wrong_bytes_that_nobody_was_shown) {
    two_mirrors();
    boot();
    const auto digest = blob(60 * kKib);
    faults[0] = {{Fault::Kind::flip, 7}};
    // The client takes its time to ask for the first byte.
    const auto reading = start(digest, {}, {.bytes = 1});
    reading->leave = true;
    until([&] { return stored(digest); });
    EXPECT_EQ(asks(What::blob).back().mirror, 1u);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchFaultsTest, a_size_that_is_too_small_is_never_completed) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::less_length, 500}};
    EXPECT_EQ(read(digest)->failed, Kind::upstream_bad);
    EXPECT_FALSE(stored(digest));
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchFaultsTest, a_size_that_is_too_large_does_not_poison_what_was_kept) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::more_length, 500}};
    EXPECT_FALSE(read(digest)->complete);
    EXPECT_FALSE(stored(digest));
    until(
        [&] { return machine->cache().blob_now(machine->target(kLocal), digest) == std::nullopt; });
    const auto again = read(digest);
    EXPECT_TRUE(whole(digest, *again));
}

TEST_F(FetchFaultsTest, a_short_body_without_a_length_is_never_completed) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::short_body, 200 * kKib}};
    EXPECT_FALSE(read(digest)->complete);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchFaultsTest, a_part_from_another_offset_is_not_taken) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}, {Fault::Kind::wrong_offset, 0}};
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_TRUE(stored(digest));
}

TEST_F(FetchFaultsTest,
       a_mirror_without_ranges_is_read_from_its_start_and_nothing_is_written_twice) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}, {Fault::Kind::ignore_range, 0}};
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_TRUE(stored(digest));
}

TEST_F(FetchFaultsTest, a_missing_blob_is_unknown_and_remembered_for_its_time) {
    options.freshness.negative_ttl = 10s;
    boot();
    const auto digest = blob(10 * kKib, "");
    EXPECT_EQ(read(digest)->failed, Kind::blob_unknown);
    EXPECT_EQ(read(digest)->failed, Kind::blob_unknown);
    EXPECT_EQ(asks(What::blob).size(), 1u);
    content.put_blob(0, kRepo, digest);
    wait(10s);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchFaultsTest, no_answer_is_never_a_missing_blob) {
    const std::pair<Mood, Kind> moods[] = {
        {Mood::denies, Kind::upstream_refused}, {Mood::rejects, Kind::upstream_refused},
        {Mood::throttles, Kind::too_many},      {Mood::busy, Kind::too_many},
        {Mood::fails, Kind::upstream_bad},      {Mood::refuses, Kind::upstream_unreachable},
        {Mood::hangs, Kind::upstream_timeout}};
    options.upstream.breaker_failures = 1000;
    boot();
    for (const auto& [mood, kind] : moods) {
        mirror().mood = mood;
        const auto reading = read(blob(1000));
        EXPECT_EQ(reading->failed, kind) << sim::mood_name(mood) << ": " << reading->why;
        EXPECT_LE(reading->ended - reading->began, 10s) << sim::mood_name(mood);
        wait(20s);
    }
}

TEST_F(FetchFaultsTest, a_pause_of_the_upstream_is_a_pause_and_no_end) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}};
    const auto reading = start(digest);
    until([&] { return reading->bytes.size() > 50 * kKib; });
    mirror().mood = Mood::fails;
    wait(2s);
    EXPECT_FALSE(reading->done);
    mirror().mood = Mood::well;
    finish(*reading);
    EXPECT_TRUE(whole(digest, *reading));
}

TEST_F(FetchFaultsTest, an_upstream_that_stays_away_ends_the_wait_and_keeps_what_came) {
    options.cache.no_progress_timeout = 20s;
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::cut, 100 * kKib}};
    const auto reading = start(digest);
    until([&] { return reading->bytes.size() > 50 * kKib; });
    mirror().mood = Mood::refuses;
    finish(*reading);
    EXPECT_EQ(reading->failed, Kind::upstream_unreachable);
    EXPECT_LE(reading->ended - reading->began, 25s);
    wait(20ms);
    EXPECT_EQ(staged(digest), 100 * kKib);
    mirror().mood = Mood::well;
    wait(2min);
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(given(digest).total, 300 * kKib);
}

}  // namespace
}  // namespace weir::cache
