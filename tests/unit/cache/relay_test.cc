// No room on the disk: bytes pass through a bounded buffer, verified, and nothing is kept.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class RelayTest : public Lab {
protected:
    void no_room() { options.limits.max_bytes = 10 * kKib; }
};

TEST_F(RelayTest, disk_full_relays) {
    no_room();
    boot();
    const auto digest = blob(300 * kKib);
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading));
    EXPECT_EQ(reading->from, From::relay);
    EXPECT_FALSE(stored(digest));
    wait(1s);
    EXPECT_EQ(staged(digest), 0u);
    EXPECT_EQ(machine->space().used(), 0u);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(RelayTest, a_disk_that_fills_up_midway_goes_on_by_relay) {
    mirror().bytes_per_second = 512 * kKib;
    boot();
    machine->files().set_capacity(machine->files().stored_bytes() + 8 * kKib);
    const auto digest = blob(300 * kKib);
    // Its size is told late, so the disk is found to be full only on the way.
    faults[0] = {{Fault::Kind::no_length, 0}};
    const auto other = blob(300 * kKib);
    const auto reading = read(other, {{0, 150'000}});
    EXPECT_TRUE(part(other, *reading, 0, 150'001)) << reading->why;
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_FALSE(stored(digest));
}

TEST_F(RelayTest, a_reader_that_was_given_bytes_of_the_file_is_still_verified) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(600 * kKib);
    const auto reading = start(digest, {}, {.bytes = 16 * kKib});
    until([&] { return reading->bytes.size() >= 100 * kKib; });
    // The record of the extents finds no room for a directory entry; the rest comes by relay.
    machine->files().set_capacity(0);
    machine->files().set_error_rates({});
    finish(*reading);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
}

TEST_F(RelayTest, a_reader_goes_on_though_the_bytes_it_was_given_cannot_be_read_again) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(600 * kKib);
    const auto reading = start(digest, {}, {.bytes = 16 * kKib});
    until([&] { return reading->bytes.size() >= 100 * kKib; });
    machine->files().set_error_rates({.read = 1});
    finish(*reading);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
}

TEST_F(RelayTest, a_reader_that_was_given_other_bytes_than_come_now_is_cut) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(600 * kKib);
    faults[0] = {{Fault::Kind::flip, 50'000}};
    const auto reading = start(digest, {}, {.bytes = 16 * kKib});
    until([&] { return reading->bytes.size() >= 100 * kKib; });
    machine->files().set_error_rates({.read = 1, .write = 1});
    finish(*reading);
    EXPECT_EQ(reading->failed, Kind::upstream_bad);
    EXPECT_LT(reading->bytes.size(), 600 * kKib);
}

TEST_F(RelayTest, a_hit_goes_on_past_a_disk_that_fails_in_the_middle_of_it) {
    boot();
    const auto digest = blob(600 * kKib);
    ASSERT_TRUE(whole(digest, *read(digest)));
    until([&] { return stored(digest); });
    const auto reading = start(digest, {}, {.bytes = 16 * kKib, .pause = 10ms});
    until([&] { return reading->bytes.size() >= 100 * kKib; });
    ASSERT_EQ(reading->from, From::hit_disk);
    machine->files().set_error_rates({.read = 1});
    finish(*reading);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
}

TEST_F(RelayTest, relay_verifies_and_withholds) {
    no_room();
    boot();
    const auto digest = blob(300 * kKib);
    // The first GET finds no room; the second is the relay's.
    faults[0] = {{}, {Fault::Kind::flip, 299 * kKib}};
    const auto reading = read(digest);
    EXPECT_EQ(reading->failed, Kind::upstream_bad);
    EXPECT_EQ(reading->bytes.size(), 300 * kKib - 1);
}

TEST_F(RelayTest, a_cut_is_taken_up_by_a_relay_too) {
    no_room();
    options.mirrors = {2};
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{}, {Fault::Kind::cut, 100 * kKib}, {Fault::Kind::stall, 50 * kKib}};
    EXPECT_TRUE(whole(digest, *read(digest)));
    const auto made = asks(What::blob);
    EXPECT_EQ(made.back().mirror, 1u);
    EXPECT_EQ(made.back().first, 150 * kKib);
}

TEST_F(RelayTest, a_slow_reader_holds_no_more_than_the_buffer) {
    no_room();
    boot();
    const auto digest = blob(600 * kKib);
    const auto reading = start(digest, {}, {.bytes = 4 * kKib, .pause = 200ms});
    wait(3s);
    const auto relayed = asks(What::blob).back();
    EXPECT_LE(relayed.bytes, reading->bytes.size() + options.cache.relay_buffer_bytes);
    finish(*reading);
    EXPECT_TRUE(whole(digest, *reading)) << "our own slowness is no stall";
    uint64_t bytes = 0;
    for (const auto& ask : asks(What::blob)) bytes += ask.bytes;
    EXPECT_LE(bytes, 600 * kKib + 2 * options.cache.relay_buffer_bytes) << "each byte once";
}

TEST_F(RelayTest, a_sleeping_reader_has_no_transfer_and_holds_no_place) {
    no_room();
    boot();
    const auto digest = blob(600 * kKib);
    const auto reading = start(digest, {}, {.bytes = 4 * kKib, .pause = 1h});
    wait(5s);
    EXPECT_TRUE(asks(What::blob).back().over);
    EXPECT_EQ(run([&] { return machine->cache().snapshot(); }).relays, 0u);
    reading->leave = true;
    wait(1h);
}

TEST_F(RelayTest, readers_of_one_blob_share_a_transfer) {
    no_room();
    boot();
    const auto digest = blob(600 * kKib);
    std::vector<std::shared_ptr<Reading>> readings;
    for (int i = 0; i < 16; ++i)
        readings.push_back(start(digest, {}, {.bytes = 16 * kKib, .pause = Duration(i * 10'000)}));
    for (const auto& reading : readings) {
        finish(*reading);
        EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    }
    EXPECT_EQ(asks(What::blob).size(), 2u) << "the fetch that found no room, and one relay";
}

TEST_F(RelayTest, a_reader_that_leaves_ends_its_relay) {
    no_room();
    boot();
    const auto digest = blob(600 * kKib);
    const auto reading = start(digest, {}, {.bytes = 4 * kKib, .pause = 50ms});
    until([&] { return reading->bytes.size() >= 20 * kKib; });
    reading->leave = true;
    finish(*reading);
    wait(100ms);
    EXPECT_TRUE(asks(What::blob).back().over);
}

TEST_F(RelayTest, a_left_over_with_a_wrong_size_does_not_poison_every_relay) {
    options.limits.max_bytes = 100 * kKib;
    boot();
    const auto digest = blob(300 * kKib);
    faults[0] = {{Fault::Kind::more_length, 500}};
    EXPECT_TRUE(part(digest, *read(digest, {{0, 1000}}), 0, 1001));
    EXPECT_FALSE(read(digest)->complete) << "its head was given with the size that was told";
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(RelayTest, a_range_is_relayed_as_a_range) {
    options.limits.max_bytes = 0;
    boot();
    machine->files().set_capacity(machine->files().stored_bytes());
    const auto digest = blob(600 * kKib);
    EXPECT_TRUE(part(digest, *read(digest, {{100'000, 199'999}}), 100'000, 100'000));
    EXPECT_EQ(asks(What::blob).back().first, 100'000u);
    EXPECT_EQ(asks(What::blob).back().last, 199'999u);
}

TEST_F(RelayTest, stopping_ends_a_relay_that_nobody_reads) {
    no_room();
    boot();
    const auto digest = blob(600 * kKib);
    const auto reading = start(digest, {}, {.bytes = 4 * kKib, .pause = 1s});
    until([&] { return reading->bytes.size() >= 8 * kKib; });
    const TimePoint began = clock.now();
    stop();
    EXPECT_LE(clock.now() - began, 2s);
    EXPECT_EQ(reading->failed, Kind::draining);
}

TEST_F(RelayTest, a_blob_that_only_this_disk_has_is_not_unknown_when_it_cannot_be_read) {
    options.routes.push_back({"own", {}});
    boot();
    const auto digest = blob(10 * kKib, "");
    run([&] { return machine->push(digest, content.bytes(digest), "own"); });
    machine->files().set_error_rates({.read = 1.0});
    EXPECT_EQ(read(digest, {}, {}, "own")->failed, Kind::io);
    machine->files().set_error_rates({});
    EXPECT_TRUE(whole(digest, *read(digest, {}, {}, "own")));
}

}  // namespace
}  // namespace weir::cache
