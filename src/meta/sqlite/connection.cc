#include "meta/sqlite/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <system_error>

#include "base/failure.h"
#include "base/file.h"
#include "base/log.h"
#include "base/named_file.h"
#include "base/text.h"

namespace weir::meta {
namespace {

constexpr int kSwitchPauseMs = 5;
constexpr mode_t kMode = 0600, kOthers = 0077;

// What an operator can do about it.
std::string hint(int code, const std::string& path) {
    switch (code & 0xff) {
        case SQLITE_NOTADB:
            return "; this file is not weir's metadata: move it away, or set another path";
        case SQLITE_CORRUPT:
            return "; the database is damaged: restore a copy, or move it and the blobs away to "
                   "start anew";
        case SQLITE_CANTOPEN:
            return fmt::format("; does {} exist, and may weir write there?", parent_path(path));
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_AUTH:
            return fmt::format("; weir must be able to write the file and {}", parent_path(path));
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return "; another process holds the database: is there a second weir on it?";
        case SQLITE_FULL:
            return "; free some space, weir goes on by itself";
        default:
            return "";
    }
}

bool disk_full(int code, int system_error) {
    if ((code & 0xff) == SQLITE_FULL) return true;
    const bool storage = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    return storage && (system_error == ENOSPC || system_error == EDQUOT);
}

// The database holds private manifests: it is its owner's, and so is what SQLite makes beside it,
// which takes over its mode. Files of an older weir are closed to the others too. Never opened
// here: closing it would give back the locks that this process holds on it (fcntl(2)).
void keep_to_owner(const std::string& path) {
    for (const char* part : {"", "-wal", "-shm", "-journal"})
        require_file("metadata", path + part, Links::refused);
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
    if (fd >= 0) close(fd);
    for (const char* part : {"", "-wal", "-shm", "-removals"}) {
        const std::string file = path + part;
        struct stat status{};
        if (lstat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
        if ((status.st_mode & kOthers) == 0) continue;
        if (chmod(file.c_str(), kMode) != 0)
            log::warn("meta", "{} can be read by others, and that can't be changed: {}", file,
                      std::generic_category().message(errno));
    }
}

}  // namespace

Connection::Connection(std::string path, Role role) : path_(std::move(path)) {
    if (role == Role::writer && path_ != ":memory:") keep_to_owner(path_);
    const int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    const int code = sqlite3_open_v2(path_.c_str(), &db_, flags, nullptr);
    try {
        if (code != SQLITE_OK) fail(code);
        sqlite3_busy_timeout(db_, kBusyTimeoutMs);
        // The file is read through the page cache of the system: memory-mapped pages would count as
        // ours, and a disk error would be a signal. Page caches of our own stay small.
        execute(role == Role::writer ? "PRAGMA mmap_size = 0; PRAGMA cache_size = -4096"
                                     : "PRAGMA mmap_size = 0; PRAGMA cache_size = -1024");
        if (role == Role::reader) execute("PRAGMA query_only = 1");
    } catch (...) {
        sqlite3_close_v2(db_);
        throw;
    }
}

Connection::~Connection() {
    for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
    sqlite3_close_v2(db_);
}

void Connection::execute(const std::string& sql) {
    const int code = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) fail(code);
}

int Connection::try_text(const std::string& sql, std::string& value) {
    sqlite3_stmt* statement = nullptr;
    int code = sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
        if (const auto* found = code == SQLITE_ROW ? sqlite3_column_text(statement, 0) : nullptr)
            value = reinterpret_cast<const char*>(found);
    }
    sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

std::string Connection::text(const std::string& sql) {
    std::string value;
    if (const int code = try_text(sql, value); code != SQLITE_OK) fail(code);
    return value;
}

// The switch reads first and then wants to write, and SQLite's own waiting (busy_timeout) is only
// for the first lock of a statement: of two who switch a new file at the same time one is told
// "database is locked" at once.
std::string Connection::switch_to_log() {
    for (int waited_ms = 0;; waited_ms += kSwitchPauseMs) {
        std::string mode;
        const int code = try_text("PRAGMA journal_mode = WAL", mode);
        if (code == SQLITE_OK) return mode;
        if ((code & 0xff) != SQLITE_BUSY || waited_ms >= kBusyTimeoutMs) fail(code);
        sqlite3_sleep(kSwitchPauseMs);
    }
}

int64_t Connection::number(const std::string& sql) {
    const auto value = text(sql);
    const bool negative = value.starts_with('-');
    const auto magnitude = parse_u64(std::string_view(value).substr(negative ? 1 : 0));
    const auto number = static_cast<int64_t>(magnitude.value_or(0));
    return negative ? -number : number;
}

sqlite3_stmt* Connection::prepared(const char* sql) {
    auto [at, fresh] = statements_.try_emplace(sql, nullptr);
    if (at->second == nullptr) {
        const int code =
            sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &at->second, nullptr);
        if (code != SQLITE_OK) fail(code);
    }
    return at->second;
}

void Connection::fail(int code) const {
    const int system_error = db_ == nullptr ? 0 : sqlite3_system_errno(db_);
    std::string what = fmt::format("metadata {}: {}", path_,
                                   db_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db_));
    const bool storage = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    if (storage && system_error != 0)
        what += fmt::format(" ({})", std::generic_category().message(system_error));
    throw Failure(disk_full(code, system_error) ? Kind::no_space : Kind::io,
                  what + hint(code, path_));
}

Query::~Query() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
}

bool Query::next() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) connection_.fail(code);
    return false;
}

uint64_t Query::run() {
    while (next()) {
    }
    return static_cast<uint64_t>(sqlite3_changes64(connection_.handle()));
}

bool Query::is_null(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

uint64_t Query::number(int column) const {
    return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
}

double Query::real(int column) const {
    return sqlite3_column_double(statement_, column);
}

std::string Query::text(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const int size = sqlite3_column_bytes(statement_, column);
    return bytes == nullptr ? std::string() : std::string(bytes, static_cast<size_t>(size));
}

WallTime Query::time(int column) const {
    return WallTime(std::chrono::microseconds(sqlite3_column_int64(statement_, column)));
}

oci::Digest Query::digest(int column) const {
    const std::string key = text(column);
    const bool sha512 = key.size() == 65 && key[0] == 1;
    if (!sha512 && !(key.size() == 33 && key[0] == 0))
        throw Failure(Kind::io,
                      fmt::format("metadata {}: a stored digest of {} bytes makes no sense",
                                  connection_.path(), key.size()));
    return oci::Digest::from_sum(
        sha512 ? oci::Digest::Algorithm::sha512 : oci::Digest::Algorithm::sha256,
        as_bytes(std::string_view(key).substr(1)));
}

void Query::bind(int index, uint64_t value) {
    // A size can be what somebody's header says.
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        throw Failure(Kind::io, fmt::format("metadata {}: {} is too large to be stored",
                                            connection_.path(), value));
    bound(sqlite3_bind_int64(statement_, index, static_cast<int64_t>(value)));
}

void Query::bind(int index, double value) {
    bound(sqlite3_bind_double(statement_, index, value));
}

void Query::bind(int index, WallTime value) {
    bound(sqlite3_bind_int64(statement_, index, value.time_since_epoch().count()));
}

void Query::bind(int index, std::string_view value) {
    // A null pointer would bind NULL.
    const char* data = value.empty() ? "" : value.data();
    bound(
        sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Query::bind(int index, const Bytes& value) {
    const char* data = value.bytes.empty() ? "" : value.bytes.data();
    bound(sqlite3_bind_blob64(statement_, index, data, value.bytes.size(), SQLITE_TRANSIENT));
}

void Query::bind(int index, const oci::Digest& value) {
    const std::string key = digest_key(value);
    bind(index, Bytes{key});
}

Transaction::Transaction(Connection& connection) : connection_(connection) {
    Query(connection_, "BEGIN IMMEDIATE").run();
}

Transaction::~Transaction() {
    // SQLite has already rolled back after some errors, a full disk among them.
    if (open_ && sqlite3_get_autocommit(connection_.handle()) == 0)
        sqlite3_exec(connection_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

void Transaction::commit() {
    Query(connection_, "COMMIT").run();
    open_ = false;
}

std::string digest_key(const oci::Digest& digest) {
    std::string key(1, static_cast<char>(digest.algorithm()));
    key += as_text(digest.sum());
    return key;
}

}  // namespace weir::meta
