#include "meta/sqlite/removals.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/log.h"
#include "base/random.h"

namespace weir::meta {
namespace {

// A raise is a step of chance: two processes may read the same number and raise it at once, and
// both have to be noticed.
constexpr uint64_t kMaxStep = 1ull << 32;

constexpr mode_t kMode = 0600;

// The file's bytes are there before they are mapped: beyond its end there is nothing to read.
bool filled(int file) {
    const uint64_t zero = 0;
    const off_t size = lseek(file, 0, SEEK_END);
    if (size >= static_cast<off_t>(sizeof zero)) return true;
    return size >= 0 && pwrite(file, &zero, sizeof zero, 0) == sizeof zero;
}

}  // namespace

Removals::Removals(const std::string& path) {
    if (path.empty()) return;
    file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kMode);
    if (file_ < 0 || !filled(file_)) {
        log::warn("meta", "{}: {}; what another process removes is noticed later", path,
                  std::generic_category().message(errno));
        if (file_ >= 0) close(file_);
        file_ = -1;
        return;
    }
    // Where no memory may be locked, each look is a system call (0.14 us), which can fail in peace.
    page_.emplace(file_, sizeof(Number));
}

Removals::~Removals() {
    page_.reset();
    if (file_ >= 0) close(file_);
}

// Where the disk gives none, what it gave last: the memory goes on serving what it knows.
uint64_t Removals::read() const noexcept {
    uint64_t now = 0;
    if (file_ >= 0 && pread(file_, &now, sizeof now, 0) == sizeof now) read_last_ = now;
    return read_last_;
}

// By a write, not through the mapping: it fails with an error, and then this process knows, and the
// others notice later.
void Removals::raise() noexcept {
    own_.fetch_add(1, std::memory_order_acq_rel);
    if (file_ < 0) return;
    const uint64_t next = shared() + 1 + system_random().below(kMaxStep);
    if (pwrite(file_, &next, sizeof next, 0) != sizeof next)
        log::warn("meta", "other processes notice later what was removed: {}",
                  std::generic_category().message(errno));
}

}  // namespace weir::meta
