#include "app/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

#include "base/failure.h"
#include "base/file.h"
#include "base/log.h"

namespace weir::app {
namespace {

// Each arena keeps what was freed in it; with many threads that is most of an idle process.
constexpr int kArenas = 2;
// Larger pieces are given back when they are freed.
constexpr int kMmapThresholdBytes = 256 * 1024;
constexpr int kTrimThresholdBytes = 1024 * 1024;

// What is in the state directory is for weir's user: the database holds private manifests.
constexpr mode_t kOwnerOnlyDirectory = 0700, kOwnerOnlyFile = 0600;
constexpr int kNoDescriptors = 1;  // not even /dev/null can be opened: nobody can be told

[[noreturn]] void unusable(const std::string& path, const std::string& why) {
    throw Failure(Kind::config_invalid,
                  fmt::format("storage.rootDirectory: {}: {}. Give weir a directory it may write "
                              "to, or run it as the directory's owner (uid {} now).",
                              path, why, geteuid()));
}

}  // namespace

void open_standard_descriptors() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
        // The lowest that is free is this one: those below are open.
        if (open("/dev/null", O_RDWR) != fd) std::_Exit(kNoDescriptors);
    }
}

size_t prepare_process() {
    mallopt(M_ARENA_MAX, kArenas);
    mallopt(M_MMAP_THRESHOLD, kMmapThresholdBytes);
    mallopt(M_TRIM_THRESHOLD, kTrimThresholdBytes);
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    if (limit.rlim_cur < limit.rlim_max) {
        rlimit raised{limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    }
    return limit.rlim_cur;
}

void require_files(size_t limit, size_t threads) {
    const size_t least = kFilesOfItsOwn + kFilesPerThread * threads;
    if (limit >= least) return;
    throw Failure(Kind::config_invalid,
                  fmt::format("only {} files may be open at once, weir needs {} at least and some "
                              "thousands to serve many: raise the limit (ulimit -n 65536, or "
                              "LimitNOFILE=65536 in the service's unit)",
                              limit, least));
}

size_t usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return std::max<size_t>(1, static_cast<size_t>(CPU_COUNT(&set)));
    return std::max(1u, std::thread::hardware_concurrency());
}

StateRoot::StateRoot(std::string path) : path_(std::move(path)) {
    std::error_code error;
    while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
    if (const std::string parent = parent_path(path_); !parent.empty())
        std::filesystem::create_directories(parent, error);
    if (error) unusable(path_, error.message());
    if (mkdir(path_.c_str(), kOwnerOnlyDirectory) != 0 && errno != EEXIST)
        unusable(path_, std::strerror(errno));
    if (access(path_.c_str(), W_OK | X_OK) != 0) unusable(path_, std::strerror(errno));
    directory_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory_ < 0) unusable(path_, std::strerror(errno));
    // NFS locks no directories (EBADF and others): there the file has to do.
    if (flock(directory_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) refuse();
    const std::string lock = join_path(path_, "weir.lock");
    lock_ =
        open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kOwnerOnlyFile);
    if (lock_ < 0) {
        const int reason = errno;
        release();
        unusable(lock, std::strerror(reason));
    }
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0) refuse();
}

StateRoot::~StateRoot() {
    release();
}

void StateRoot::refuse() {
    release();
    throw Failure(Kind::config_invalid,
                  fmt::format("storage.rootDirectory: {} is in use by another weir", path_));
}

void StateRoot::release() {
    for (int* fd : {&lock_, &directory_})
        if (const int open = std::exchange(*fd, -1); open >= 0) close(open);
}

void write_ready_file(uint16_t port) {
    const char* path = std::getenv("WEIR_READY_FILE");
    if (path == nullptr || *path == '\0') return;
    const std::string fresh = fmt::format("{}.{}", path, getpid());
    std::ofstream file(fresh, std::ios::trunc);
    file << fmt::format("{{\"http\": {}, \"pid\": {}}}\n", port, getpid());
    file.close();
    if (!file || std::rename(fresh.c_str(), path) != 0)
        log::error("app", "WEIR_READY_FILE: can't write {}: {}", path, std::strerror(errno));
}

}  // namespace weir::app
