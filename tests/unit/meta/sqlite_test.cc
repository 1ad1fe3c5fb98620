// SqliteMetadata: the contract over a file and over memory, and what is SQLite's own: foreign,
// newer, read-only and broken files, full disks, the log, the time to open.
#include <gmock/gmock.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>

#include "base/failure.h"
#include "base/file.h"
#include "meta/sqlite/schema.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "support/fill_metadata.h"
#include "support/temporary_directory.h"
#include "unit/meta/contract.h"
#include "unit/meta/sqlite_backend.h"

namespace weir::meta {
namespace {

INSTANTIATE_TEST_SUITE_P(Sqlite, MetadataContract, testing::ValuesIn(sqlite_implementations()),
                         implementation_name);

// What opening or `f` fails with; "" when it doesn't.
std::string failure_of(const std::function<void()>& f, Kind expected = Kind::io) {
    try {
        f();
        return "";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), expected) << failure.what();
        return failure.what();
    }
}

void run_sql(const std::string& path, const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
    sqlite3_close(db);
}

std::string content(const std::string& path) {
    return read_file(posix_files(), path, 1 << 30).value_or("");
}

TEST(Sqlite, a_file_that_is_no_database_is_refused_and_left_alone) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    const std::string text(5000, 'x');
    std::ofstream(path) << text;
    const auto what = failure_of([&] { open_sqlite({path}); });
    EXPECT_THAT(what, testing::HasSubstr(path));
    EXPECT_THAT(what, testing::HasSubstr("move it away"));
    EXPECT_EQ(content(path), text);
}

TEST(Sqlite, a_database_of_something_else_is_refused_and_left_alone) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    run_sql(path, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    const std::string before = content(path);
    const auto what = failure_of([&] { open_sqlite({path}); });
    EXPECT_THAT(what, testing::HasSubstr(path));
    EXPECT_THAT(what, testing::HasSubstr("not weir's"));
    EXPECT_EQ(content(path), before);
}

TEST(Sqlite, a_newer_schema_is_refused_and_left_alone) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    open_sqlite({path})->put_blob(blob_row(1), "a/b");
    run_sql(path, "PRAGMA user_version = 999");
    const auto what = failure_of([&] { open_sqlite({path}); });
    EXPECT_THAT(what, testing::HasSubstr("newer weir (schema 999"));
    run_sql(path, "PRAGMA user_version = " + std::to_string(newest_schema()));
    EXPECT_TRUE(open_sqlite({path})->find_blob(digest_of(1)));
}

TEST(Sqlite, a_missing_directory_is_named) {
    TemporaryDirectory directory;
    const auto what = failure_of([&] { open_sqlite({directory / "no/meta.db"}); });
    EXPECT_THAT(what, testing::HasSubstr(directory / "no"));
}

TEST(Sqlite, a_damaged_file_never_looks_empty) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    {
        auto db = open_sqlite({path});
        for (uint64_t i = 1; i <= 500; ++i) db->put_blob(blob_row(i), "a/b");
    }
    // Every page but the first is overwritten.
    const auto size = std::filesystem::file_size(path);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(size - 4096, '\x55');
    file.close();
    const auto what = failure_of([&] { open_sqlite({path})->find_blob(digest_of(1)); });
    EXPECT_THAT(what, testing::HasSubstr(path));
    EXPECT_THAT(what, testing::HasSubstr("damaged"));
}

TEST(Sqlite, a_truncated_file_never_looks_empty) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    {
        auto db = open_sqlite({path});
        for (uint64_t i = 1; i <= 500; ++i) db->put_blob(blob_row(i), "a/b");
    }
    std::filesystem::resize_file(path, 4096);
    EXPECT_NE(failure_of([&] { open_sqlite({path})->find_blob(digest_of(1)); }), "");
}

TEST(Sqlite, a_file_that_may_not_be_written_is_refused_at_once) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    open_sqlite({path})->put_blob(blob_row(1), "a/b");
    std::filesystem::permissions(path, std::filesystem::perms(0444));
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0555));
    // Root may write everything, so a child steps down.
    const pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534) != 0) _exit(3);
        try {
            open_sqlite({path});
            _exit(1);
        } catch (const Failure& failure) {
            const std::string what = failure.what();
            _exit(failure.kind() == Kind::io && what.find(path) != std::string::npos ? 0 : 2);
        }
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
}

// SQLite asks the system through a table that a test may change: a disk that is full, or fails.
class FailingDisk {
public:
    explicit FailingDisk(int error) {
        error_ = error;
        vfs_->xSetSystemCall(vfs_, "pwrite", reinterpret_cast<sqlite3_syscall_ptr>(&pwrite_fails));
        vfs_->xSetSystemCall(vfs_, "pwrite64",
                             reinterpret_cast<sqlite3_syscall_ptr>(&pwrite_fails));
        vfs_->xSetSystemCall(vfs_, "write", reinterpret_cast<sqlite3_syscall_ptr>(&write_fails));
    }
    ~FailingDisk() {
        for (const char* call : {"pwrite", "pwrite64", "write"})
            vfs_->xSetSystemCall(vfs_, call, nullptr);
    }

private:
    static ssize_t pwrite_fails(int, const void*, size_t, off_t) {
        return write_fails(0, nullptr, 0);
    }
    static ssize_t write_fails(int, const void*, size_t) {
        errno = error_;
        return -1;
    }
    static inline int error_ = 0;
    sqlite3_vfs* vfs_ = sqlite3_vfs_find(nullptr);
};

TEST(Sqlite, a_full_disk_is_no_space_and_writing_goes_on_when_it_ends) {
    TemporaryDirectory directory;
    auto db = open_sqlite({directory / "meta.db"});
    db->put_blob(blob_row(1), "a/b");
    {
        FailingDisk disk(ENOSPC);
        const auto what = failure_of([&] { db->put_blob(blob_row(2), "a/b"); }, Kind::no_space);
        EXPECT_THAT(what, testing::HasSubstr(directory / "meta.db"));
        EXPECT_TRUE(db->find_blob(digest_of(1)));
    }
    EXPECT_FALSE(db->find_blob(digest_of(2)));
    EXPECT_TRUE(db->put_blob(blob_row(2), "a/b"));
    EXPECT_EQ(db->usage().blobs, 2u);
}

TEST(Sqlite, a_failing_disk_is_io_and_writing_goes_on_when_it_ends) {
    TemporaryDirectory directory;
    auto db = open_sqlite({directory / "meta.db"});
    {
        FailingDisk disk(EIO);
        EXPECT_NE(failure_of([&] { db->next_generation(); }), "");
        EXPECT_NE(failure_of([&] { db->put_blob(blob_row(2), "a/b"); }), "");
    }
    EXPECT_EQ(db->usage().blobs, 0u);
    EXPECT_EQ(db->next_generation(), 1u);
    EXPECT_TRUE(db->put_blob(blob_row(2), "a/b"));
}

TEST(Sqlite, a_size_beyond_what_can_be_stored_is_a_failure_not_an_end) {
    auto db = open_sqlite({":memory:"});
    StagingRow row = staging_row(1, 1, 10);
    row.size = std::numeric_limits<uint64_t>::max();
    EXPECT_NE(failure_of([&] { db->put_staging(row); }), "");
    EXPECT_FALSE(db->find_staging(row.digest));
    row.size = 10;
    db->put_staging(row);
}

TEST(Sqlite, two_processes_on_one_file_share_it_and_never_a_generation) {
    TemporaryDirectory directory;
    auto one = open_sqlite({directory / "meta.db"});
    auto two = open_sqlite({directory / "meta.db"});
    std::set<uint64_t> seen;
    for (int i = 0; i < 1500; ++i) {
        EXPECT_TRUE(seen.insert(one->next_generation()).second);
        EXPECT_TRUE(seen.insert(two->next_generation()).second);
    }
    EXPECT_TRUE(one->put_blob(blob_row(1, 5), "a/b"));
    EXPECT_FALSE(two->put_blob(blob_row(1, 6), "a/c"));
    EXPECT_EQ(two->find_blob(digest_of(1))->generation, 5u);
}

TEST(Sqlite, many_who_open_a_new_file_at_once_all_get_it) {
    for (int round = 0; round < 10; ++round) {
        TemporaryDirectory directory;
        std::atomic<int> opened{0};
        std::vector<std::jthread> threads;
        for (uint64_t t = 0; t < 6; ++t) {
            threads.emplace_back([&, t] {
                auto db = open_sqlite({directory / "meta.db"});
                db->put_blob(blob_row(t + 1), "a/b");
                ++opened;
            });
        }
        threads.clear();
        EXPECT_EQ(opened, 6);
        EXPECT_EQ(open_sqlite({directory / "meta.db"})->usage().blobs, 6u);
    }
}

TEST(Sqlite, a_new_file_that_somebody_else_is_just_making_is_waited_for) {
    TemporaryDirectory directory;
    const std::string path = directory / "meta.db";
    sqlite3* other = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
    auto opening = std::async(std::launch::async, [&path] { return open_sqlite({path}); });
    EXPECT_EQ(opening.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
    ASSERT_EQ(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(other);
    EXPECT_EQ(opening.get()->usage().blobs, 0u);
}

TEST(Sqlite, remembered_lists_of_a_repository_are_bounded_and_the_oldest_go) {
    auto db = open_sqlite({":memory:"});
    for (int i = 0; i < 1100; ++i)
        db->put_list("a/b", "tags", "n=" + std::to_string(i), {"x", "", "", false, at(i)});
    db->put_list("a/other", "tags", "", {"x", "", "", false, at(0)});
    EXPECT_FALSE(db->find_list("a/b", "tags", "n=99"));
    EXPECT_TRUE(db->find_list("a/b", "tags", "n=100"));
    EXPECT_TRUE(db->find_list("a/b", "tags", "n=1099"));
    EXPECT_TRUE(db->find_list("a/other", "tags", ""));
}

TEST(Sqlite, the_log_stays_small_under_readers_that_overlap) {
    TemporaryDirectory directory;
    auto db = open_sqlite({directory / "meta.db"});
    std::atomic<bool> done{false};
    std::vector<std::jthread> readers;
    for (int i = 0; i < 3; ++i) {
        readers.emplace_back([&] {
            while (!done) db->repositories("", 200);
        });
    }
    ManifestRow row = manifest_row(0);
    row.bytes.assign(64 << 10, 'x');
    uint64_t largest = 0;
    for (uint64_t i = 1; i <= 1200; ++i) {
        row.digest = digest_of(i);
        db->put_manifest(row, "a/" + std::to_string(i % 200), {}, "");
        largest =
            std::max<uint64_t>(largest, std::filesystem::file_size(directory / "meta.db-wal"));
    }
    done = true;
    readers.clear();
    EXPECT_LE(largest, 80u << 20);  // 64 MiB and one transaction, written: 80 MB
    EXPECT_EQ(db->usage().manifests, 1200u);
}

TEST(Sqlite, opening_takes_no_longer_when_much_is_stored) {
    TemporaryDirectory directory;
    const auto open_ms = [](const std::string& path) {
        double best = 1e9;
        for (int i = 0; i < 5; ++i) {
            const auto start = std::chrono::steady_clock::now();
            const Usage usage = open_sqlite({path})->usage();
            EXPECT_LE(usage.repositories, 10'000u);
            const std::chrono::duration<double, std::milli> took =
                std::chrono::steady_clock::now() - start;
            best = std::min(best, took.count());
        }
        return best;
    };
    const double empty = open_ms(directory / "empty.db");
    fill_metadata(directory / "full.db", 10'000, 100'000);
    const double full = open_ms(directory / "full.db");
    EXPECT_LE(full, std::max(3 * empty, empty + 20))
        << "empty: " << empty << " ms, full: " << full << " ms";
    const Usage usage = open_sqlite({directory / "full.db"})->usage();
    EXPECT_EQ(usage.blobs, 100'000u);
    EXPECT_EQ(usage.repositories, 10'000u);
}

}  // namespace
}  // namespace weir::meta
