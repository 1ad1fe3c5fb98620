// DiskStore: the contract over the real disk and over one in memory, and what is its own: the
// layout, and crashes at every point of a store's life.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/random.h"
#include "store/disk_store.h"
#include "support/fault_files.h"
#include "support/temporary_directory.h"
#include "unit/store/contract.h"

namespace weir::store {
namespace {

class PosixBackend : public Backend {
public:
    explicit PosixBackend(bool durable) : durable_(durable) {}
    std::unique_ptr<Store> open() override {
        return open_disk_store({directory_ / "root", durable_}, posix_files(), pool_);
    }
    void crash(bool) override {}
    bool limit(uint64_t) override { return false; }
    bool durable() const override { return true; }  // no power cut happens

private:
    TemporaryDirectory directory_;
    ThreadPool pool_{"pool", 3};
    bool durable_;
};

class FaultBackend : public Backend {
public:
    explicit FaultBackend(bool durable) : durable_(durable) {
        files_.make_directories("/srv");
        files_.sync_directory("/");
    }
    std::unique_ptr<Store> open() override {
        return open_disk_store({"/srv/weir", durable_}, files_, pool_);
    }
    void crash(bool power) override {
        if (power) files_.crash();
    }
    bool limit(uint64_t bytes) override {
        files_.set_capacity(files_.stored_bytes() + bytes);
        return true;
    }
    bool durable() const override { return durable_; }

private:
    FaultFiles files_;
    InlinePool pool_;
    bool durable_;
};

INSTANTIATE_TEST_SUITE_P(
    DiskStore, StoreContract,
    testing::Values(
        Implementation{"posix", [] { return std::make_unique<PosixBackend>(false); }},
        Implementation{"posix_durable", [] { return std::make_unique<PosixBackend>(true); }},
        Implementation{"memory", [] { return std::make_unique<FaultBackend>(false); }},
        Implementation{"memory_durable", [] { return std::make_unique<FaultBackend>(true); }}),
    implementation_name);

TEST(DiskStore, a_blob_is_one_file_named_by_digest_and_generation) {
    TemporaryDirectory directory;
    InlinePool pool;
    auto store = open_disk_store({directory.path()}, posix_files(), pool);
    Plain{*store}.put(digest_of(0xab), 42, "bytes");
    const std::string hex = digest_of(0xab).hex();
    EXPECT_TRUE(std::filesystem::exists(directory / ("blobs/sha256/ab/" + hex + ".42")));
    EXPECT_TRUE(std::filesystem::is_empty(directory / "staging"));
}

TEST(DiskStore, staging_with_a_size_takes_its_space_at_once) {
    TemporaryDirectory directory;
    InlinePool pool;
    auto store = open_disk_store({directory.path()}, posix_files(), pool);
    auto staging = Plain{*store}.stage(digest_of(1), 1, 1 << 20);
    struct stat info{};
    ASSERT_EQ(fstat(staging->file->descriptor(), &info), 0);
    EXPECT_EQ(info.st_size, 0);
    EXPECT_GE(info.st_blocks * 512, 1 << 20);
}

TEST(DiskStore, a_root_that_can_not_be_made_is_a_configuration_error_that_names_it) {
    TemporaryDirectory directory;
    InlinePool pool;
    posix_files().create(directory / "file");
    try {
        open_disk_store({directory / "file/root"}, posix_files(), pool);
        FAIL() << "opened";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::config_invalid);
        EXPECT_THAT(failure.what(), testing::HasSubstr(directory / "file/root"));
    }
}

TEST(DiskStore, a_directory_that_somebody_removed_is_made_again) {
    TemporaryDirectory directory;
    InlinePool pool;
    auto store = open_disk_store({directory.path()}, posix_files(), pool);
    Plain{*store}.put(digest_of(1), 1, "one");
    std::filesystem::remove_all(directory / "blobs");
    EXPECT_ANY_THROW(Plain{*store}.put(digest_of(1), 2, "two"));
    Plain{*store}.put(digest_of(1), 3, "three");
    EXPECT_EQ(content(*Plain{*store}.open(digest_of(1), 3)), "three");
}

TEST(DiskStore, without_durability_a_commit_syncs_nothing) {
    FaultFiles files;
    InlinePool pool;
    auto store = open_disk_store({"/root", false}, files, pool);
    const uint64_t before = files.syncs();
    Plain{*store}.put(digest_of(1), 1, "bytes");
    EXPECT_EQ(files.syncs(), before);
}

TEST(DiskStore, with_durability_a_commit_syncs_the_file_and_its_directory_once_each) {
    FaultFiles files;
    InlinePool pool;
    auto store = open_disk_store({"/root", true}, files, pool);
    Plain{*store}.put(digest_of(1), 1, "makes the directory");
    const uint64_t before = files.syncs();
    Plain{*store}.put(digest_of(1), 2, "bytes");
    EXPECT_EQ(files.syncs() - before, 2u);
}

// --- crashes
// --------------------------------------------------------------------------------------

// What the store said before the power went: for each blob its last certain state.
struct Said {
    bool committed = false;  // commit() returned
    bool started = false;    // commit() or erase() was called: either state may be found
    bool erased = false;     // erase() returned
    std::string bytes;
    std::string synced;  // of the staging, when sync() last returned
};

// Puts, resumes and erases until the disk dies under it.
void live(Store& store, Random& random, std::map<uint64_t, Said>& said, uint64_t first) {
    Plain plain{store};
    for (uint64_t generation = first;; ++generation) {
        Said& blob = said[generation];
        blob.bytes = bytes_of(generation, 1 + random.below(20'000));
        const auto digest = digest_of(static_cast<uint8_t>(generation % 251));
        auto staging = plain.stage(digest, generation, blob.bytes.size());
        const size_t half = blob.bytes.size() / 2;
        staging->file->write_at(0, as_bytes(std::string_view(blob.bytes).substr(0, half)));
        if (random.below(2) == 0) {
            plain.sync(staging);
            blob.synced = blob.bytes.substr(0, half);
        }
        staging->file->write_at(half, as_bytes(std::string_view(blob.bytes).substr(half)));
        if (random.below(4) == 0) continue;  // stays staged
        blob.started = true;
        plain.commit(staging);
        blob.committed = true;
        if (random.below(4) == 0) {
            blob.committed = false;
            plain.erase(digest, generation);
            blob.erased = true;
        }
    }
}

void expect_found(Store& store, const std::map<uint64_t, Said>& said, bool durable) {
    Plain plain{store};
    for (const auto& [generation, blob] : said) {
        SCOPED_TRACE(generation);
        const auto digest = digest_of(static_cast<uint8_t>(generation % 251));
        const auto file = plain.open(digest, generation);
        if (file && durable) EXPECT_EQ(content(*file), blob.bytes);
        if (file) EXPECT_TRUE(blob.started);
        if (blob.committed && durable) EXPECT_TRUE(file);
        if (blob.erased && durable) EXPECT_FALSE(file);
        const auto staging = plain.reopen(digest, generation);
        EXPECT_FALSE(file && staging);
        if (!blob.started && !blob.synced.empty()) {
            ASSERT_TRUE(staging);
            EXPECT_EQ(content(*staging->file).substr(0, blob.synced.size()), blob.synced);
        }
        plain.discard_left_over(digest, generation);
    }
}

void crash_everywhere(bool durable, FaultFiles::Loss loss) {
    for (uint64_t seed = 0; seed < 400; ++seed) {
        SCOPED_TRACE(seed);
        SeededRandom random(seed);
        FaultFiles files(seed);
        InlinePool pool;
        std::map<uint64_t, Said> said;
        uint64_t next = 1;
        for (int life = 0; life < 3; ++life) {
            files.power_off_after(1 + random.below(60));
            try {
                auto store = open_disk_store({"/weir", durable}, files, pool);
                live(*store, random, said, next);
            } catch (const Failure&) {
                ASSERT_FALSE(files.powered());
            }
            next = said.empty() ? 1 : said.rbegin()->first + 1;
            files.power_on(loss);
            auto store = open_disk_store({"/weir", durable}, files, pool);
            expect_found(*store, said, durable);
            // What was left is settled now, so the next life starts from certain states.
            for (auto& [generation, blob] : said) {
                const auto digest = digest_of(static_cast<uint8_t>(generation % 251));
                blob.synced.clear();
                blob.committed = Plain{*store}.open(digest, generation) != nullptr;
            }
            if (testing::Test::HasFailure()) return;
        }
    }
}

TEST(DiskStoreCrash, with_durability_no_commit_is_lost_and_no_blob_is_half) {
    crash_everywhere(true, FaultFiles::Loss::everything);
}

TEST(DiskStoreCrash, with_durability_nothing_is_lost_on_a_disk_that_tears_writes) {
    crash_everywhere(true, FaultFiles::Loss::some);
}

TEST(DiskStoreCrash, without_durability_a_staging_that_was_synced_is_still_there) {
    crash_everywhere(false, FaultFiles::Loss::everything);
    crash_everywhere(false, FaultFiles::Loss::some);
}

TEST(DiskStoreFaults, errors_are_failures_and_never_a_wrong_or_half_blob) {
    for (uint64_t seed = 0; seed < 200; ++seed) {
        SCOPED_TRACE(seed);
        SeededRandom random(seed);
        FaultFiles files(seed);
        InlinePool pool;
        auto store = open_disk_store({"/weir", true}, files, pool);
        files.set_error_rates({.read = 0.1, .write = 0.1, .sync = 0.1, .name = 0.1});
        std::map<uint64_t, std::string> committed;
        for (uint64_t generation = 1; generation < 30; ++generation) {
            const std::string bytes = bytes_of(generation, random.below(10'000));
            const auto digest = digest_of(static_cast<uint8_t>(generation));
            try {
                Plain{*store}.put(digest, generation, bytes);
                committed[generation] = bytes;
            } catch (const Failure& failure) {
                EXPECT_EQ(failure.kind(), Kind::io);
            }
        }
        files.set_error_rates({});
        files.crash();
        store = open_disk_store({"/weir", true}, files, pool);
        for (const auto& [generation, bytes] : committed) {
            const auto file =
                Plain{*store}.open(digest_of(static_cast<uint8_t>(generation)), generation);
            ASSERT_TRUE(file);
            EXPECT_EQ(content(*file), bytes);
        }
    }
}

}  // namespace
}  // namespace weir::store
