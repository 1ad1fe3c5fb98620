// tests/support/fault_files.h: a disk in memory that can fill up, fail, and lose its power.
//
// It remembers what was synced. After a crash() only that is there, plus, if asked, a seeded random
// part of the rest, down to single sectors: file contents since the last sync(), names since the
// last sync_directory(). What it takes for granted, as journaling file systems do: a rename is
// atomic, also across directories, and syncing either directory makes it durable; a name is durable
// only if its directory, and each above it, is; what a file gives back (release, cut) is gone at
// once, and for good.
//
// Any thread. Seeded: the same calls in the same order give the same faults. Files have no
// descriptor().
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"

namespace weir {

class FaultFiles : public Files {
public:
    static constexpr uint64_t kPageBytes = 4096;   // what space is counted in
    static constexpr uint64_t kSectorBytes = 512;  // what a torn write is made of

    // The chance that one call of a kind fails with Failure{io} and changes nothing.
    struct Rates {
        double read = 0;   // read_at, open
        double write = 0;  // write_at, allocate, release, cut
        double sync = 0;   // sync, sync_directory; nothing becomes durable
        double name = 0;   // create, rename, remove, make_directories
    };
    // What a crash does to what was not synced. Nothing: only the process died.
    enum class Loss { everything, some, nothing };

    explicit FaultFiles(uint64_t seed = 0);
    ~FaultFiles() override;

    // Writing beyond it is Failure{no_space}, once what still fits is written. Removed files count
    // until they are closed.
    void set_capacity(uint64_t bytes);
    uint64_t stored_bytes() const;
    // What all files that have a name hold: what was written or allocated. Holes don't count, nor
    // does the rest of a page that was written in part: weir's limits are in bytes.
    uint64_t named_bytes() const;
    void set_error_rates(Rates);

    // From now on, or after so many further calls that change something, every call is Failure{io}
    // until power_on().
    void power_off();
    void power_off_after(uint64_t changes);
    bool powered() const;
    // The disk is as a new process finds it. Files opened before stay broken for good.
    void power_on(Loss);
    void crash(Loss = Loss::everything);

    // Calls so far that changed something; syncs count.
    uint64_t changes() const;
    uint64_t syncs() const;

    std::shared_ptr<File> open(const std::string& path, bool writable) override;
    std::shared_ptr<File> create(const std::string& path) override;
    void rename(const std::string& from, const std::string& to) override;
    bool remove(const std::string& path) override;
    void make_directories(const std::string& path) override;
    void sync_directory(const std::string& path) override;
    DiskSpace space(const std::string& path) override;
    std::vector<std::string> list(const std::string& path) override;

    struct Disk;  // of fault_files.cc

private:
    std::shared_ptr<Disk> disk_;
};

}  // namespace weir
