#include "meta/sqlite/removals.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/log.h"

namespace weir::meta {
namespace {

// The file's bytes are there before they are mapped: a hole that the disk has no room for would be
// a signal when it is written.
bool filled(int file) {
    const uint64_t zero = 0;
    const off_t size = lseek(file, 0, SEEK_END);
    if (size >= static_cast<off_t>(sizeof zero)) return true;
    return size >= 0 && pwrite(file, &zero, sizeof zero, 0) == sizeof zero;
}

}  // namespace

Removals::Removals(const std::string& path) {
    if (path.empty()) return;
    const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    void* mapped = MAP_FAILED;
    if (file >= 0 && filled(file))
        mapped = mmap(nullptr, sizeof(Number), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    const int error = errno;
    if (file >= 0) close(file);
    if (mapped == MAP_FAILED) {
        log::warn("meta", "{}: {}; what another process removes is noticed later", path,
                  std::generic_category().message(error));
        return;
    }
    number_ = static_cast<Number*>(mapped);
}

Removals::~Removals() {
    if (number_ != &own_) munmap(number_, sizeof(Number));
}

}  // namespace weir::meta
