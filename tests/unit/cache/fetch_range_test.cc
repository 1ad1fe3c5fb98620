// Ranges of cold and growing blobs: kept, joined, and never more than was needed.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class FetchRangeTest : public Lab {};

TEST_F(FetchRangeTest, a_cold_range_fetches_one_chunk_and_the_whole_later_only_the_rest) {
    boot();
    const auto digest = blob(1000 * kKib);
    const auto reading = read(digest, {{200'000, 200'999}});
    EXPECT_TRUE(part(digest, *reading, 200'000, 1000));
    EXPECT_EQ(reading->size, 1000 * kKib);
    EXPECT_EQ(given(digest).total, 64 * kKib);
    EXPECT_EQ(asks(What::blob).size(), 1u);
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(given(digest).total, 1000 * kKib);
    EXPECT_TRUE(stored(digest));
}

TEST_F(FetchRangeTest, a_cold_range_comes_within_one_round_trip) {
    mirror().latency = 50ms;
    boot();
    const auto reading = read(blob(1000 * kKib), {{500'000, 500'099}});
    EXPECT_LE(reading->ended - reading->began, 100ms);
}

TEST_F(FetchRangeTest, a_suffix_of_a_cold_blob_is_one_request) {
    boot();
    const auto digest = blob(1000 * kKib);
    EXPECT_TRUE(part(digest, *read(digest, {{std::nullopt, 1000}}), 1000 * kKib - 1000, 1000));
    EXPECT_EQ(asks(What::blob).size(), 1u);
    EXPECT_EQ(given(digest).total, 64 * kKib);
}

TEST_F(FetchRangeTest, a_suffix_of_a_blob_whose_size_is_no_multiple_of_a_chunk_is_one_request) {
    boot();
    for (const uint64_t wanted : {uint64_t{1}, uint64_t{1000}, 64 * kKib, 64 * kKib + 1}) {
        const auto digest = blob(1000 * kKib + 777);
        const size_t before = asks(What::blob).size();
        const auto reading = read(digest, {{std::nullopt, wanted}});
        EXPECT_TRUE(part(digest, *reading, 1000 * kKib + 777 - wanted, wanted));
        wait(1s);
        EXPECT_EQ(asks(What::blob).size(), before + 1) << wanted;
        EXPECT_EQ(given(digest).total, std::max(wanted, 64 * kKib));
    }
}

TEST_F(FetchRangeTest, a_range_in_a_chunk_that_is_here_asks_nobody) {
    boot();
    const auto digest = blob(1000 * kKib);
    read(digest, {{200'000, 200'999}});
    wait(1s);
    mirror().mood = Mood::refuses;
    // The repository is known to have it only from a manifest or a HEAD; this one was just proven.
    mirror().mood = Mood::well;
    const size_t before = asks(What::blob).size();
    EXPECT_TRUE(part(digest, *read(digest, {{201'000, 202'999}}), 201'000, 2000));
    EXPECT_EQ(asks(What::blob).size(), before);
}

TEST_F(FetchRangeTest, several_ranges_of_a_cold_blob_come_together) {
    boot();
    const auto digest = blob(1000 * kKib);
    const auto reading = read(digest, {{0, 99}, {500'000, 500'099}, {std::nullopt, 100}});
    EXPECT_TRUE(reading->complete);
    const auto& all = content.bytes(digest);
    EXPECT_EQ(reading->bytes,
              all.substr(0, 100) + all.substr(500'000, 100) + all.substr(all.size() - 100));
    EXPECT_LE(given(digest).total, 3 * 64 * kKib);
}

TEST_F(FetchRangeTest, a_range_beyond_the_end_tells_the_size) {
    boot();
    const auto digest = blob(100 * kKib);
    for (int i = 0; i < 8; ++i) {
        const auto reading = read(digest, {{10'000'000, 10'000'999}});
        EXPECT_EQ(reading->size, 100 * kKib) << reading->why;
        EXPECT_TRUE(reading->bytes.empty());
    }
    EXPECT_TRUE(machine->upstream(0).usable(0)) << "that was no fault of the mirror";
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchRangeTest, a_range_that_is_here_while_the_size_is_not_asks_for_the_size_once) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(1000 * kKib);
    faults[0] = {{Fault::Kind::no_length, 0}};
    const auto reading = start(digest);
    until([&] { return given(digest).total > 300 * kKib; });
    crash();
    faults[0] = {};
    const size_t before = asks(What::blob).size();
    EXPECT_TRUE(part(digest, *read(digest, {{70'000, 70'099}}), 70'000, 100));
    EXPECT_EQ(asks(What::blob).size(), before + 1);
}

TEST_F(FetchRangeTest, an_open_ended_range_reads_to_the_end) {
    boot();
    const auto digest = blob(300 * kKib);
    EXPECT_TRUE(
        part(digest, *read(digest, {{250'000, std::nullopt}}), 250'000, 300 * kKib - 250'000));
}

TEST_F(FetchRangeTest, a_range_that_turns_out_to_be_the_whole_is_verified_like_one) {
    boot();
    const auto digest = blob(3000);
    faults[0] = {{Fault::Kind::flip, 2000}};
    EXPECT_FALSE(read(digest, {{std::nullopt, 5000}})->complete);
    EXPECT_TRUE(whole(digest, *read(digest, {{std::nullopt, 5000}})));
    faults[0] = {};
    const auto other = blob(3000);
    faults[0] = {{Fault::Kind::flip, 2000}};
    EXPECT_FALSE(read(other, {{0, 2999}})->complete);
}

TEST_F(FetchRangeTest, a_range_ahead_of_a_running_fetch_waits_for_it) {
    mirror().bytes_per_second = 512 * kKib;
    boot();
    const auto digest = blob(512 * kKib);
    const auto all = start(digest);
    const auto near = read(digest, {{200'000, 200'099}});
    EXPECT_TRUE(part(digest, *near, 200'000, 100));
    finish(*all);
    EXPECT_EQ(asks(What::blob).size(), 1u);
}

TEST_F(FetchRangeTest, a_reader_far_ahead_gets_a_transfer_of_its_own) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(4096 * kKib);
    const auto all = start(digest);
    wait(200ms);
    const auto far = read(digest, {{3'000'000, 3'000'099}});
    EXPECT_TRUE(part(digest, *far, 3'000'000, 100));
    EXPECT_LE(far->ended - far->began, 1s);
    finish(*all);
    EXPECT_TRUE(whole(digest, *all));
    EXPECT_LE(given(digest).total, 4096 * kKib + 8 * kKib) << "a piece at each seam";
}

TEST_F(FetchRangeTest, a_reader_that_goes_on_far_ahead_is_not_left_waiting_for_the_front) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(4096 * kKib);
    const auto all = start(digest);
    wait(200ms);
    const auto far = read(digest, {{3'000'000, 3'399'999}});
    EXPECT_TRUE(part(digest, *far, 3'000'000, 400'000));
    EXPECT_LE(far->ended - far->began, 4s);
    all->leave = true;
    finish(*all);
    until([&] { return stored(digest); });
}

TEST_F(FetchRangeTest, a_wrong_byte_in_a_kept_range_does_not_poison_the_whole) {
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::flip, 10}};
    read(digest, {{100'000, 100'999}});
    EXPECT_GT(staged(digest), 0u);
    // The read that finds out fails, for it has shown bytes; then all comes anew.
    EXPECT_FALSE(read(digest)->complete);
    EXPECT_EQ(staged(digest), 0u);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchRangeTest, the_rest_is_fetched_behind_where_the_policy_says_so) {
    options.fetch.rest = true;
    boot();
    const auto digest = blob(1000 * kKib);
    EXPECT_TRUE(part(digest, *read(digest, {{0, 99}}), 0, 100));
    until([&] { return stored(digest); });
    EXPECT_EQ(given(digest).total, 1000 * kKib);
}

TEST_F(FetchRangeTest, a_whole_that_began_as_a_range_is_promised_its_space) {
    options.limits.max_bytes = 500 * kKib;
    boot();
    const auto digest = blob(1000 * kKib);
    EXPECT_TRUE(part(digest, *read(digest, {{0, 99}}), 0, 100));
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    EXPECT_FALSE(stored(digest)) << "there is no room for it";
    EXPECT_LE(machine->space().used(), 500 * kKib);
}

}  // namespace
}  // namespace weir::cache
