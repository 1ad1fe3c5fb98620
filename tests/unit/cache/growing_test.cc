// One blob, many readers: one transfer, joined anywhere, at any speed.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class GrowingTest : public Lab {};

TEST_F(GrowingTest, a_cold_blob_is_streamed_verified_and_stored) {
    boot();
    const auto digest = blob(300 * kKib);
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading));
    EXPECT_EQ(reading->from, From::miss);
    EXPECT_TRUE(stored(digest));
    EXPECT_EQ(staged(digest), 0u);
    const auto again = read(digest);
    EXPECT_TRUE(whole(digest, *again));
    EXPECT_EQ(again->from, From::hit_disk);
    EXPECT_EQ(asks(What::blob).size(), 1u);
}

TEST_F(GrowingTest, the_head_goes_out_as_soon_as_the_size_is_known) {
    mirror().latency = 40ms;
    mirror().bytes_per_second = 100 * kKib;
    boot();
    const auto reading = read(blob(100 * kKib));
    EXPECT_LE(reading->head_at - reading->began, 42ms);
    EXPECT_GE(reading->ended - reading->began, 1s);
}

TEST_F(GrowingTest, a_reader_that_joins_late_gets_every_byte_in_order) {
    mirror().bytes_per_second = 1024 * kKib;
    boot();
    const auto digest = blob(1024 * kKib);
    const auto first = start(digest);
    until([&] { return first->bytes.size() >= 512 * kKib; });
    const auto late = start(digest, {}, {.bytes = 10'000});
    finish(*late);
    finish(*first);
    EXPECT_TRUE(whole(digest, *late));
    EXPECT_TRUE(whole(digest, *first));
    EXPECT_EQ(late->from, From::joined);
    EXPECT_EQ(asks(What::blob).size(), 1u);
}

TEST_F(GrowingTest, thirty_two_readers_cause_one_transfer) {
    mirror().bytes_per_second = 512 * kKib;
    boot();
    const auto digest = blob(512 * kKib);
    std::vector<std::shared_ptr<Reading>> readings;
    for (int i = 0; i < 32; ++i) readings.push_back(start(digest));
    for (const auto& reading : readings) {
        finish(*reading);
        EXPECT_TRUE(whole(digest, *reading));
        EXPECT_LE(reading->ended - reading->began, 1100ms) << "as fast as one";
    }
    EXPECT_EQ(asks(What::blob).size(), 1u);
    EXPECT_EQ(given(digest).total, 512 * kKib);
}

TEST_F(GrowingTest, a_client_that_leaves_does_not_stop_the_fetch) {
    mirror().bytes_per_second = 512 * kKib;
    boot();
    const auto digest = blob(512 * kKib);
    const auto reading = start(digest);
    until([&] { return reading->bytes.size() > 50 * kKib; });
    reading->leave = true;
    finish(*reading);
    EXPECT_FALSE(stored(digest));
    until([&] { return stored(digest); });
    EXPECT_EQ(read(digest)->from, From::hit_disk);
    EXPECT_EQ(given(digest).total, 512 * kKib);
}

TEST_F(GrowingTest, a_slow_reader_never_slows_the_fetch) {
    mirror().bytes_per_second = 1024 * kKib;
    boot();
    const auto digest = blob(512 * kKib);
    const auto slow = start(digest, {}, {.bytes = 4 * kKib, .pause = 100ms});
    const auto fast = read(digest);
    EXPECT_LE(fast->ended - fast->began, 600ms);
    EXPECT_TRUE(stored(digest));
    EXPECT_FALSE(slow->done);
    finish(*slow);
    EXPECT_TRUE(whole(digest, *slow)) << "from its open file, though the blob moved meanwhile";
}

TEST_F(GrowingTest, a_zero_byte_blob_is_stored_like_any_other) {
    boot();
    const auto digest = blob(0);
    EXPECT_TRUE(whole(digest, *read(digest)));
    until([&] { return stored(digest); });
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(asks(What::blob).size(), 1u);
}

TEST_F(GrowingTest, a_sha512_blob_is_verified_by_its_own_sum) {
    boot();
    const auto digest = blob(100 * kKib, kRepo, oci::Digest::Algorithm::sha512);
    faults[0] = {{Fault::Kind::flip, 5000}};
    EXPECT_FALSE(read(digest)->complete);
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_TRUE(stored(digest));
}

TEST_F(GrowingTest, segments_arrive_in_order) {
    options.fetch = {.segments = 4, .segment_bytes = 64 * kKib, .segment_min_bytes = 128 * kKib};
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(1000 * kKib);
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading));
    // One connection would take four seconds.
    EXPECT_LE(reading->ended - reading->began, 1500ms);
    EXPECT_EQ(given(digest).total, 1000 * kKib) << "and no byte came twice";
    EXPECT_GT(asks(What::blob).size(), 4u);
}

TEST_F(GrowingTest, a_body_without_a_length_is_taken_to_its_end) {
    boot();
    const auto digest = blob(200 * kKib);
    faults[0] = {{Fault::Kind::no_length, 0}};
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_TRUE(stored(digest));
}

TEST_F(GrowingTest, more_blobs_than_may_be_filled_wait_their_turn) {
    options.cache.max_fetches = 2;
    mirror().bytes_per_second = 256 * kKib;
    boot();
    std::vector<std::pair<oci::Digest, std::shared_ptr<Reading>>> readings;
    for (int i = 0; i < 6; ++i) {
        const auto digest = blob(100 * kKib);
        readings.emplace_back(digest, start(digest));
    }
    wait(100ms);
    EXPECT_EQ(asks(What::blob).size(), 2u);
    for (const auto& [digest, reading] : readings) {
        finish(*reading);
        EXPECT_TRUE(whole(digest, *reading));
    }
}

TEST_F(GrowingTest, a_cache_may_go_as_soon_as_it_has_stopped) {
    boot();
    run([this] { return machine->cache().stop(); });
    stop();
}

TEST_F(GrowingTest, stopping_fails_readers_and_keeps_what_came) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(1024 * kKib);
    const auto reading = start(digest);
    until([&] { return reading->bytes.size() >= 300 * kKib; });
    const TimePoint began = clock.now();
    stop();
    EXPECT_LE(clock.now() - began, 100ms);
    EXPECT_EQ(reading->failed, Kind::draining);
    EXPECT_GE(staged(digest), 300 * kKib);
    const uint64_t had = given(digest).total;
    machine->boot();
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_LE(given(digest).total, 1024 * kKib + 4 * kKib) << "had " << had;
}

}  // namespace
}  // namespace weir::cache
