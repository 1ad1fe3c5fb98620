// The disk is kept in bounds beside pulls: what leaves it is counted once, and nobody is hurt.
#include <fmt/format.h>

#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class BoundsTest : public Lab {
protected:
    BoundsTest() {
        options.tiers = true;
        options.limits.max_bytes = options.eviction.max_bytes = 1000 * kKib;
        options.eviction.min_free_bytes = 0;
        options.collector.interval = 24h;
    }
    static std::string path_of(const oci::Digest& digest, uint64_t generation) {
        return fmt::format("{}/blobs/sha256/{:02x}/{}.{}", sim::Machine::kRoot,
                           std::to_integer<unsigned>(digest.sum()[0]), digest.hex(), generation);
    }
    // Where the file was of a blob that has just made room for another.
    std::string evicted() {
        const auto digest = blob(600 * kKib);
        read(digest);
        const auto row = machine->metadata().find_blob(digest);
        wait(1min);
        read(blob(600 * kKib));
        wait(5s);
        EXPECT_FALSE(stored(digest));
        return path_of(digest, row->generation);
    }
};

TEST_F(BoundsTest, room_is_made_for_a_blob_by_what_was_not_read_for_long) {
    boot();
    const auto old = blob(400 * kKib), used = blob(400 * kKib);
    read(old);
    read(used);
    wait(1min);
    read(used);
    wait(11s);
    const auto reading = read(blob(400 * kKib));
    EXPECT_TRUE(reading->complete);
    EXPECT_EQ(reading->from, From::miss);
    EXPECT_FALSE(stored(old));
    EXPECT_TRUE(stored(used));
    EXPECT_LE(machine->space().used(), 1000 * kKib);
    EXPECT_EQ(asks(What::blob).size(), 3u) << "its upstream was asked once, and waited";
    EXPECT_TRUE(whole(old, *read(old))) << "and it can be had again";
}

TEST_F(BoundsTest, a_blob_that_is_larger_than_the_disk_is_relayed_and_evicts_nothing) {
    boot();
    const auto small = blob(300 * kKib);
    read(small);
    const auto large = blob(2000 * kKib);
    const auto reading = read(large);
    EXPECT_TRUE(whole(large, *reading));
    EXPECT_EQ(reading->from, From::relay);
    EXPECT_TRUE(stored(small));
}

TEST_F(BoundsTest, what_an_upstream_only_says_evicts_nothing) {
    boot();
    std::vector<oci::Digest> good;
    for (int i = 0; i < 8; ++i) read(good.emplace_back(blob(100 * kKib)));
    wait(1min);
    faults[0] = {{Fault::Kind::stall, 1}};
    const auto liar = start(blob(900 * kKib));
    wait(3s);
    for (const auto& digest : good) EXPECT_TRUE(stored(digest));
    liar->leave = true;
    finish(*liar);
}

TEST_F(BoundsTest, a_body_without_a_length_or_an_end_evicts_nothing) {
    boot();
    std::vector<oci::Digest> good;
    for (int i = 0; i < 8; ++i) read(good.emplace_back(blob(100 * kKib)));
    wait(1min);
    faults[0] = {{Fault::Kind::no_length, 0}};
    const auto endless = blob(5000 * kKib);
    EXPECT_TRUE(whole(endless, *read(endless)));
    wait(3s);
    size_t left = 0;
    for (const auto& digest : good) left += stored(digest) ? 1 : 0;
    EXPECT_GE(left, 6u) << "but for the high watermark's";
    EXPECT_EQ(staged(endless), 0u);
}

TEST_F(BoundsTest, room_is_made_in_the_middle_of_a_transfer_which_waits_for_it) {
    boot();
    std::vector<oci::Digest> old;
    for (int i = 0; i < 8; ++i) read(old.emplace_back(blob(100 * kKib)));
    wait(1min);
    const auto digest = blob(700 * kKib);
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    EXPECT_EQ(reading->from, From::miss);
    EXPECT_TRUE(stored(digest));
    EXPECT_EQ(given(digest).total, 700 * kKib) << "no byte came twice";
    EXPECT_EQ(asks(What::blob).size(), 9u) << "and its upstream was asked once";
}

TEST_F(BoundsTest, those_who_make_room_at_once_add_up) {
    mirror().bytes_per_second = 2 << 20;
    boot();
    std::vector<oci::Digest> old;
    for (int i = 0; i < 9; ++i) read(old.emplace_back(blob(100 * kKib)));
    wait(1min);
    std::vector<std::pair<oci::Digest, std::shared_ptr<Reading>>> readings;
    for (const uint64_t kib : {50, 200, 400}) {
        const auto digest = blob(kib * kKib);
        readings.emplace_back(digest, start(digest));
    }
    for (const auto& [digest, reading] : readings) {
        finish(*reading);
        EXPECT_TRUE(whole(digest, *reading)) << reading->why;
        EXPECT_EQ(reading->from, From::miss);
    }
    wait(1s);
    for (const auto& [digest, reading] : readings) EXPECT_TRUE(stored(digest));
    EXPECT_EQ(asks(What::blob).size(), 12u);
}

TEST_F(BoundsTest, where_the_free_space_binds_what_was_evicted_is_free_at_once) {
    options.limits = {.max_bytes = UINT64_MAX, .min_free_bytes = 0};
    options.eviction.max_bytes = UINT64_MAX;
    options.limits.min_free_bytes = options.eviction.min_free_bytes = 200 * kKib;
    boot();
    machine->files().set_capacity(1000 * kKib);
    for (int i = 0; i < 12; ++i) {
        const auto digest = blob(150 * kKib);
        const auto reading = read(digest);
        EXPECT_TRUE(whole(digest, *reading)) << reading->why;
        EXPECT_EQ(reading->from, From::miss) << i;
        EXPECT_TRUE(stored(digest)) << i;
        wait(300ms);
    }
    EXPECT_EQ(asks(What::blob).size(), 12u);
}

TEST_F(BoundsTest, a_left_over_that_is_taken_up_while_it_is_dropped_is_counted_once) {
    options.longest_job = 20ms;
    for (int delay = 0; delay < 200; delay += 5) {
        SCOPED_TRACE(delay);
        if (machine) stop();
        machine.reset();
        boot();
        const auto part_of = blob(500 * kKib);
        read(part_of, {{0, 200 * kKib}});
        wait(2min);
        ASSERT_GT(staged(part_of), 0u);
        // Something that stays, or a count that is too low could not be told from none.
        const auto small = blob(64 * kKib);
        read(small);
        const auto held = start(small, {}, {.bytes = kKib, .pause = 1s});
        const auto large = start(blob(900 * kKib));
        wait(std::chrono::milliseconds(delay));
        const auto taken_up = read(part_of, {{0, 300 * kKib}});
        EXPECT_TRUE(part(part_of, *taken_up, 0, 300 * kKib + 1)) << taken_up->why;
        finish(*large);
        EXPECT_TRUE(large->complete) << large->why;
        wait(5s);
        held->leave = true;
        finish(*held);
        const auto usage = machine->metadata().usage();
        EXPECT_EQ(machine->space().used(), usage.blob_bytes + usage.staging_bytes);
    }
}

TEST_F(BoundsTest, a_left_over_that_was_committed_without_a_row_leaves_no_file) {
    boot();
    const auto digest = blob(500 * kKib);
    read(digest, {{0, 200 * kKib}});
    wait(2min);
    const auto row = machine->metadata().find_staging(digest);
    ASSERT_TRUE(row);
    const std::string path = path_of(digest, row->generation);
    machine->files().make_directories(parent_path(path));
    machine->files().rename(
        fmt::format("{}/staging/sha256-{}.{}", sim::Machine::kRoot, digest.hex(), row->generation),
        path);
    EXPECT_TRUE(read(blob(900 * kKib))->complete);
    EXPECT_FALSE(machine->metadata().find_staging(digest));
    EXPECT_FALSE(machine->files().open(path, false));
}

TEST_F(BoundsTest, what_was_evicted_is_erased_and_nothing_waits_for_it) {
    boot();
    const std::string path = evicted();
    EXPECT_FALSE(machine->files().open(path, false));
    EXPECT_TRUE(machine->metadata().erasures(std::nullopt, 10).empty());
}

TEST_F(BoundsTest, what_was_evicted_does_not_come_back_uncounted_with_a_power_cut) {
    boot();
    const std::string path = evicted();
    crash(FaultFiles::Loss::everything);
    wait(5s);
    EXPECT_FALSE(machine->files().open(path, false));
}

TEST_F(BoundsTest, a_file_whose_row_went_before_a_crash_goes_with_the_next_start) {
    boot();
    const auto digest = blob(100 * kKib);
    read(digest);
    auto row = *machine->metadata().find_blob(digest);
    const uint64_t kept = row.generation;
    stop();
    row.generation = machine->metadata().next_generation();
    ASSERT_FALSE(machine->metadata().put_blob(row, ""));
    machine->files().create(path_of(digest, row.generation));
    machine->boot();
    wait(5s);
    EXPECT_FALSE(machine->files().open(path_of(digest, row.generation), false));
    EXPECT_TRUE(machine->files().open(path_of(digest, kept), false));
    EXPECT_TRUE(machine->metadata().erasures(std::nullopt, 10).empty());
}

TEST_F(BoundsTest, a_reader_of_an_evicted_blob_reads_on_from_its_open_file) {
    boot();
    const auto first = blob(600 * kKib);
    read(first);
    wait(1min);
    const auto slow = start(first, {}, {.bytes = 16 * kKib, .pause = 100ms});
    const auto reading = read(blob(600 * kKib));
    EXPECT_TRUE(reading->complete);
    finish(*slow);
    EXPECT_TRUE(whole(first, *slow));
}

}  // namespace
}  // namespace weir::cache
