// Two processes on one database: what one takes away, the other learns at once; what it stored or
// removed on the disk, when asked.
#include <gtest/gtest.h>

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/failure.h"
#include "meta/sqlite/connection.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "support/temporary_directory.h"
#include "unit/meta/backend.h"

namespace weir::meta {
namespace {

// What /proc says of where the calling process has mapped this file; "" where it has not.
std::string mapping_of(const std::string& path) {
    std::ifstream maps("/proc/self/smaps");
    std::string found;
    bool inside = false;
    for (std::string line; std::getline(maps, line);) {
        const bool begins = line.find("-") < line.find(" ");
        if (begins) inside = line.ends_with(path);
        if (inside) found += line + "\n";
    }
    return found;
}

// On a thread that may lock no memory.
template <class F>
void without_locked_memory(F f) {
    std::thread([&] {
        rlimit before{};
        ASSERT_EQ(getrlimit(RLIMIT_MEMLOCK, &before), 0);
        __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
        __user_cap_data_struct data[2]{};
        ASSERT_EQ(syscall(SYS_capget, &head, data), 0);
        data[0].effective &= ~(1u << CAP_IPC_LOCK);
        ASSERT_EQ(syscall(SYS_capset, &head, data), 0);
        const rlimit none{0, before.rlim_max};
        ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0);
        f();
        EXPECT_EQ(setrlimit(RLIMIT_MEMLOCK, &before), 0);
    }).join();
}

class Others : public testing::Test {
protected:
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    std::unique_ptr<Engine> server = open_sqlite({path});
    std::unique_ptr<Engine> verb = open_sqlite({path});
};

TEST_F(Others, what_one_removes_the_other_learns_before_the_call_returns) {
    server->put_tag("a", "t", {digest_of(1), at(1), ""});
    const uint64_t before = server->removals();
    verb->put_tag("a", "u", {digest_of(1), at(1), ""});
    EXPECT_EQ(server->removals(), before);
    EXPECT_TRUE(verb->remove_tag("a", "t"));
    EXPECT_GT(server->removals(), before);
}

TEST_F(Others, what_a_process_removed_that_could_not_say_so_is_learnt_when_asked) {
    server->put_tag("a", "t", {digest_of(1), at(1), ""});
    server->disk_bytes_by_others();
    uint64_t before = server->removals();
    server->disk_bytes_by_others();
    EXPECT_EQ(server->removals(), before) << "its own writes are no others'";
    Connection killed(path, Connection::Role::writer);
    killed.execute("DELETE FROM tags");
    server->disk_bytes_by_others();
    EXPECT_GT(server->removals(), before);
    before = server->removals();
    server->disk_bytes_by_others();
    EXPECT_EQ(server->removals(), before) << "once";
}

TEST_F(Others, bytes_that_others_store_and_remove_are_told_once_and_ones_own_never) {
    server->put_blob(blob_row(1, 1, 1000), "a");
    EXPECT_EQ(server->disk_bytes_by_others(), 0);
    verb->put_blob(blob_row(2, 2, 300), "a");
    server->put_blob(blob_row(3, 3, 5000), "a");
    verb->put_staging(staging_row(4, 4, 70));
    EXPECT_EQ(server->disk_bytes_by_others(), 370);
    EXPECT_EQ(server->disk_bytes_by_others(), 0);
    EXPECT_TRUE(verb->lost_on_disk(digest_of(1), 1));
    server->put_staging(staging_row(5, 5, 10));
    EXPECT_EQ(server->disk_bytes_by_others(), -1000);
    EXPECT_EQ(verb->disk_bytes_by_others(), 6010) << "the server is an other too";
}

TEST_F(Others, a_transaction_that_failed_counts_for_nobody) {
    verb->put_blob(blob_row(1, 1, 1000), "a");
    BlobRow impossible = blob_row(2, 2, UINT64_MAX);
    EXPECT_ANY_THROW(server->put_blob(impossible, "a"));
    EXPECT_EQ(server->disk_bytes_by_others(), 1000);
}

TEST_F(Others, no_access_to_the_number_can_bring_a_signal_from_a_failing_disk) {
    const std::string mapping = mapping_of(path + "-removals");
    EXPECT_NE(mapping.find(" r--s "), std::string::npos) << mapping;
    EXPECT_EQ(mapping.find(" rw-s "), std::string::npos) << mapping;
    std::istringstream lines(mapping);
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("VmFlags:")) continue;
        EXPECT_NE(line.find(" lo "), std::string::npos) << "locked: " << line;
    }
}

// Row 23: the process ended by SIGBUS.
TEST_F(Others, a_number_whose_file_is_cut_short_is_noticed_all_the_same) {
    const uint64_t before = server->removals();
    std::filesystem::resize_file(path + "-removals", 0);
    EXPECT_GE(server->removals() + verb->removals(), 0u);
    server->put_tag("a", "t", {digest_of(1), at(1), ""});
    EXPECT_TRUE(verb->remove_tag("a", "t"));
    EXPECT_NE(server->removals(), before);
    const uint64_t between = server->removals();
    server->put_tag("a", "t", {digest_of(1), at(1), ""});
    EXPECT_TRUE(verb->remove_tag("a", "t"));
    EXPECT_NE(server->removals(), between);
}

mode_t mode_of(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
}

TEST_F(Others, may_not_read_the_database_nor_what_lies_beside_it) {
    server->put_tag("a", "t", {digest_of(1), at(1), ""});
    for (const char* part : {"", "-wal", "-shm", "-removals"})
        EXPECT_EQ(mode_of(path + part), 0600u) << part;
}

TEST(OthersAlone, what_an_older_weir_left_open_to_all_is_closed) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    open_sqlite({path})->put_tag("a", "t", {digest_of(1), at(1), ""});
    for (const char* part : {"", "-removals"}) chmod((path + part).c_str(), 0644);
    const auto again = open_sqlite({path});
    for (const char* part : {"", "-wal", "-shm", "-removals"})
        EXPECT_EQ(mode_of(path + part), 0600u) << part;
}

TEST(OthersAlone, a_database_that_is_no_file_is_refused_in_a_sentence) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    ASSERT_EQ(mkfifo((directory / "fifo").c_str(), 0600), 0);
    std::filesystem::create_symlink(directory / "fifo", directory / "link");
    std::filesystem::create_directory(directory / "directory");
    for (const char* part : {"", "-wal", "-shm"}) {
        for (const char* thing : {"fifo", "link", "directory"}) {
            std::filesystem::rename(directory / thing, path + part);
            try {
                open_sqlite({path});
                ADD_FAILURE() << thing << " in place of " << part;
            } catch (const Failure& failure) {
                EXPECT_NE(std::string(failure.what()).find("not a file"), std::string::npos);
            }
            std::filesystem::rename(path + part, directory / thing);
        }
    }
}

TEST(OthersAlone, where_no_memory_may_be_locked_the_number_is_read_each_time) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    std::unique_ptr<Engine> server, verb;
    without_locked_memory([&] {
        server = open_sqlite({path});
        verb = open_sqlite({path});
    });
    EXPECT_EQ(mapping_of(path + "-removals"), "");
    server->put_tag("a", "t", {digest_of(1), at(1), ""});
    const uint64_t before = server->removals();
    EXPECT_TRUE(verb->remove_tag("a", "t"));
    EXPECT_GT(server->removals(), before);
}

TEST(OthersAlone, a_number_that_cannot_be_shared_counts_for_this_process) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    std::filesystem::create_directory(path + "-removals");
    const auto server = open_sqlite({path});
    server->put_tag("a", "t", {digest_of(1), at(1), ""});
    const uint64_t before = server->removals();
    EXPECT_TRUE(server->remove_tag("a", "t"));
    EXPECT_GT(server->removals(), before);
}

}  // namespace
}  // namespace weir::meta
