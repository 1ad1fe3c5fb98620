// The promises of base/file.h on the real disk.
#include "base/file.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/failure.h"
#include "base/text.h"

namespace weir {
namespace {

struct PosixFilesTest : testing::Test {
    std::string root;
    Files& files = posix_files();

    PosixFilesTest() {
        std::string name = testing::TempDir() + "weir_files_XXXXXX";
        root = mkdtemp(name.data());
    }
    ~PosixFilesTest() override { std::filesystem::remove_all(root); }
    std::string path(const std::string& name) const { return join_path(root, name); }

    template <class F>
    static Kind kind_of(F f) {
        try {
            f();
        } catch (const Failure& failure) {
            return failure.kind();
        }
        return Kind::internal;
    }
};

TEST_F(PosixFilesTest, what_is_written_is_read_at_any_offset) {
    auto file = files.create(path("a"));
    file->write_at(0, as_bytes("hello "));
    file->write_at(6, as_bytes("world"));
    EXPECT_EQ(file->size(), 11u);
    std::byte buffer[64];
    EXPECT_EQ(file->read_at(6, buffer), 5u);
    EXPECT_EQ(as_text(std::span(buffer).first(5)), "world");
    EXPECT_EQ(file->read_at(11, buffer), 0u);
    EXPECT_EQ(file->read_at(1000, buffer), 0u);
    EXPECT_GE(file->descriptor(), 0);
    file->sync();
}

TEST_F(PosixFilesTest, a_hole_reads_as_zeros) {
    auto file = files.create(path("a"));
    file->write_at(4096, as_bytes("x"));
    std::byte buffer[2];
    EXPECT_EQ(file->read_at(4095, buffer), 2u);
    EXPECT_EQ(buffer[0], std::byte{0});
    EXPECT_EQ(file->size(), 4097u);
}

TEST_F(PosixFilesTest, reserving_does_not_change_the_size) {
    auto file = files.create(path("a"));
    file->allocate(1 << 20);
    EXPECT_EQ(file->size(), 0u);
    file->allocate(0);
}

TEST_F(PosixFilesTest, what_is_given_back_takes_no_room_on_the_disk) {
    const auto on_disk = [&] {
        struct stat info{};
        EXPECT_EQ(::stat(path("a").c_str(), &info), 0);
        return static_cast<uint64_t>(info.st_blocks) * 512;
    };
    constexpr uint64_t kMib = 1 << 20;
    auto file = files.create(path("a"));
    file->allocate(8 * kMib);
    const std::string bytes(4 * kMib, 'x');
    file->write_at(0, as_bytes(bytes));
    file->sync();
    EXPECT_GE(on_disk(), 8 * kMib);
    file->release(kMib, 3 * kMib);
    EXPECT_EQ(file->size(), 4 * kMib);
    EXPECT_LE(on_disk(), 6 * kMib + 65536);
    file->cut(4 * kMib);
    EXPECT_EQ(file->size(), 4 * kMib);
    EXPECT_LE(on_disk(), 2 * kMib + 65536) << "also where nothing was beyond its end";
    std::byte at_hole[2];
    EXPECT_EQ(file->read_at(3 * kMib - 1, at_hole), 2u);
    EXPECT_EQ(at_hole[0], std::byte{0});
    EXPECT_EQ(at_hole[1], std::byte{'x'});
    file->cut(kMib / 2);
    EXPECT_EQ(file->size(), kMib / 2);
    EXPECT_LE(on_disk(), kMib / 2 + 65536);
    file->cut(kMib);
    EXPECT_EQ(file->size(), kMib / 2) << "never longer";
    file->release(0, 0);
}

TEST_F(PosixFilesTest, a_file_is_created_once_and_not_for_everybody) {
    files.create(path("a"));
    EXPECT_EQ(kind_of([&] { files.create(path("a")); }), Kind::io);
    struct stat info{};
    ASSERT_EQ(::stat(path("a").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07, 0u);
}

TEST_F(PosixFilesTest, a_file_that_is_not_there_is_none) {
    files.create(path("a"));
    EXPECT_EQ(files.open(path("none"), false), nullptr);
    EXPECT_EQ(files.open(path("a/below"), false), nullptr);
    EXPECT_FALSE(files.remove(path("none")));
    EXPECT_FALSE(files.remove(path("a/below")));
    EXPECT_TRUE(files.remove(path("a")));
    EXPECT_EQ(files.open(path("a"), true), nullptr);
}

TEST_F(PosixFilesTest, a_rename_replaces) {
    files.create(path("a"))->write_at(0, as_bytes("new"));
    files.create(path("b"))->write_at(0, as_bytes("older"));
    files.rename(path("a"), path("b"));
    files.sync_directory(root);
    EXPECT_EQ(read_file(files, path("b"), 100), "new");
    EXPECT_EQ(files.open(path("a"), false), nullptr);
    EXPECT_EQ(kind_of([&] { files.rename(path("none"), path("b")); }), Kind::io);
}

TEST_F(PosixFilesTest, an_open_file_outlives_its_name) {
    auto file = files.create(path("a"));
    file->write_at(0, as_bytes("still here"));
    files.remove(path("a"));
    std::byte buffer[10];
    EXPECT_EQ(file->read_at(0, buffer), 10u);
}

// On a small file system of the child's own, which ends with it. The exit code tells.
int write_more_than_a_disk_holds(const std::string& place) {
    const pid_t child = ::fork();
    if (child == 0) {
        const int spaces = CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER);
        if (::unshare(spaces) != 0 ||
            ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            ::mount("tmpfs", place.c_str(), "tmpfs", 0, "size=64k") != 0)
            ::_exit(20);
        try {
            posix_files().create(place + "/a")->write_at(0, as_bytes(std::string(256'000, 'x')));
        } catch (const Failure& failure) {
            ::_exit(failure.kind() == Kind::no_space ? 0 : 10);
        }
        ::_exit(11);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(PosixFilesTest, a_full_disk_is_told_from_other_errors) {
    EXPECT_EQ(write_more_than_a_disk_holds(root), 0);
    auto file = files.create(path("a"));
    auto reader = files.open(path("a"), false);
    EXPECT_EQ(kind_of([&] { reader->write_at(0, as_bytes("x")); }), Kind::io);
}

TEST_F(PosixFilesTest, a_failure_names_the_file_and_the_reason) {
    try {
        files.create(path("no/such/folder"));
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.what(),
                  "create " + path("no/such/folder") + ": No such file or directory");
    }
}

TEST_F(PosixFilesTest, directories_are_made_listed_and_measured) {
    files.make_directories(path("x/y/z"));
    files.make_directories(path("x/y/z"));
    files.create(path("x/a"));
    auto names = files.list(path("x"));
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{"a", "y"}));
    EXPECT_TRUE(files.list(path("x/y/z")).empty());
    EXPECT_EQ(kind_of([&] { files.list(path("none")); }), Kind::io);
    EXPECT_EQ(kind_of([&] { files.make_directories(path("x/a/b")); }), Kind::io);
    EXPECT_EQ(kind_of([&] { files.sync_directory(path("none")); }), Kind::io);
    const DiskSpace space = files.space(root);
    EXPECT_GT(space.total_bytes, 0u);
    EXPECT_LE(space.free_bytes, space.total_bytes);
    EXPECT_EQ(kind_of([&] { files.space(path("none")); }), Kind::io);
}

TEST_F(PosixFilesTest, a_whole_file_is_read_up_to_the_limit) {
    const std::string text(40'000, 'x');
    files.create(path("a"))->write_at(0, as_bytes(text));
    EXPECT_EQ(read_file(files, path("a"), text.size()), text);
    EXPECT_EQ(kind_of([&] { read_file(files, path("a"), text.size() - 1); }), Kind::too_large);
    EXPECT_EQ(read_file(files, path("none"), 10), std::nullopt);
    EXPECT_FALSE(read_file(files, "/proc/self/status", 1 << 20)->empty());
}

// Somebody may put anything in a blob's place. A pipe there held a thread for ever.
TEST_F(PosixFilesTest, what_is_no_regular_file_is_taken_as_missing) {
    ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
    files.create(path("file"));
    std::filesystem::create_symlink(path("file"), path("link"));
    std::filesystem::create_symlink(path("nowhere"), path("dangling"));
    std::filesystem::create_directory(path("directory"));
    for (const std::string& name : {path("fifo"), path("link"), path("dangling"), path("directory"),
                                    std::string("/dev/zero")})
        for (const bool writable : {false, true})
            EXPECT_EQ(files.open(name, writable), nullptr) << name << " " << writable;
    EXPECT_NE(files.open(path("file"), true), nullptr);
    EXPECT_FALSE(files.remove(path("directory")));
    EXPECT_TRUE(files.remove(path("fifo")));
    EXPECT_TRUE(files.remove(path("link")));
    EXPECT_TRUE(std::filesystem::exists(path("file")));
}

TEST(Path, parts_are_joined_and_taken_apart) {
    EXPECT_EQ(join_path("a/b", "c"), "a/b/c");
    EXPECT_EQ(join_path("a/b/", "c"), "a/b/c");
    EXPECT_EQ(join_path("/", "c"), "/c");
    EXPECT_EQ(join_path("", "c"), "c");
    EXPECT_EQ(parent_path("/a/b/c"), "/a/b");
    EXPECT_EQ(parent_path("/a"), "/");
    EXPECT_EQ(parent_path("a"), "");
}

}  // namespace
}  // namespace weir
