// Space is promised before bytes are written, whatever a fetch brings, and counted once.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

constexpr uint64_t kChunk = 64 * kKib;

class FetchSpaceTest : public Lab {
protected:
    // What the machine still does when it is taken down is no test's any more.
    ~FetchSpaceTest() override {
        if (machine) machine->on_job = nullptr;
    }
    // Boots with a limit that the disk is held to after each job of the pool.
    void boot_with(uint64_t limit) {
        options.limits.max_bytes = limit;
        boot();
        machine->on_job = [this, limit] {
            EXPECT_LE(machine->files().named_bytes(), limit);
            EXPECT_LE(used() + reserved(), limit);
        };
    }
    uint64_t used() { return machine->space().used(); }
    uint64_t reserved() { return machine->space().reserved(); }
    void slow() { mirror().bytes_per_second = 256 * kKib; }
    void no_length() { faults[0] = {{Fault::Kind::no_length, 0}}; }
};

TEST_F(FetchSpaceTest, a_range_is_promised_its_chunk_and_no_more) {
    slow();
    boot();
    const auto digest = blob(1000 * kKib);
    const auto reading = start(digest, {{100'000, 100'099}});
    until([&] { return reading->size.has_value(); });
    EXPECT_EQ(reserved(), kChunk);
    EXPECT_EQ(used(), 0u);
    finish(*reading);
    wait(1s);
    EXPECT_EQ(reserved(), 0u);
    EXPECT_EQ(used(), kChunk);
}

TEST_F(FetchSpaceTest, ranges_far_apart_are_promised_each_its_chunk) {
    slow();
    boot();
    const auto digest = blob(1000 * kKib);
    const auto reading = start(digest, {{0, 99}, {500'000, 500'099}});
    until([&] { return reading->size.has_value(); });
    EXPECT_EQ(reserved(), kChunk) << "as they come";
    finish(*reading);
    EXPECT_EQ(used() + reserved(), 2 * kChunk);
}

TEST_F(FetchSpaceTest, what_an_upstream_only_says_is_promised_a_step_at_most) {
    boot();
    const auto digest = blob(1000 * kKib);
    faults[0] = {{Fault::Kind::stall, 1}};
    const auto reading = start(digest);
    until([&] { return reading->size.has_value(); });
    wait(1s);
    EXPECT_LE(used() + reserved(), kChunk + 1);
    EXPECT_LE(machine->files().named_bytes(), kChunk + 1) << "nor is more allocated";
    reading->leave = true;
    finish(*reading);
}

TEST_F(FetchSpaceTest, a_slow_dripper_blocks_nobody) {
    boot_with(1000 * kKib);
    mirror().bytes_per_second = 1000;
    mirror().piece_bytes = 100;
    const auto dripping = start(blob(900 * kKib));
    until([&] { return dripping->bytes.size() > 1000; });
    mirror().bytes_per_second = 4 << 20;
    mirror().piece_bytes = 4096;
    const auto digest = blob(700 * kKib);
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    EXPECT_EQ(reading->from, From::miss);
    EXPECT_TRUE(stored(digest));
    dripping->leave = true;
    finish(*dripping);
}

TEST_F(FetchSpaceTest, written_bytes_count_as_used_and_no_more_than_a_step_is_promised_ahead) {
    slow();
    boot();
    const auto digest = blob(1000 * kKib);
    const auto reading = start(digest);
    for (const uint64_t much : {100 * kKib, 500 * kKib, 900 * kKib}) {
        until([&] { return given(digest).total > much; });
        EXPECT_GE(used() + reserved(), given(digest).total);
        EXPECT_LE(reserved(), 2 * kChunk);
    }
    finish(*reading);
    wait(1s);
    EXPECT_EQ(used(), 1000 * kKib);
    EXPECT_EQ(reserved(), 0u);
}

TEST_F(FetchSpaceTest, a_range_without_room_is_relayed) {
    boot_with(kChunk + 1000);
    const auto digest = blob(1000 * kKib);
    EXPECT_EQ(read(digest, {{0, 99}})->from, From::miss);
    const auto reading = read(digest, {{500'000, 500'099}});
    EXPECT_TRUE(part(digest, *reading, 500'000, 100)) << reading->why;
    EXPECT_EQ(reading->from, From::relay);
    EXPECT_EQ(staged(digest), kChunk) << "what was there stays";
}

TEST_F(FetchSpaceTest, the_first_range_of_a_blob_is_relayed_where_there_is_no_room_for_it) {
    boot_with(kChunk - 1);
    const auto digest = blob(1000 * kKib);
    const auto reading = read(digest, {{0, 99}});
    EXPECT_TRUE(part(digest, *reading, 0, 100)) << reading->why;
    EXPECT_EQ(staged(digest), 0u);
    EXPECT_EQ(used(), 0u);
}

TEST_F(FetchSpaceTest, a_range_that_joins_is_relayed_and_so_is_what_it_joined) {
    slow();
    boot_with(3 * kChunk);
    const auto digest = blob(1000 * kKib);
    const auto first = start(digest, {{0, 2 * kChunk - 1}});
    until([&] { return first->size.has_value(); });
    const auto second = read(digest, {{500'000, 500'000 + 2 * kChunk}});
    finish(*first);
    EXPECT_TRUE(part(digest, *first, 0, 2 * kChunk)) << first->why;
    EXPECT_TRUE(part(digest, *second, 500'000, 2 * kChunk + 1)) << second->why;
}

TEST_F(FetchSpaceTest, more_than_was_asked_for_is_promised_before_it_is_kept) {
    boot_with(300 * kKib);
    const auto digest = blob(1000 * kKib);
    // It is read from its start.
    faults[0] = {{Fault::Kind::ignore_range, 0}};
    const auto reading = read(digest, {{900'000, 900'099}});
    EXPECT_TRUE(part(digest, *reading, 900'000, 100)) << reading->why;
    EXPECT_GT(staged(digest), 0u);
}

TEST_F(FetchSpaceTest, a_body_without_a_length_is_promised_its_space_chunk_by_chunk) {
    slow();
    boot();
    const auto digest = blob(1000 * kKib);
    no_length();
    const auto reading = start(digest);
    for (const uint64_t much : {1 * kKib, 100 * kKib, 700 * kKib}) {
        until([&] { return given(digest).total > much; });
        EXPECT_GE(used() + reserved(), given(digest).total);
        EXPECT_LE(used() + reserved(), given(digest).total + 2 * kChunk);
    }
    finish(*reading);
    EXPECT_TRUE(whole(digest, *reading));
    wait(1s);
    EXPECT_EQ(used(), 1000 * kKib);
    EXPECT_EQ(reserved(), 0u) << "what is left of the last chunk is given back";
}

TEST_F(FetchSpaceTest, a_body_without_a_length_may_fill_the_disk_to_the_last_byte) {
    boot_with(kChunk + 1000);
    const auto digest = blob(kChunk + 1000);
    no_length();
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_TRUE(stored(digest));
}

TEST_F(FetchSpaceTest, a_body_without_a_length_that_is_too_large_is_relayed) {
    boot_with(300 * kKib);
    const auto digest = blob(1000 * kKib);
    no_length();
    const auto reading = read(digest);
    EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    EXPECT_EQ(reading->from, From::relay);
    EXPECT_FALSE(stored(digest));
    EXPECT_EQ(reserved(), 0u);
}

TEST_F(FetchSpaceTest, a_whole_that_joins_a_range_is_promised_the_rest) {
    slow();
    boot_with(1000 * kKib);
    const auto digest = blob(1000 * kKib);
    const auto range = start(digest, {{0, 99}});
    until([&] { return range->size.has_value(); });
    EXPECT_EQ(reserved(), kChunk);
    const auto all = start(digest);
    wait(50ms);
    EXPECT_LE(used() + reserved(), 3 * kChunk);
    finish(*range);
    finish(*all);
    EXPECT_TRUE(whole(digest, *all)) << all->why;
    wait(1s);
    EXPECT_EQ(used(), 1000 * kKib);
}

TEST_F(FetchSpaceTest, a_range_that_joins_a_whole_is_promised_nothing_more) {
    slow();
    boot_with(1000 * kKib);
    const auto digest = blob(1000 * kKib);
    const auto all = start(digest);
    until([&] { return all->size.has_value(); });
    const auto range = start(digest, {{900'000, 900'099}});
    wait(50ms);
    EXPECT_LE(used() + reserved(), 4 * kChunk);
    finish(*range);
    finish(*all);
    EXPECT_TRUE(whole(digest, *all)) << all->why;
    EXPECT_TRUE(part(digest, *range, 900'000, 100)) << range->why;
}

TEST_F(FetchSpaceTest, a_blob_that_is_begun_anew_is_promised_its_space_once) {
    options.mirrors = {2};
    boot_with(100 * kKib);
    const auto digest = blob(100 * kKib);
    faults[0] = {{Fault::Kind::flip, 10}};
    // Nobody is shown a byte of the wrong one.
    const auto reading = start(digest, {}, {.bytes = 1});
    reading->leave = true;
    until([&] { return stored(digest); });
    wait(50ms);
    EXPECT_EQ(asks(What::blob).size(), 2u);
    EXPECT_EQ(used(), 100 * kKib);
    EXPECT_EQ(reserved(), 0u);
}

TEST_F(FetchSpaceTest, what_a_crash_left_is_counted_once_when_it_is_gone_on_with) {
    slow();
    boot_with(1000 * kKib);
    const auto digest = blob(1000 * kKib);
    const auto reading = start(digest);
    until([&] { return reading->bytes.size() >= 600 * kKib; });
    crash();
    const uint64_t kept = staged(digest);
    EXPECT_GT(kept, 0u);
    EXPECT_EQ(used(), kept);
    const auto again = start(digest);
    until([&] { return again->size.has_value(); });
    wait(50ms);
    EXPECT_GE(used() + reserved(), kept);
    EXPECT_LE(used() + reserved(), kept + 2 * kChunk);
    finish(*again);
    EXPECT_TRUE(whole(digest, *again)) << again->why;
    wait(1s);
    EXPECT_EQ(used(), 1000 * kKib);
}

}  // namespace
}  // namespace weir::cache
