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
