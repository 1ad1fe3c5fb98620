// base/file.h: the seam between weir and a disk.
//
// Everything that weir keeps in files goes through Files, so that the simulator can put a disk
// under the real cache code that fills up, fails, or forgets after a crash what was never synced.
// All calls block: they belong on a pool or a transfer thread, never on a serving loop. Errors are
// Failure{no_space} (ENOSPC, EDQUOT) or Failure{io}.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace weir {

// An open file. Any thread; concurrent reads and writes of different bytes are fine. Closed by the
// destructor.
class File {
public:
    virtual ~File() = default;
    // Reads until `into` is full or the file ends; returns the bytes read.
    virtual size_t read_at(uint64_t offset, std::span<std::byte> into) const = 0;
    virtual void write_at(uint64_t offset, std::span<const std::byte> from) = 0;
    // Reserves `bytes` from the start on the disk (fallocate), so that a disk that is too small
    // says so first. Where the file system can't, does nothing.
    virtual void allocate(uint64_t bytes) = 0;
    // [first, end) takes no room on the disk any more, but for the blocks it shares with what is
    // beside it, and reads as zeros; the size stays. Where the file system can't, does nothing.
    virtual void release(uint64_t first, uint64_t end) = 0;
    // Ends the file at `bytes`, if it was longer, and gives back what was allocated beyond its end.
    virtual void cut(uint64_t bytes) = 0;
    // The data is durable when it returns.
    virtual void sync() = 0;
    virtual uint64_t size() const = 0;
    // For sendfile; -1 when there is none (simulated files).
    virtual int descriptor() const = 0;
};

struct DiskSpace {
    uint64_t total_bytes = 0;
    uint64_t free_bytes = 0;  // for an ordinary user
};

class Files {
public:
    virtual ~Files() = default;
    // nullptr when the file isn't there.
    virtual std::shared_ptr<File> open(const std::string& path, bool writable) = 0;
    // Must not exist yet.
    virtual std::shared_ptr<File> create(const std::string& path) = 0;
    // Atomic; replaces. Durable after sync_directory() of the target's directory.
    virtual void rename(const std::string& from, const std::string& to) = 0;
    // false when it wasn't there.
    virtual bool remove(const std::string& path) = 0;
    virtual void make_directories(const std::string& path) = 0;
    virtual void sync_directory(const std::string& path) = 0;
    virtual DiskSpace space(const std::string& path) = 0;
    // Names in a directory. For the explicit verbs (rebuild, scrub) only: nothing on a start or a
    // pull lists.
    virtual std::vector<std::string> list(const std::string& path) = 0;
};

// The real disk; one for the process.
Files& posix_files();

// "a/b" + "c" -> "a/b/c"
std::string join_path(const std::string& directory, const std::string& name);
std::string parent_path(const std::string& path);
// The whole file, or nullopt when it isn't there. Failure{too_large} over `max_bytes`.
std::optional<std::string> read_file(Files&, const std::string& path, uint64_t max_bytes);

}  // namespace weir
