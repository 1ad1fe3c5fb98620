// meta/sqlite/database.h: the connections to one file: a writer, a few readers, and one that
// checkpoints.
//
// Any thread. A read sees every write that returned before it began. Readers never wait for the
// writer, nor the writer for them; a read waits only when all readers are busy.
#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <type_traits>
#include <vector>

#include "meta/sqlite/connection.h"
#include "meta/sqlite/sqlite_metadata.h"

namespace weir::meta {

class Database {
public:
    // Pages in the write-ahead log from which on it is copied into the database, beside readers and
    // writers ...
    static constexpr int kCheckpointPages = 1000;
    // ... and from which on writers wait for it, because overlapping transactions kept it from
    // starting over: 32 MiB.
    static constexpr int kLogLimitPages = 8192;

    explicit Database(SqliteOptions);
    // On a copy() alone.
    explicit Database(std::unique_ptr<Connection> copy);

    // All of it as it is now, in a file without a name.
    std::unique_ptr<Connection> copy();

    template <class F>
    auto read(F f) {
        if (in_memory_) {
            std::lock_guard lock(writer_mutex_);
            return f(*writer_);
        }
        Lease reader(*this);
        return f(*reader.connection);
    }

    // Of the disk: pages in use and the log, but kEmptyBytes.
    static constexpr uint64_t kEmptyBytes = 8ull << 20;
    uint64_t bytes();

    // What other processes did since the last call, or since it was opened.
    struct Others {
        bool wrote = false;
        int64_t disk_bytes = 0;  // of blobs and staging that came, less those that went
    };
    Others seen_others();

    // One transaction: committed when `f` returns, rolled back when it throws.
    template <class F>
    auto write(F f) {
        return finish([&] { return transact(f); });
    }

    // The same, and it survives a power cut whatever the options say.
    template <class F>
    auto write_durably(F f) {
        return finish([&] {
            const Synced synced(*this);
            return transact(f);
        });
    }

private:
    // A reader out of the pool.
    struct Lease {
        explicit Lease(Database&);
        ~Lease();
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        Database& database;
        std::unique_ptr<Connection> connection;
    };
    struct Synced {
        explicit Synced(Database&);
        ~Synced();
        Synced(const Synced&) = delete;
        Synced& operator=(const Synced&) = delete;
        Database& database;
    };

    template <class F>
    auto transact(F& f) {
        Transaction transaction(*writer_);
        const int64_t before = disk_bytes();
        if constexpr (std::is_void_v<decltype(f(*writer_))>) {
            f(*writer_);
            commit(transaction, before);
        } else {
            auto result = f(*writer_);
            commit(transaction, before);
            return result;
        }
    }
    void commit(Transaction&, int64_t disk_bytes_before);
    // As the counters have it.
    int64_t disk_bytes();

    template <class F>
    auto finish(F f) {
        const AfterWrite checkpoint{*this};
        std::lock_guard lock(writer_mutex_);
        return f();
    }
    // Runs when the writer is free again.
    struct AfterWrite {
        ~AfterWrite() { database.checkpoint_if_due(); }
        Database& database;
    };

    void checkpoint_if_due() noexcept;

    const SqliteOptions options_;
    const bool in_memory_;

    std::atomic<int> log_pages_{0};  // the writer's hook sets it
    std::mutex writer_mutex_;
    std::unique_ptr<Connection> writer_;
    // What changed between two of our own transactions was others' doing.
    int64_t disk_bytes_known_ = 0;
    int64_t disk_bytes_by_others_ = 0;
    uint64_t version_known_ = 0;

    std::mutex readers_mutex_;
    std::condition_variable reader_free_;
    std::vector<std::unique_ptr<Connection>> idle_readers_;
    size_t readers_ = 0;  // idle and in use

    std::mutex checkpoint_mutex_;
    std::unique_ptr<Connection> checkpointer_;
    bool checkpoint_failed_ = false;
};

}  // namespace weir::meta
