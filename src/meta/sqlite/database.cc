#include "meta/sqlite/database.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include "base/failure.h"
#include "base/log.h"
#include "meta/sqlite/schema.h"

namespace weir::meta {
namespace {

// Another number once another connection has changed the file; of the writer that is another
// process.
uint64_t data_version(Connection& writer) {
    Query q(writer, "PRAGMA data_version");
    q.next();
    return q.number(0);
}

// One copy at a time, in any process.
class Turn {
public:
    explicit Turn(const std::string& path) {
        if (path.empty()) return;
        file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        while (file_ >= 0 && flock(file_, LOCK_EX) != 0 && errno == EINTR) {
        }
    }
    ~Turn() {
        if (file_ >= 0) close(file_);
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

private:
    int file_ = -1;
};

// No file has that name before, nor after.
class Unnamed {
public:
    explicit Unnamed(std::string path) : path_(std::move(path)) { remove(); }
    ~Unnamed() { remove(); }
    Unnamed(const Unnamed&) = delete;
    Unnamed& operator=(const Unnamed&) = delete;

private:
    void remove() const {
        if (path_.empty()) return;
        for (const char* part : {"", "-wal", "-journal"}) unlink((path_ + part).c_str());
    }
    const std::string path_;
};

}  // namespace

Database::Database(SqliteOptions options)
    : options_(std::move(options)), in_memory_(options_.path == ":memory:") {
    writer_ = std::make_unique<Connection>(options_.path, Connection::Role::writer);
    prepare_schema(*writer_, options_.durable);
    if (in_memory_) return;
    version_known_ = data_version(*writer_);
    disk_bytes_known_ = disk_bytes();
    // A log that grew once is cut back; our own checkpoints take the place of SQLite's, which run
    // inside a commit.
    writer_->execute("PRAGMA journal_size_limit = 4194304");
    sqlite3_wal_hook(
        writer_->handle(),
        [](void* pages, sqlite3*, const char*, int count) {
            *static_cast<std::atomic<int>*>(pages) = count;
            return SQLITE_OK;
        },
        &log_pages_);
}

Database::Database(std::unique_ptr<Connection> copy) : in_memory_(true), writer_(std::move(copy)) {}

std::unique_ptr<Connection> Database::copy() {
    const std::string path = in_memory_ ? ":memory:" : options_.path + "-rehearsal";
    const Turn turn(in_memory_ ? "" : options_.path + "-removals");
    const Unnamed unnamed(in_memory_ ? "" : path);
    auto copy = std::make_unique<Connection>(path, Connection::Role::writer);
    // Its bytes may well be lost, and nobody else opens it.
    copy->execute("PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE");
    read([&](Connection& from) {
        sqlite3_backup* backup = sqlite3_backup_init(copy->handle(), "main", from.handle(), "main");
        if (backup == nullptr) copy->fail(sqlite3_errcode(copy->handle()));
        const int code = sqlite3_backup_step(backup, -1);
        sqlite3_backup_finish(backup);
        if (code != SQLITE_DONE) copy->fail(code);
    });
    // From now on it needs no name: no log and no journal are made beside it.
    copy->execute("PRAGMA journal_mode = MEMORY");
    return copy;
}

uint64_t Database::bytes() {
    if (in_memory_) return 0;
    uint64_t bytes = read([](Connection& c) {
        const auto number = [&](const char* sql) {
            Query q(c, sql);
            return q.next() ? q.number(0) : 0;
        };
        return (number("PRAGMA page_count") - number("PRAGMA freelist_count")) *
               number("PRAGMA page_size");
    });
    struct stat log{};
    if (stat((options_.path + "-wal").c_str(), &log) == 0)
        bytes += static_cast<uint64_t>(log.st_size);
    return bytes - std::min(bytes, kEmptyBytes);
}

int64_t Database::disk_bytes() {
    Query q(*writer_, "SELECT disk_bytes + staging_bytes FROM counters");
    return q.next() ? static_cast<int64_t>(q.number(0)) : disk_bytes_known_;
}

void Database::commit(Transaction& transaction, int64_t disk_bytes_before) {
    const int64_t after = disk_bytes();
    transaction.commit();
    disk_bytes_by_others_ += disk_bytes_before - disk_bytes_known_;
    disk_bytes_known_ = after;
}

Database::Others Database::seen_others() {
    if (in_memory_) return {};
    std::lock_guard lock(writer_mutex_);
    const uint64_t version = data_version(*writer_);
    const int64_t now = disk_bytes();
    Others others;
    others.wrote = version != std::exchange(version_known_, version);
    others.disk_bytes =
        std::exchange(disk_bytes_by_others_, 0) + now - std::exchange(disk_bytes_known_, now);
    return others;
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
