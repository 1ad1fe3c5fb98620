// FaultFiles: it behaves like a disk, and like one that fails.
#include "support/fault_files.h"

#include <gtest/gtest.h>

#include <set>

#include "base/failure.h"
#include "base/random.h"
#include "base/text.h"
#include "support/temporary_directory.h"

namespace weir {
namespace {

std::string content(const File& file) {
    std::string bytes(file.size(), '\0');
    bytes.resize(file.read_at(0, std::as_writable_bytes(std::span(bytes))));
    return bytes;
}

void write(File& file, uint64_t offset, const std::string& bytes) {
    file.write_at(offset, as_bytes(bytes));
}

std::optional<Kind> kind_of(const std::function<void()>& f) {
    try {
        f();
        return std::nullopt;
    } catch (const Failure& failure) {
        return failure.kind();
    }
}

TEST(FaultFiles, behaves_like_the_real_disk) {
    TemporaryDirectory directory;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE(seed);
        SeededRandom random(seed);
        FaultFiles memory;
        Files* disks[] = {&memory, &posix_files()};
        const std::string root = directory / std::to_string(seed);
        for (Files* disk : disks) disk->make_directories(root + "/d");
        const std::vector<std::string> names = {root + "/a", root + "/b", root + "/d/a",
                                                root + "/d/b"};
        for (int step = 0; step < 300; ++step) {
            const auto& name = names[random.below(names.size())];
            const auto& other = names[random.below(names.size())];
            const uint64_t action = random.below(8);
            const uint64_t offset = random.below(10'000);
            const std::string bytes(random.below(6000), static_cast<char>('a' + random.below(26)));
            std::vector<std::string> seen;
            for (Files* disk : disks) {
                std::string result;
                try {
                    if (action == 0) disk->create(name);
                    if (action == 1) disk->rename(name, other);
                    if (action == 2) result = disk->remove(name) ? "removed" : "absent";
                    auto file = disk->open(name, true);
                    if (action >= 3 && action < 6 && file) file->write_at(offset, as_bytes(bytes));
                    if (action == 6 && file) file->release(offset, offset + bytes.size());
                    if (action == 7 && file) file->cut(offset);
                    if (file) result += content(*file);
                    if (file && action == 5) {
                        std::string part(2000, '\0');
                        part.resize(
                            file->read_at(offset / 2, std::as_writable_bytes(std::span(part))));
                        result += part;
                    }
                } catch (const Failure& failure) {
                    result = kind_name(failure.kind());
                }
                auto listed = disk->list(root);
                std::sort(listed.begin(), listed.end());
                for (const auto& entry : listed) result += "/" + entry;
                seen.push_back(result);
            }
            ASSERT_EQ(seen[0], seen[1]) << "step " << step << " action " << action << " " << name;
        }
    }
}

TEST(FaultFiles, an_open_file_outlives_its_name) {
    FaultFiles files;
    auto file = files.create("/a");
    write(*file, 0, "data");
    EXPECT_TRUE(files.remove("/a"));
    EXPECT_EQ(content(*file), "data");
    EXPECT_EQ(files.stored_bytes(), FaultFiles::kPageBytes);
    file.reset();
    EXPECT_EQ(files.stored_bytes(), 0u);
}

TEST(FaultFiles, what_is_given_back_counts_no_more_also_after_a_crash) {
    FaultFiles files;
    auto file = files.create("/a");
    file->allocate(100'000);
    write(*file, 0, std::string(50'000, 'x'));
    file->sync();
    files.sync_directory("/");
    EXPECT_EQ(files.named_bytes(), 100'000u);
    file->release(1000, 30'000);
    EXPECT_EQ(files.named_bytes(), 71'000u);
    file->cut(1 << 20);
    EXPECT_EQ(file->size(), 50'000u);
    EXPECT_EQ(files.named_bytes(), 21'000u);
    file->cut(40'000);
    EXPECT_EQ(files.named_bytes(), 11'000u);
    const std::string kept =
        std::string(1000, 'x') + std::string(29'000, '\0') + std::string(10'000, 'x');
    EXPECT_EQ(content(*file), kept);
    file.reset();
    files.crash();
    EXPECT_EQ(files.named_bytes(), 11'000u);
    EXPECT_EQ(content(*files.open("/a", false)), kept);
    // The pages of [0, 1000) and of [30000, 40000).
    EXPECT_EQ(files.stored_bytes(), 4 * FaultFiles::kPageBytes);
}

TEST(FaultFiles, a_file_opened_for_reading_is_not_written) {
    FaultFiles files;
    files.create("/a");
    EXPECT_EQ(kind_of([&] { write(*files.open("/a", false), 0, "x"); }), Kind::io);
    EXPECT_EQ(files.open("/a", false)->descriptor(), -1);
}

TEST(FaultFiles, a_crash_takes_what_was_not_synced) {
    FaultFiles files;
    auto file = files.create("/a");
    write(*file, 0, "synced");
    file->sync();
    files.sync_directory("/");
    write(*file, 3, "DONE");
    files.crash();
    EXPECT_EQ(kind_of([&] { content(*file); }), Kind::io);
    EXPECT_EQ(kind_of([&] { write(*file, 0, "x"); }), Kind::io);
    EXPECT_EQ(content(*files.open("/a", false)), "synced");
}

TEST(FaultFiles, a_crash_takes_names_that_were_not_synced) {
    FaultFiles files;
    auto file = files.create("/a");
    write(*file, 0, "x");
    file->sync();
    files.crash();
    EXPECT_FALSE(files.open("/a", false));
    EXPECT_EQ(files.stored_bytes(), 0u);
}

TEST(FaultFiles, a_rename_is_undone_by_a_crash_unless_a_directory_was_synced) {
    for (const std::string synced : {"", "/from", "/to"}) {
        SCOPED_TRACE(synced);
        FaultFiles files;
        files.make_directories("/from");
        files.make_directories("/to");
        files.sync_directory("/");
        files.create("/from/a")->sync();
        files.sync_directory("/from");
        files.rename("/from/a", "/to/b");
        if (!synced.empty()) files.sync_directory(synced);
        files.crash();
        EXPECT_EQ(files.open("/from/a", false) != nullptr, synced.empty());
        EXPECT_EQ(files.open("/to/b", false) != nullptr, !synced.empty());
    }
}

TEST(FaultFiles, a_file_in_a_directory_that_was_not_synced_is_lost_with_it) {
    FaultFiles files;
    files.make_directories("/x/y");
    files.create("/x/y/a")->sync();
    files.sync_directory("/x/y");
    files.sync_directory("/x");
    files.crash();
    EXPECT_EQ(kind_of([&] { files.list("/x"); }), Kind::io);
    files.make_directories("/x/y");
    files.create("/x/y/a")->sync();
    files.sync_directory("/x/y");
    files.sync_directory("/x");
    files.sync_directory("/");
    files.crash();
    EXPECT_TRUE(files.open("/x/y/a", false));
}

TEST(FaultFiles, a_removed_file_comes_back_unless_its_directory_was_synced) {
    FaultFiles files;
    files.create("/a");
    files.create("/b");
    files.sync_directory("/");
    files.remove("/a");
    files.crash();
    EXPECT_TRUE(files.open("/a", false));
    files.remove("/a");
    files.sync_directory("/");
    files.crash();
    EXPECT_FALSE(files.open("/a", false));
    EXPECT_TRUE(files.open("/b", false));
}

TEST(FaultFiles, replacing_a_file_leaves_the_old_or_the_new_whole) {
    std::set<std::string> outcomes;
    for (uint64_t seed = 0; seed < 60; ++seed) {
        FaultFiles files(seed);
        auto old = files.create("/a");
        write(*old, 0, "old");
        old->sync();
        files.sync_directory("/");
        auto fresh = files.create("/a.new");
        write(*fresh, 0, "new");
        fresh->sync();
        files.rename("/a.new", "/a");
        files.crash(FaultFiles::Loss::some);
        auto file = files.open("/a", false);
        ASSERT_TRUE(file);
        outcomes.insert(content(*file));
    }
    EXPECT_EQ(outcomes, (std::set<std::string>{"old", "new"}));
}

TEST(FaultFiles, a_torn_crash_keeps_sectors_of_the_old_or_the_new_and_nothing_else) {
    std::set<std::string> outcomes;
    for (uint64_t seed = 0; seed < 40; ++seed) {
        FaultFiles files(seed);
        auto file = files.create("/a");
        write(*file, 0, std::string(3 * FaultFiles::kPageBytes, 'o'));
        file->sync();
        files.sync_directory("/");
        write(*file, 1000, std::string(2 * FaultFiles::kPageBytes, 'n'));
        write(*file, 4 * FaultFiles::kPageBytes, "tail");
        files.crash(FaultFiles::Loss::some);
        const std::string found = content(*files.open("/a", false));
        ASSERT_GE(found.size(), 3 * FaultFiles::kPageBytes);
        ASSERT_LE(found.size(), 4 * FaultFiles::kPageBytes + 4);
        EXPECT_EQ(found.substr(0, 512), std::string(512, 'o'));
        for (size_t at = 1024; at < 2 * FaultFiles::kPageBytes; at += 512) {
            const std::string sector = found.substr(at, 512);
            EXPECT_EQ(sector, std::string(512, sector[0]));
        }
        outcomes.insert(found);
    }
    EXPECT_GT(outcomes.size(), 10u);
}

TEST(FaultFiles, is_full_at_its_capacity) {
    FaultFiles files;
    files.set_capacity(10 * FaultFiles::kPageBytes);
    auto file = files.create("/a");
    file->allocate(8 * FaultFiles::kPageBytes);
    EXPECT_EQ(files.space("/").free_bytes, 2 * FaultFiles::kPageBytes);
    auto other = files.create("/b");
    EXPECT_EQ(kind_of([&] { other->allocate(3 * FaultFiles::kPageBytes); }), Kind::no_space);
    EXPECT_EQ(other->size(), 0u);
    // What is allocated may be written, sparse files take what they hold.
    write(*file, 7 * FaultFiles::kPageBytes, "x");
    write(*other, 1ull << 40, "x");
    write(*other, 1ull << 41, "x");
    EXPECT_EQ(kind_of([&] { write(*other, 0, "x"); }), Kind::no_space);
    EXPECT_EQ(files.stored_bytes(), 10 * FaultFiles::kPageBytes);
    files.remove("/a");
    file.reset();
    write(*other, 0, "x");
    EXPECT_EQ(files.stored_bytes(), 3 * FaultFiles::kPageBytes);
    files.crash();
    EXPECT_EQ(files.stored_bytes(), 0u);
}

TEST(FaultFiles, fails_by_chance_and_changes_nothing_then) {
    FaultFiles files(3);
    auto file = files.create("/a");
    write(*file, 0, "before");
    files.set_error_rates({.write = 1});
    EXPECT_EQ(kind_of([&] { write(*file, 0, "after!"); }), Kind::io);
    files.set_error_rates({.read = 1, .sync = 1});
    EXPECT_EQ(kind_of([&] { content(*file); }), Kind::io);
    EXPECT_EQ(kind_of([&] { file->sync(); }), Kind::io);
    files.set_error_rates({.name = 0.5});
    int failed = 0;
    for (int i = 0; i < 200; ++i)
        failed += kind_of([&] { files.create("/f" + std::to_string(i)); }).has_value() ? 1 : 0;
    EXPECT_GT(failed, 60);
    EXPECT_LT(failed, 140);
    files.set_error_rates({});
    EXPECT_EQ(content(*file), "before");
}

TEST(FaultFiles, the_power_can_go_after_any_change) {
    for (uint64_t changes = 0; changes <= 4; ++changes) {
        FaultFiles files;
        files.power_off_after(changes);
        EXPECT_EQ(files.powered(), changes > 0);
        const auto kind = kind_of([&] {
            auto file = files.create("/a");
            write(*file, 0, "x");
            file->sync();
            files.sync_directory("/");
            files.rename("/a", "/b");
        });
        EXPECT_EQ(kind, Kind::io);
        EXPECT_EQ(files.changes(), changes);
        EXPECT_FALSE(files.powered());
        EXPECT_EQ(kind_of([&] { files.open("/a", false); }), Kind::io);
        files.power_on(FaultFiles::Loss::everything);
        EXPECT_EQ(files.open("/a", false) != nullptr, changes == 4);
    }
}

}  // namespace
}  // namespace weir
