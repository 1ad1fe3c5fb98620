// Power cuts and disks that fail: what was recorded is gone on with, and everything is counted.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class FetchCrashTest : public Lab {};

TEST_F(FetchCrashTest, crash_resume_fetches_only_the_rest) {
    mirror().bytes_per_second = 1024 * kKib;
    boot();
    const auto digest = blob(2048 * kKib);
    const auto reading = start(digest);
    until([&] { return reading->bytes.size() >= 1024 * kKib; });
    crash();
    EXPECT_TRUE(reading->failed);
    const uint64_t had = given(digest).total;
    const uint64_t kept = staged(digest);
    EXPECT_GE(kept + 2 * options.cache.record_bytes, had);
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(given(digest).total, had + 2048 * kKib - kept);
    EXPECT_TRUE(stored(digest));
}

TEST_F(FetchCrashTest, a_crash_at_any_step_costs_at_most_what_was_not_recorded) {
    const uint64_t size = 400 * kKib;
    for (uint64_t step = 0; step < 140; ++step) {
        SCOPED_TRACE(step);
        if (machine) stop();
        machine.reset();
        internet.forget();
        boot();
        const auto digest = blob(size);
        machine->files().power_off_after(step);
        const auto reading = start(digest);
        until([&] { return reading->done; });
        wait(20s);
        const bool whole_came = reading->complete;
        crash(FaultFiles::Loss::some);
        const uint64_t had = given(digest).total;
        const uint64_t before = given(digest).bytes.total();
        const bool passed_on = whole_came && staged(digest) == 0 && !stored(digest);
        EXPECT_TRUE(whole(digest, *read(digest)));
        EXPECT_TRUE(stored(digest));
        const uint64_t more = given(digest).total - had;
        // A disk that was dead before the first byte was served past: nothing of that was kept.
        const uint64_t lost = passed_on ? size : 3 * options.cache.record_bytes;
        EXPECT_LE(more + before, size + lost) << whole_came;
    }
}

TEST_F(FetchCrashTest, what_was_committed_without_a_row_is_verified_and_not_fetched_again) {
    boot();
    const auto digest = blob(300 * kKib);
    EXPECT_TRUE(whole(digest, *read_and_die(digest)));
    EXPECT_FALSE(stored(digest));
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_TRUE(stored(digest));
    EXPECT_LE(given(digest).total, 300 * kKib + 2 * options.cache.record_bytes);
}

TEST_F(FetchCrashTest, a_failing_sync_ends_the_fetch_and_leaves_nothing_uncounted) {
    boot();
    const auto digest = blob(600 * kKib);
    machine->files().set_error_rates({.sync = 1.0});
    EXPECT_TRUE(whole(digest, *read(digest))) << "its client is served past the disk";
    EXPECT_FALSE(stored(digest));
    machine->files().set_error_rates({});
    wait(1s);
    const auto usage = machine->metadata().usage();
    EXPECT_EQ(machine->space().used(), usage.blob_bytes + usage.staging_bytes);
    EXPECT_EQ(machine->space().reserved(), 0u);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

TEST_F(FetchCrashTest, a_commit_that_fails_keeps_the_bytes_for_the_next_request) {
    boot();
    const auto digest = blob(100 * kKib);
    const auto first = start(digest);
    until([&] { return !asks(What::blob).empty(); });
    machine->files().set_error_rates({.name = 1.0});
    finish(*first);
    EXPECT_TRUE(whole(digest, *first)) << "its digest was right";
    wait(1s);
    EXPECT_FALSE(stored(digest));
    machine->files().set_error_rates({});
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_TRUE(stored(digest));
    EXPECT_EQ(given(digest).total, 100 * kKib);
}

TEST_F(FetchCrashTest, a_file_that_is_gone_is_fetched_again_and_its_bytes_are_not_counted_twice) {
    boot();
    const auto digest = blob(100 * kKib);
    read(digest);
    const auto row = machine->metadata().find_blob(digest);
    ASSERT_TRUE(row);
    stop();
    const std::string path =
        fmt::format("{}/blobs/sha256/{:02x}/{}.{}", sim::Machine::kRoot,
                    std::to_integer<unsigned>(digest.sum()[0]), digest.hex(), row->generation);
    ASSERT_TRUE(machine->files().remove(path));
    machine->boot();
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_TRUE(stored(digest));
    EXPECT_EQ(machine->space().used(), 100 * kKib);
}

TEST_F(FetchCrashTest, a_staging_file_that_is_gone_is_not_counted_for_ever) {
    boot();
    const auto digest = blob(1000 * kKib);
    read(digest, {{0, 99}});
    const auto row = machine->metadata().find_staging(digest);
    ASSERT_TRUE(row);
    stop();
    ASSERT_TRUE(machine->files().remove(fmt::format("{}/staging/sha256-{}.{}", sim::Machine::kRoot,
                                                    digest.hex(), row->generation)));
    machine->boot();
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(machine->space().used(), 1000 * kKib);
}

TEST_F(FetchCrashTest, a_staging_file_that_is_too_short_is_begun_anew) {
    boot();
    const auto digest = blob(300 * kKib);
    read(digest, {{0, 200'000}});
    stop();
    auto row = machine->metadata().find_staging(digest);
    ASSERT_TRUE(row);
    row->extents.insert(0, 299 * kKib);
    machine->metadata().put_staging(*row);
    machine->boot();
    EXPECT_FALSE(read(digest)->complete);
    EXPECT_TRUE(whole(digest, *read(digest)));
}

}  // namespace
}  // namespace weir::cache
