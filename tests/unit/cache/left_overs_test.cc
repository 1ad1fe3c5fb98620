// What a fetch, an eviction or a crash leaves on the disk takes no more room than is counted.
#include <fmt/format.h>

#include "cache/left_overs.h"
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class LeftOversTest : public Lab {
protected:
    static constexpr uint64_t kLimit = 1000 * kKib;

    LeftOversTest() {
        options.tiers = true;
        options.limits.max_bytes = options.eviction.max_bytes = kLimit;
        options.eviction.min_free_bytes = 0;
        options.collector.interval = 24h;
    }
    uint64_t on_disk() const { return machine->files().named_bytes(); }
    // Everything on the disk is counted, and nothing that isn't there.
    void expect_all_counted() {
        EXPECT_EQ(on_disk(), machine->space().used());
        EXPECT_EQ(machine->space().reserved(), 0u);
        const auto usage = machine->metadata().usage();
        EXPECT_EQ(machine->space().used(), usage.blob_bytes + usage.staging_bytes);
    }
    // The next GETs of blobs, of which the first brings so much before its connection breaks.
    void break_off_at(uint64_t bytes) {
        faults[0] = {{Fault::Kind::cut, bytes}};
        for (int again = 0; again < 20; ++again) faults[0].push_back({Fault::Kind::error});
    }
    // Of fetches that a crash ended before anything came.
    void put_empty_rows(int count) {
        for (int number = 0; number < count; ++number) {
            meta::StagingRow row;
            row.digest = content.make_blob(random, 1000 + number, oci::Digest::Algorithm::sha256);
            row.generation = machine->metadata().next_generation();
            machine->metadata().put_staging(row);
        }
    }
    // A blob of which so much came before the process died.
    oci::Digest half_come(uint64_t size, uint64_t come) {
        mirror().bytes_per_second = 1024 * kKib;
        boot();
        const auto digest = blob(size);
        const auto reading = start(digest);
        until([&] { return reading->bytes.size() >= come; });
        mirror().bytes_per_second = 4096 * kKib;
        return digest;
    }
};

TEST_F(LeftOversTest, a_fetch_that_breaks_off_gives_back_what_its_file_was_allocated) {
    boot();
    const auto digest = blob(800 * kKib);
    break_off_at(300 * kKib);
    EXPECT_FALSE(read(digest)->complete);
    wait(5s);
    EXPECT_EQ(staged(digest), 300 * kKib);
    EXPECT_EQ(on_disk(), 300 * kKib);
    expect_all_counted();
    faults.clear();
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(given(digest).total, 800 * kKib) << "what had come is gone on with";
    expect_all_counted();
}

TEST_F(LeftOversTest, what_came_after_the_last_record_goes_with_the_next_start) {
    for (const auto loss :
         {FaultFiles::Loss::nothing, FaultFiles::Loss::some, FaultFiles::Loss::everything}) {
        const auto digest = half_come(800 * kKib, 400 * kKib);
        crash(loss);
        wait(1s);
        const uint64_t kept = staged(digest);
        EXPECT_GT(kept, 0u);
        EXPECT_LT(kept, 800 * kKib);
        EXPECT_EQ(on_disk(), kept);
        expect_all_counted();
        EXPECT_TRUE(whole(digest, *read(digest)));
        expect_all_counted();
        stop();
        machine.reset();
    }
}

TEST_F(LeftOversTest, of_what_was_never_recorded_nothing_stays) {
    options.cache.record_bytes = 10'000 * kKib;
    const auto digest = half_come(800 * kKib, 400 * kKib);
    crash(FaultFiles::Loss::nothing);
    wait(1s);
    EXPECT_EQ(on_disk(), 0u);
    EXPECT_FALSE(machine->metadata().find_staging(digest));
    expect_all_counted();
}

TEST_F(LeftOversTest, what_was_committed_without_a_row_is_counted) {
    boot();
    const auto digest = blob(800 * kKib);
    read_and_die(digest);
    wait(1s);
    EXPECT_FALSE(stored(digest));
    EXPECT_GT(on_disk(), 0u);
    expect_all_counted();
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(LeftOversTest, a_fetch_at_the_start_is_promised_nothing_that_is_taken) {
    options.longest_job = 5ms;
    options.cache.record_bytes = 10'000 * kKib;
    half_come(900 * kKib, 600 * kKib);
    uint64_t most = 0;
    crash(FaultFiles::Loss::nothing);
    machine->on_job = [&] { most = std::max(most, on_disk()); };
    const auto next = blob(900 * kKib);
    EXPECT_TRUE(whole(next, *read(next)));
    machine->on_job = nullptr;
    EXPECT_TRUE(stored(next));
    EXPECT_GT(most, 600 * kKib);
    EXPECT_LE(most, kLimit);
    expect_all_counted();
}

TEST_F(LeftOversTest, one_that_is_asked_for_at_the_start_is_cut_before_others_begin) {
    options.longest_job = 5ms;
    options.cache.max_fetches = 1;
    const auto digest = half_come(600 * kKib, 500 * kKib);
    put_empty_rows(40);  // so that it is waited for by the time that the pass comes to it
    uint64_t most = 0;
    crash(FaultFiles::Loss::nothing);
    machine->on_job = [&] { most = std::max(most, on_disk()); };
    const auto other = start(blob(550 * kKib));
    const auto again = start(digest, {{0, 64 * kKib}});  // begins after the other
    finish(*again);
    finish(*other);
    machine->on_job = nullptr;
    EXPECT_TRUE(part(digest, *again, 0, 64 * kKib + 1)) << again->why;
    EXPECT_TRUE(other->complete) << other->why;
    EXPECT_LE(most, kLimit);
    wait(1s);
    expect_all_counted();
}

TEST_F(LeftOversTest, a_fetch_waits_no_longer_than_that_for_a_slow_disk) {
    options.longest_job = 100ms;
    boot();
    stop();
    put_empty_rows(100);
    machine->boot();
    const TimePoint began = clock.now();
    const auto digest = blob(10 * kKib);
    const auto reading = start(digest);
    until([&] { return !asks(What::blob).empty(); });
    EXPECT_GE(asks(What::blob).front().at, began + LeftOvers::kPatience);
    EXPECT_LE(asks(What::blob).front().at, began + LeftOvers::kPatience + 2s);
    EXPECT_FALSE(machine->metadata().stagings(200).empty()) << "the pass goes on meanwhile";
    finish(*reading);
    EXPECT_TRUE(whole(digest, *reading));
    wait(2min);
    EXPECT_TRUE(machine->metadata().stagings(200).empty());
    expect_all_counted();
}

TEST_F(LeftOversTest, nor_for_very_many_files_that_have_to_go) {
    options.longest_job = 100ms;
    boot();
    const auto known = blob(10 * kKib);
    read(known);
    stop();
    auto row = *machine->metadata().find_blob(known);
    for (int number = 0; number < 100; ++number) {
        row.generation = machine->metadata().next_generation();
        EXPECT_FALSE(machine->metadata().put_blob(row, ""));
    }
    machine->boot();
    const TimePoint began = clock.now();
    const auto digest = blob(10 * kKib);
    EXPECT_TRUE(whole(digest, *read(digest)));
    ASSERT_EQ(asks(What::blob).size(), 2u);
    EXPECT_GE(asks(What::blob).back().at, began + LeftOvers::kPatience);
    EXPECT_LE(asks(What::blob).back().at, began + LeftOvers::kPatience + 2s);
    EXPECT_FALSE(machine->metadata().erasures(std::nullopt, 200).empty());
    wait(2min);
    EXPECT_TRUE(machine->metadata().erasures(std::nullopt, 200).empty());
}

TEST_F(LeftOversTest, what_the_pass_could_not_cut_is_cut_by_the_fetch_that_goes_on) {
    const auto digest = half_come(800 * kKib, 400 * kKib);
    crash(FaultFiles::Loss::nothing);
    machine->files().set_error_rates({.write = 1.0});
    wait(1s);
    machine->files().set_error_rates({});
    EXPECT_GT(on_disk(), machine->space().used());
    const auto reading = read(digest, {{700 * kKib, 710 * kKib}});
    EXPECT_TRUE(part(digest, *reading, 700 * kKib, 10 * kKib + 1)) << reading->why;
    wait(1s);
    EXPECT_GT(on_disk(), 100 * kKib);
    expect_all_counted();
}

TEST_F(LeftOversTest, what_a_full_disk_took_of_a_write_is_given_back) {
    mirror().bytes_per_second = 1024 * kKib;
    boot();
    const auto digest = blob(800 * kKib);
    // What comes after a break begins in the middle of a page.
    faults[0] = {{Fault::Kind::cut, 1000}};
    const auto reading = start(digest, {{0, 640 * kKib - 1}});
    until([&] { return reading->bytes.size() >= 300 * kKib; });
    ASSERT_NE(on_disk() % FaultFiles::kPageBytes, 0u);
    machine->files().set_capacity(machine->files().stored_bytes());
    finish(*reading);
    EXPECT_TRUE(part(digest, *reading, 0, 640 * kKib)) << reading->why;
    wait(1s);
    EXPECT_GT(staged(digest), 300 * kKib);
    EXPECT_LT(staged(digest), 640 * kKib);
    expect_all_counted();
}

TEST_F(LeftOversTest, an_end_in_the_midst_of_the_pass_waits_for_nothing) {
    options.longest_job = 100ms;
    half_come(800 * kKib, 400 * kKib);
    crash(FaultFiles::Loss::nothing);
    const auto reading = start(blob(10 * kKib));
    stop();
    EXPECT_LT(took, 2s);
    EXPECT_TRUE(reading->done);
    EXPECT_FALSE(reading->complete);
}

TEST_F(LeftOversTest, an_evicted_file_that_the_disk_keeps_counts_until_it_goes) {
    boot();
    machine->on_evicted = [&](const meta::Victim&) {
        machine->files().set_error_rates({.name = 1.0});
    };
    restart();
    const auto old = blob(600 * kKib);
    read(old);
    wait(1min);
    const auto relayed = blob(600 * kKib);
    EXPECT_TRUE(whole(relayed, *read(relayed)));
    EXPECT_FALSE(stored(old));
    EXPECT_FALSE(stored(relayed));
    wait(3s);
    // What had room of the other stays for the next request.
    const uint64_t part = staged(relayed);
    EXPECT_EQ(on_disk(), 600 * kKib + part);
    EXPECT_EQ(machine->space().used(), 600 * kKib + part);
    machine->files().set_error_rates({});
    wait(3s);
    EXPECT_EQ(on_disk(), part);
    expect_all_counted();
    EXPECT_TRUE(machine->metadata().erasures(std::nullopt, 10).empty());
}

TEST_F(LeftOversTest, a_disk_that_keeps_all_its_files_loses_few_of_its_blobs) {
    boot();
    std::vector<oci::Digest> blobs;
    for (int number = 0; number < 30; ++number) read(blobs.emplace_back(blob(30 * kKib)));
    wait(1min);
    machine->files().set_error_rates({.name = 1.0});
    auto bounds = options.eviction;
    bounds.max_bytes = 100 * kKib;
    machine->cache().set_bounds(bounds, options.collector);
    wait(10min);
    size_t kept = 0;
    for (const auto& digest : blobs) kept += stored(digest) ? 1 : 0;
    EXPECT_EQ(kept, 14u);
    machine->files().set_error_rates({});
    wait(5s);
    EXPECT_LE(on_disk(), 100 * kKib);
    expect_all_counted();
}

TEST_F(LeftOversTest, collected_files_that_the_disk_keeps_count_until_they_go) {
    options.collector.interval = 1min;
    options.collector.delay = options.collector.untagged_age = 1s;
    boot();
    for (int number = 0; number < 3; ++number) read(blob(100 * kKib));
    wait(20s);
    machine->files().set_error_rates({.name = 1.0});
    wait(1min);
    EXPECT_EQ(machine->metadata().usage().blobs, 0u);
    EXPECT_EQ(on_disk(), 300 * kKib);
    EXPECT_EQ(machine->space().used(), 300 * kKib);
    machine->files().set_error_rates({});
    wait(3s);
    EXPECT_EQ(on_disk(), 0u);
    expect_all_counted();
}

TEST_F(LeftOversTest, what_can_not_be_recorded_goes_and_its_readers_read_on) {
    boot();
    const auto digest = blob(800 * kKib);
    break_off_at(500 * kKib);
    const auto slow = start(digest, {}, {.bytes = 16 * kKib, .pause = 50ms});
    until([&] { return slow->bytes.size() >= 200 * kKib; });
    machine->database_fails = [] { return true; };
    finish(*slow);
    EXPECT_FALSE(slow->complete);
    EXPECT_EQ(slow->bytes, content.bytes(digest).substr(0, slow->bytes.size()));
    EXPECT_GE(slow->bytes.size(), 500 * kKib - 1);
    wait(5s);
    EXPECT_EQ(on_disk(), 0u);
    machine->database_fails = nullptr;
    faults.clear();
    wait(2min);  // its mirror was set aside
    EXPECT_TRUE(whole(digest, *read(digest)));
    expect_all_counted();
}

TEST_F(LeftOversTest, nobody_goes_on_with_a_file_that_could_be_neither_recorded_nor_removed) {
    boot();
    const auto digest = blob(800 * kKib);
    break_off_at(500 * kKib);
    const auto slow = start(digest, {}, {.bytes = 16 * kKib, .pause = 5s});
    until([&] { return given(digest).total >= 400 * kKib; });
    machine->files().set_error_rates({.sync = 1.0, .name = 1.0});
    wait(2min);
    machine->files().set_error_rates({});
    faults.clear();
    EXPECT_FALSE(slow->done);
    EXPECT_GT(staged(digest), 0u);
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(given(digest).total, 500 * kKib + 800 * kKib);
    finish(*slow);
    EXPECT_EQ(slow->bytes, content.bytes(digest).substr(0, slow->bytes.size()));
    expect_all_counted();
}

}  // namespace
}  // namespace weir::cache
