#include "meta/sqlite/database.h"

#include <algorithm>
#include <exception>

#include "base/failure.h"
#include "base/log.h"
#include "meta/sqlite/schema.h"

namespace weir::meta {

Database::Database(SqliteOptions options)
    : options_(std::move(options)), in_memory_(options_.path == ":memory:") {
    writer_ = std::make_unique<Connection>(options_.path, Connection::Role::writer);
    prepare_schema(*writer_, options_.durable);
    if (in_memory_) return;
    // A log that grew once is cut back; our own checkpoints take the place of SQLite's, which run
    // inside a commit.
    writer_->execute("PRAGMA journal_size_limit = 16777216");
    sqlite3_wal_hook(
        writer_->handle(),
        [](void* pages, sqlite3*, const char*, int count) {
            *static_cast<std::atomic<int>*>(pages) = count;
            return SQLITE_OK;
        },
        &log_pages_);
}

Database::Lease::Lease(Database& owner) : database(owner) {
    const size_t limit = std::max<size_t>(owner.options_.readers, 1);
    std::unique_lock lock(owner.readers_mutex_);
    owner.reader_free_.wait(lock,
                            [&] { return !owner.idle_readers_.empty() || owner.readers_ < limit; });
    if (!owner.idle_readers_.empty()) {
        connection = std::move(owner.idle_readers_.back());
        owner.idle_readers_.pop_back();
        return;
    }
    ++owner.readers_;
    lock.unlock();
    try {
        connection = std::make_unique<Connection>(owner.options_.path, Connection::Role::reader);
    } catch (...) {
        lock.lock();
        --owner.readers_;
        lock.unlock();
        owner.reader_free_.notify_one();
        throw;
    }
}

Database::Lease::~Lease() {
    {
        std::lock_guard lock(database.readers_mutex_);
        database.idle_readers_.push_back(std::move(connection));
    }
    database.reader_free_.notify_one();
}

Database::Synced::Synced(Database& owner) : database(owner) {
    database.writer_->execute("PRAGMA synchronous = FULL");
}

Database::Synced::~Synced() {
    if (!database.options_.durable)
        sqlite3_exec(database.writer_->handle(), "PRAGMA synchronous = NORMAL", nullptr, nullptr,
                     nullptr);
}

void Database::checkpoint_if_due() noexcept {
    const int pages = log_pages_.load();
    if (pages < kCheckpointPages) return;
    // One is enough; whoever comes while it runs goes on.
    const std::unique_lock lock(checkpoint_mutex_, std::try_to_lock);
    if (!lock) return;
    try {
        if (!checkpointer_)
            checkpointer_ = std::make_unique<Connection>(options_.path, Connection::Role::writer);
        const int mode =
            pages < kLogLimitPages ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART;
        const int code =
            sqlite3_wal_checkpoint_v2(checkpointer_->handle(), nullptr, mode, nullptr, nullptr);
        if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY) checkpointer_->fail(code);
        checkpoint_failed_ = false;
    } catch (const std::exception& error) {
        // The write itself is safe in the log; said once, and tried again after the next write.
        if (!checkpoint_failed_) log::warn("meta", "checkpoint: {}", error.what());
        checkpoint_failed_ = true;
    }
}

}  // namespace weir::meta
