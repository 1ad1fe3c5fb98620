// app/process.h: what weir sets up in its process and around it, once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace weir::app {

// First of all: a supervisor may have closed 0, 1 or 2, and the next file that is opened would take
// the number, and what is said to standard output or error with it. They lead to /dev/null then.
void open_standard_descriptors();

// Raises the limit of open files to the hard limit and keeps the allocator from holding on to
// memory. Returns the limit.
size_t prepare_process();

// How many files this process must be able to open before it begins: its own (database, log, lock,
// names, a few blobs), some for each thread that polls, and some clients. With fewer, what fails
// would fail later and look like something else.
inline constexpr size_t kFilesOfItsOwn = 64;
inline constexpr size_t kFilesPerThread = 4;
// Failure{config_invalid} that says how to get more.
void require_files(size_t limit, size_t threads);

// Cores this process may use.
size_t usable_cores();

// The directory of all state: made if missing (for its owner only), writable, and locked against a
// second weir for as long as the object lives, also when somebody takes weir.lock away: the
// directory itself is locked too. Failure{config_invalid} with a hint.
class StateRoot {
public:
    explicit StateRoot(std::string path);
    ~StateRoot();
    StateRoot(const StateRoot&) = delete;
    StateRoot& operator=(const StateRoot&) = delete;
    const std::string& path() const { return path_; }

private:
    [[noreturn]] void refuse();
    void release();

    std::string path_;
    int directory_ = -1, lock_ = -1;
};

// WEIR_READY_FILE: {"http": port, "pid": pid}, whole or not at all. Nothing when the variable isn't
// set; a file that can't be written is told in the log.
void write_ready_file(uint16_t port);

}  // namespace weir::app
