// meta/sqlite/connection.h: one SQLite connection, its prepared statements, and SQLite's errors as
// Failures.
//
// A Connection is used by one thread at a time; whoever owns it sees to that. Failure{no_space}
// when the disk is full, otherwise Failure{io}; the message names the file and, where there is one,
// the way out.
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "oci/digest.h"

namespace weir::meta {

class Connection {
public:
    enum class Role { writer, reader };  // a reader refuses to write

    // How long a call waits for another process that writes.
    static constexpr int kBusyTimeoutMs = 10'000;

    // Opens or creates the file. SQLite reads it only when first asked, so a broken one shows
    // later.
    Connection(std::string path, Role);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    sqlite3* handle() const { return db_; }
    const std::string& path() const { return path_; }

    // Any number of statements without results.
    void execute(const std::string& sql);
    // The first column of the first row as a number or a text.
    int64_t number(const std::string& sql);
    std::string text(const std::string& sql);
    // Switches to the write-ahead log; returns the journal mode the file has then. Waits for others
    // who do the same.
    std::string switch_to_log();
    // `sql` must have static storage: the statement is kept under its address.
    sqlite3_stmt* prepared(const char* sql);
    [[noreturn]] void fail(int code) const;

private:
    int try_text(const std::string& sql, std::string& value);

    std::string path_;
    sqlite3* db_ = nullptr;
    std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

// A value for a BLOB column; a string_view binds as TEXT.
struct Bytes {
    std::string_view bytes;
};

// One run of a prepared statement: arguments bound in order, rows read with next(), columns by
// index. Values are copied when bound. Lives on the stack, inside one use of the connection.
class Query {
public:
    template <class... Args>
    Query(Connection& connection, const char* sql, const Args&... args)
        : connection_(connection), statement_(connection.prepared(sql)) {
        int index = 0;
        (bind(++index, args), ...);
    }
    ~Query();
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;

    // true: there is a row.
    bool next();
    // Runs a statement of which no row is expected; returns how many rows it changed.
    uint64_t run();

    bool is_null(int column) const;
    uint64_t number(int column) const;
    bool flag(int column) const { return number(column) != 0; }
    double real(int column) const;
    std::string text(int column) const;  // of TEXT and BLOB alike
    WallTime time(int column) const;
    oci::Digest digest(int column) const;

private:
    void bind(int index, uint64_t);
    void bind(int index, bool value) { bind(index, uint64_t{value}); }
    void bind(int index, double);
    void bind(int index, WallTime);
    void bind(int index, std::string_view);
    void bind(int index, const Bytes&);
    void bind(int index, const oci::Digest&);
    template <class T>
    void bind(int index, const std::optional<T>& value) {
        if (value) return bind(index, *value);
        bound(sqlite3_bind_null(statement_, index));
    }
    void bound(int code) const {
        if (code != SQLITE_OK) connection_.fail(code);
    }

    Connection& connection_;
    sqlite3_stmt* statement_;
};

// BEGIN IMMEDIATE ... COMMIT; rolled back unless commit() returned.
class Transaction {
public:
    explicit Transaction(Connection&);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void commit();

private:
    Connection& connection_;
    bool open_ = true;
};

// A digest as stored: one byte for the algorithm (0 sha256, 1 sha512), then the sum.
std::string digest_key(const oci::Digest&);

}  // namespace weir::meta
