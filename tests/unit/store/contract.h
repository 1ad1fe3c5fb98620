// tests/unit/store/contract.h: what store/store.h promises, asked of any implementation.
//
// Include in one file of a test binary and instantiate StoreContract with the implementations to
// ask.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/failure.h"
#include "base/text.h"
#include "store/store.h"
#include "support/run_task.h"

namespace weir::store {

// One empty store for one test.
class Backend {
public:
    virtual ~Backend() = default;
    // A second open() after the first was closed finds what was there.
    virtual std::unique_ptr<Store> open() = 0;
    // The process ends without a word; with `power` the machine too. Where that can't be done,
    // nothing happens.
    virtual void crash(bool power) = 0;
    // From now on there is room for so many bytes more; false where that can't be done.
    virtual bool limit(uint64_t bytes) = 0;
    virtual bool durable() const = 0;
};

struct Implementation {
    std::string name;
    std::function<std::unique_ptr<Backend>()> make;
};

inline void PrintTo(const Implementation& implementation, std::ostream* out) {
    *out << implementation.name;
}

inline std::string implementation_name(const testing::TestParamInfo<Implementation>& info) {
    return info.param.name;
}

// Not the digest of anything: the store doesn't hash.
inline oci::Digest digest_of(uint8_t number,
                             oci::Digest::Algorithm algorithm = oci::Digest::Algorithm::sha256) {
    std::vector<std::byte> sum(algorithm == oci::Digest::Algorithm::sha256 ? 32 : 64,
                               std::byte{number});
    return oci::Digest::from_sum(algorithm, sum);
}

inline std::string bytes_of(uint64_t seed, size_t size) {
    std::string bytes(size, '\0');
    uint64_t x = seed + 1;
    for (char& c : bytes) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        c = static_cast<char>(x >> 56);
    }
    return bytes;
}

inline std::string content(const File& file) {
    std::string bytes(file.size(), '\0');
    const size_t got = file.read_at(0, std::as_writable_bytes(std::span(bytes)));
    bytes.resize(got);
    return bytes;
}

// The store with its tasks run to their ends.
struct Plain {
    Store& store;
    auto open(oci::Digest digest, uint64_t generation) {
        return run_task([&] { return store.open(digest, generation); });
    }
    auto stage(oci::Digest digest, uint64_t generation, std::optional<uint64_t> size) {
        return run_task([&] { return store.stage(digest, generation, size); });
    }
    auto reopen(oci::Digest digest, uint64_t generation) {
        return run_task([&] { return store.reopen(digest, generation); });
    }
    auto take_back(oci::Digest digest, uint64_t generation) {
        return run_task([&] { return store.take_back(digest, generation); });
    }
    void commit(std::shared_ptr<Staging> staging) {
        run_task([&] { return store.commit(staging); });
    }
    void discard(std::shared_ptr<Staging> staging) {
        run_task([&] { return store.discard(staging); });
    }
    void discard_left_over(oci::Digest digest, uint64_t generation) {
        run_task([&] { return store.discard_left_over(digest, generation); });
    }
    bool erase(oci::Digest digest, uint64_t generation) {
        return run_task([&] { return store.erase(digest, generation); });
    }
    void sync(std::shared_ptr<Staging> staging) {
        run_task([&] { return store.sync(staging); });
    }
    void put(oci::Digest digest, uint64_t generation, const std::string& bytes) {
        auto staging = stage(digest, generation, bytes.size());
        staging->file->write_at(0, as_bytes(bytes));
        commit(staging);
    }
};

class StoreContract : public testing::TestWithParam<Implementation> {
protected:
    // The process that had it is gone, and a new one starts.
    void restart(bool power) {
        store.reset();
        backend->crash(power);
        store = backend->open();
    }
    Plain plain() { return {*store}; }

    std::unique_ptr<Backend> backend = GetParam().make();
    std::unique_ptr<Store> store = backend->open();
};

TEST_P(StoreContract, a_committed_blob_is_read_as_it_was_written) {
    for (const auto algorithm : {oci::Digest::Algorithm::sha256, oci::Digest::Algorithm::sha512}) {
        for (const size_t size : {0u, 1u, 4096u, 100'000u}) {
            const auto digest = digest_of(static_cast<uint8_t>(size % 251), algorithm);
            plain().put(digest, 5 + size, bytes_of(size, size));
            const auto file = plain().open(digest, 5 + size);
            ASSERT_TRUE(file);
            EXPECT_EQ(content(*file), bytes_of(size, size));
        }
    }
}

TEST_P(StoreContract, a_blob_is_invisible_until_it_is_committed) {
    auto staging = plain().stage(digest_of(1), 1, 10);
    EXPECT_EQ(staging->digest, digest_of(1));
    EXPECT_EQ(staging->generation, 1u);
    EXPECT_EQ(staging->file->size(), 0u);
    staging->file->write_at(0, as_bytes("0123456789"));
    EXPECT_FALSE(plain().open(digest_of(1), 1));
    plain().commit(staging);
    EXPECT_TRUE(plain().open(digest_of(1), 1));
    EXPECT_FALSE(plain().reopen(digest_of(1), 1));
    EXPECT_EQ(content(*staging->file), "0123456789");
}

TEST_P(StoreContract, what_was_never_stored_is_not_there) {
    EXPECT_FALSE(plain().open(digest_of(1), 1));
    EXPECT_FALSE(plain().reopen(digest_of(1), 1));
    EXPECT_FALSE(plain().erase(digest_of(1), 1));
    plain().discard_left_over(digest_of(1), 1);
}

TEST_P(StoreContract, a_staging_file_is_sparse_and_written_in_any_order) {
    auto staging = plain().stage(digest_of(1), 1, std::nullopt);
    staging->file->write_at(1'000'000, as_bytes("end"));
    EXPECT_EQ(staging->file->size(), 1'000'003u);
    staging->file->write_at(0, as_bytes("start"));
    std::string got(5, '\0');
    EXPECT_EQ(staging->file->read_at(0, std::as_writable_bytes(std::span(got))), 5u);
    EXPECT_EQ(got, "start");
    EXPECT_EQ(staging->file->read_at(500'000, std::as_writable_bytes(std::span(got))), 5u);
    EXPECT_EQ(got, std::string(5, '\0'));
    EXPECT_EQ(staging->file->read_at(1'000'001, std::as_writable_bytes(std::span(got))), 2u);
}

TEST_P(StoreContract, a_dropped_staging_waits_for_the_next_process) {
    auto staging = plain().stage(digest_of(1), 1, 10);
    staging->file->write_at(0, as_bytes("01234"));
    plain().sync(staging);
    staging.reset();
    restart(false);
    staging = plain().reopen(digest_of(1), 1);
    ASSERT_TRUE(staging);
    EXPECT_EQ(staging->digest, digest_of(1));
    EXPECT_EQ(staging->generation, 1u);
    EXPECT_EQ(content(*staging->file), "01234");
    staging->file->write_at(5, as_bytes("56789"));
    plain().commit(staging);
    EXPECT_EQ(content(*plain().open(digest_of(1), 1)), "0123456789");
    EXPECT_FALSE(plain().reopen(digest_of(1), 1));
}

TEST_P(StoreContract, what_was_synced_survives_a_power_cut) {
    auto staging = plain().stage(digest_of(1), 1, std::nullopt);
    staging->file->write_at(0, as_bytes("durable"));
    plain().sync(staging);
    staging->file->write_at(7, as_bytes(" and not"));
    staging.reset();
    restart(true);
    staging = plain().reopen(digest_of(1), 1);
    ASSERT_TRUE(staging || !backend->durable());
    if (staging) EXPECT_EQ(content(*staging->file).substr(0, 7), "durable");
}

TEST_P(StoreContract, with_durability_a_committed_blob_survives_a_power_cut) {
    plain().put(digest_of(1), 1, bytes_of(1, 20'000));
    restart(true);
    const auto file = plain().open(digest_of(1), 1);
    if (backend->durable()) {
        ASSERT_TRUE(file);
        EXPECT_EQ(content(*file), bytes_of(1, 20'000));
    }
}

TEST_P(StoreContract, with_durability_what_was_removed_stays_away_after_a_power_cut) {
    plain().put(digest_of(1), 1, bytes_of(1, 20'000));
    auto staging = plain().stage(digest_of(2), 2, std::nullopt);
    staging->file->write_at(0, as_bytes("partial"));
    plain().sync(staging);
    ASSERT_TRUE(plain().erase(digest_of(1), 1));
    plain().discard(staging);
    staging.reset();
    restart(true);
    if (!backend->durable()) return;
    EXPECT_FALSE(plain().open(digest_of(1), 1));
    EXPECT_FALSE(plain().reopen(digest_of(2), 2));
}

TEST_P(StoreContract, a_committed_blob_survives_a_killed_process) {
    plain().put(digest_of(1), 1, bytes_of(1, 20'000));
    restart(false);
    const auto file = plain().open(digest_of(1), 1);
    ASSERT_TRUE(file);
    EXPECT_EQ(content(*file), bytes_of(1, 20'000));
}

TEST_P(StoreContract, what_was_committed_without_a_note_is_taken_back_and_committed_again) {
    EXPECT_FALSE(plain().take_back(digest_of(1), 7));
    plain().put(digest_of(1), 7, "bytes");
    restart(false);
    const auto again = plain().take_back(digest_of(1), 7);
    ASSERT_TRUE(again);
    EXPECT_EQ(content(*again->file), "bytes");
    EXPECT_FALSE(plain().open(digest_of(1), 7));
    EXPECT_FALSE(plain().take_back(digest_of(1), 7));
    EXPECT_TRUE(plain().reopen(digest_of(1), 7));
    plain().commit(again);
    EXPECT_EQ(content(*plain().open(digest_of(1), 7)), "bytes");
}

TEST_P(StoreContract, generations_of_one_digest_never_meet) {
    plain().put(digest_of(1), 1, "old");
    auto staging = plain().stage(digest_of(1), 2, 3);
    EXPECT_TRUE(plain().erase(digest_of(1), 1));
    staging->file->write_at(0, as_bytes("new"));
    plain().commit(staging);
    EXPECT_FALSE(plain().erase(digest_of(1), 1));
    EXPECT_FALSE(plain().open(digest_of(1), 1));
    EXPECT_EQ(content(*plain().open(digest_of(1), 2)), "new");
    plain().discard_left_over(digest_of(1), 2);
    EXPECT_TRUE(plain().open(digest_of(1), 2));
}

TEST_P(StoreContract, an_open_file_stays_readable_when_its_blob_is_erased) {
    plain().put(digest_of(1), 1, bytes_of(1, 9000));
    const auto file = plain().open(digest_of(1), 1);
    EXPECT_TRUE(plain().erase(digest_of(1), 1));
    EXPECT_FALSE(plain().erase(digest_of(1), 1));
    EXPECT_FALSE(plain().open(digest_of(1), 1));
    EXPECT_EQ(content(*file), bytes_of(1, 9000));
}

TEST_P(StoreContract, a_discarded_staging_is_gone_and_its_readers_go_on) {
    auto staging = plain().stage(digest_of(1), 1, 4);
    staging->file->write_at(0, as_bytes("data"));
    plain().discard(staging);
    EXPECT_EQ(content(*staging->file), "data");
    EXPECT_FALSE(plain().reopen(digest_of(1), 1));
    EXPECT_FALSE(plain().open(digest_of(1), 1));
    EXPECT_ANY_THROW(plain().commit(staging));
    EXPECT_FALSE(plain().open(digest_of(1), 1));
}

TEST_P(StoreContract, a_left_over_is_discarded_by_its_name) {
    plain().stage(digest_of(1), 1, 4);
    restart(false);
    plain().discard_left_over(digest_of(1), 1);
    EXPECT_FALSE(plain().reopen(digest_of(1), 1));
}

TEST_P(StoreContract, a_disk_that_is_too_small_says_so_before_the_first_byte) {
    plain().put(digest_of(9), 9, bytes_of(9, 1000));
    if (!backend->limit(64 << 10)) return;
    try {
        plain().stage(digest_of(1), 1, 1 << 20);
        FAIL() << "staged beyond the disk";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::no_space);
    }
    // Nothing is left of it, and what fits goes on.
    EXPECT_FALSE(plain().reopen(digest_of(1), 1));
    plain().put(digest_of(2), 2, bytes_of(2, 32 << 10));
    EXPECT_EQ(content(*plain().open(digest_of(2), 2)), bytes_of(2, 32 << 10));
    EXPECT_EQ(content(*plain().open(digest_of(9), 9)), bytes_of(9, 1000));
}

TEST_P(StoreContract, many_at_once_do_not_meet) {
    constexpr uint8_t kBlobs = 40;
    run_task([&]() -> Task<> {
        Scope scope("many");
        for (uint8_t i = 0; i < kBlobs; ++i) {
            scope.spawn(Loop::current(), [this, i]() -> Task<> {
                const std::string bytes = bytes_of(i, 3000);
                auto staging = co_await store->stage(digest_of(i), i + 1u, bytes.size());
                staging->file->write_at(0, as_bytes(bytes));
                co_await store->commit(staging);
                if (i % 4 == 0) EXPECT_TRUE(co_await store->erase(digest_of(i), i + 1u));
            });
        }
        co_await scope.join();
    });
    for (uint8_t i = 0; i < kBlobs; ++i) {
        const auto file = plain().open(digest_of(i), i + 1u);
        ASSERT_EQ(file != nullptr, i % 4 != 0);
        if (file) EXPECT_EQ(content(*file), bytes_of(i, 3000));
    }
}

}  // namespace weir::store
