// Two upstreams that are asked for one digest do not depend on each other.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class BesideTest : public Lab {
protected:
    static constexpr const char* kOther = "other/app";
    BesideTest() {
        options.mirrors = {1, 1};
        options.routes.push_back({kOther, {{1, kRepo}}});
        options.upstream.breaker_failures = 1000;
        content.repository(1, kRepo);
        // Faults of the second registry alone; it is the bad one.
        internet.fault = [this](const sim::Ask& ask, uint64_t) {
            if (ask.what != What::blob || ask.method != "GET") return Fault{};
            return ask.registry == 1 ? bad : good;
        };
    }
    oci::Digest both(uint64_t bytes) {
        const auto digest = blob(bytes);
        content.put_blob(1, kRepo, digest);
        return digest;
    }
    sim::Mirror& other() { return internet.mirror(1, 0); }
    size_t asked(size_t registry) {
        size_t count = 0;
        for (const auto& ask : asks(What::blob)) count += ask.registry == registry ? 1 : 0;
        return count;
    }
    // The client of the good upstream gets all of it within a moment.
    void good_is_served(const oci::Digest& digest, const char* what) {
        const auto reading = read(digest);
        EXPECT_TRUE(whole(digest, *reading)) << what << ": " << reading->why;
        EXPECT_LE(reading->ended - reading->began, 3s) << what;
    }
    Fault bad, good;
};

TEST_F(BesideTest, a_slow_upstream_slows_its_own_clients_alone) {
    other().bytes_per_second = 3000;
    other().piece_bytes = 300;
    boot();
    const auto digest = both(300 * kKib);
    const auto evil = start(digest, {}, {}, kOther);
    wait(400ms);
    good_is_served(digest, "drips");
    EXPECT_EQ(asked(0), 1u);
    EXPECT_TRUE(stored(digest)) << "the first whole, right copy";
    EXPECT_EQ(read(digest)->from, From::hit_disk);
    finish(*evil);
    EXPECT_TRUE(whole(digest, *evil)) << "at its own pace";
}

TEST_F(BesideTest, whatever_an_upstream_says_or_sends_harms_its_own_clients_alone) {
    const std::pair<const char*, Fault> faults[] = {
        {"wrong bytes", {Fault::Kind::flip, 10}},
        {"another size", {Fault::Kind::more_length, 500}},
        {"less", {Fault::Kind::less_length, 500}},
        {"silence", {Fault::Kind::stall, 150'000}},
        {"a cut", {Fault::Kind::cut, 150'000}},
        {"nothing", {Fault::Kind::nothing, 0}},
        {"no length, and an end", {Fault::Kind::short_body, 100'000}},
        {"an error", {Fault::Kind::error, 0}},
    };
    boot();
    for (const auto& [name, fault] : faults) {
        for (const Duration ahead : {Duration(1ms), Duration(100ms), Duration(1s)}) {
            bad = fault;
            other().bytes_per_second = 512 * kKib;
            const auto digest = both(300 * kKib);
            const auto evil = start(digest, {}, {}, kOther);
            wait(ahead);
            good_is_served(digest, name);
            evil->leave = true;
            finish(*evil);
        }
    }
}

TEST_F(BesideTest, what_a_bad_upstream_left_is_not_gone_on_with_for_others) {
    boot();
    const auto digest = both(300 * kKib);
    // It leaves half of it, with a byte that is another.
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        if (ask.registry != 1 || ask.what != What::blob) return Fault{};
        return Fault{Fault::Kind::flip, 10};
    };
    EXPECT_TRUE(read(digest, {{0, 99'999}}, {}, kOther)->complete);
    wait(1s);
    EXPECT_GT(staged(digest), 0u);
    good_is_served(digest, "what was left");
}

TEST_F(BesideTest, a_bad_upstream_that_comes_second_is_not_noticed) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = both(300 * kKib);
    const auto first = start(digest);
    wait(200ms);
    bad = {Fault::Kind::flip, 10};
    const auto evil = start(digest, {}, {}, kOther);
    finish(*first);
    EXPECT_TRUE(whole(digest, *first)) << first->why;
    EXPECT_LE(first->ended - first->began, 1500ms);
    finish(*evil);
    EXPECT_TRUE(evil->bytes.empty() || evil->failed || whole(digest, *evil));
}

TEST_F(BesideTest, two_good_ones_bring_it_once) {
    boot();
    const auto digest = both(1000 * kKib);
    std::vector<std::shared_ptr<Reading>> readings;
    for (int i = 0; i < 8; ++i) {
        readings.push_back(start(digest));
        readings.push_back(start(digest, {}, {}, kOther));
    }
    for (const auto& reading : readings) {
        finish(*reading);
        EXPECT_TRUE(whole(digest, *reading)) << reading->why;
    }
    EXPECT_EQ(given(digest).total, 1000 * kKib);
}

TEST_F(BesideTest, what_is_fetched_beside_is_stored_and_counted_once) {
    options.limits.max_bytes = 2000 * kKib;
    other().bytes_per_second = 3000;
    boot();
    const auto digest = both(300 * kKib);
    const auto evil = start(digest, {}, {}, kOther);
    wait(400ms);
    good_is_served(digest, "counted");
    evil->leave = true;
    finish(*evil);
    stop();
    EXPECT_EQ(machine->space().used(), 300 * kKib);
    machine->boot();
    EXPECT_EQ(read(digest)->from, From::hit_disk);
}

TEST_F(BesideTest, a_crash_leaves_nothing_of_what_was_fetched_beside) {
    other().bytes_per_second = 3000;
    mirror().bytes_per_second = 100 * kKib;
    options.tiers = true;  // for the pass over what was left
    options.eviction.min_free_bytes = 0;
    boot();
    const auto digest = both(300 * kKib);
    start(digest, {}, {}, kOther);
    wait(400ms);
    const auto reading = start(digest);
    until([&] { return reading->bytes.size() > 100 * kKib; });
    crash(FaultFiles::Loss::nothing);
    wait(5s);
    EXPECT_LE(machine->files().named_bytes(), machine->space().used());
    mirror().bytes_per_second = 1000 * kKib;
    good_is_served(digest, "after a crash");
}

}  // namespace
}  // namespace weir::cache
