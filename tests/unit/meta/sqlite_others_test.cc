// Two processes on one database: what one takes away, the other learns at once; what it stored or
// removed on the disk, when asked.
#include <gtest/gtest.h>

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

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
