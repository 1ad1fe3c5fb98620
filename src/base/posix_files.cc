#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fmt/format.h>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/failure.h"
#include "base/file.h"
#include "base/log.h"
#include "base/named_file.h"

namespace weir {
namespace {

[[noreturn]] void fail(const char* what, const std::string& path, int error) {
    const Kind kind = error == ENOSPC || error == EDQUOT ? Kind::no_space : Kind::io;
    throw Failure(kind,
                  fmt::format("{} {}: {}", what, path, std::generic_category().message(error)));
}

class PosixFile : public File {
public:
    PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    ~PosixFile() override { ::close(fd_); }
    PosixFile(const PosixFile&) = delete;
    PosixFile& operator=(const PosixFile&) = delete;

    size_t read_at(uint64_t offset, std::span<std::byte> into) const override {
        size_t done = 0;
        while (done < into.size()) {
            const ssize_t got = ::pread(fd_, into.data() + done, into.size() - done,
                                        static_cast<off_t>(offset + done));
            if (got == 0) break;
            if (got < 0) {
                if (errno == EINTR) continue;
                fail("read", path_, errno);
            }
            done += static_cast<size_t>(got);
        }
        return done;
    }

    void write_at(uint64_t offset, std::span<const std::byte> from) override {
        size_t done = 0;
        while (done < from.size()) {
            const ssize_t put = ::pwrite(fd_, from.data() + done, from.size() - done,
                                         static_cast<off_t>(offset + done));
            if (put < 0) {
                if (errno == EINTR) continue;
                fail("write", path_, errno);
            }
            if (put == 0) fail("write", path_, EIO);
            done += static_cast<size_t>(put);
        }
    }

    void allocate(uint64_t bytes) override {
        if (bytes == 0) return;
        // Without FALLOC_FL_KEEP_SIZE the file would look longer than what has arrived.
        int result;
        do {
            result = ::fallocate(fd_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
        } while (result != 0 && errno == EINTR);
        if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return;
        fail("allocate", path_, errno);
    }

    void release(uint64_t first, uint64_t end) override {
        if (first >= end) return;
        int result;
        do {
            result = ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 static_cast<off_t>(first), static_cast<off_t>(end - first));
        } while (result != 0 && errno == EINTR);
        if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return;
        fail("release", path_, errno);
    }

    void cut(uint64_t bytes) override {
        // Also where the size stays: that is what gives back blocks beyond it.
        const auto end = static_cast<off_t>(std::min(size(), bytes));
        int result;
        do {
            result = ::ftruncate(fd_, end);
        } while (result != 0 && errno == EINTR);
        if (result != 0) fail("cut", path_, errno);
    }

    void sync() override {
        if (::fdatasync(fd_) != 0) fail("sync", path_, errno);
    }

    uint64_t size() const override {
        struct stat info{};
        if (::fstat(fd_, &info) != 0) fail("stat", path_, errno);
        return static_cast<uint64_t>(info.st_size);
    }

    int descriptor() const override { return fd_; }

private:
    int fd_;
    std::string path_;
};

std::shared_ptr<File> no_file(const std::string& path) {
    log::warn("store", "{} is {}, not a file: taken as missing", path,
              instead_of_file(path, Links::refused));
    return nullptr;
}

class PosixFiles : public Files {
public:
    // Somebody may have put anything in a file's place. O_NONBLOCK: a pipe without a writer would
    // hold this thread for ever. Regular files know nothing of it.
    std::shared_ptr<File> open(const std::string& path, bool writable) override {
        constexpr int kFlags = O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY;
        const int fd = ::open(path.c_str(), (writable ? O_RDWR : O_RDONLY) | kFlags);
        if (fd < 0) {
            if (errno == ENOENT || errno == ENOTDIR) return nullptr;
            // A link; a directory to be written; a pipe or socket that nobody reads.
            if (errno == ELOOP || errno == EISDIR || errno == ENXIO) return no_file(path);
            fail("open", path, errno);
        }
        auto file = std::make_shared<PosixFile>(fd, path);
        struct stat status{};
        if (::fstat(fd, &status) != 0) fail("stat", path, errno);
        if (!S_ISREG(status.st_mode)) return no_file(path);
        return file;
    }

    std::shared_ptr<File> create(const std::string& path) override {
        const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        if (fd < 0) fail("create", path, errno);
        return std::make_shared<PosixFile>(fd, path);
    }

    void rename(const std::string& from, const std::string& to) override {
        if (::rename(from.c_str(), to.c_str()) != 0) fail("rename", from, errno);
    }

    bool remove(const std::string& path) override {
        if (::unlink(path.c_str()) == 0) return true;
        // What isn't a file is not ours, and stays.
        if (errno == ENOENT || errno == ENOTDIR || errno == EISDIR) return false;
        fail("remove", path, errno);
    }

    void make_directories(const std::string& path) override {
        std::error_code error;
        std::filesystem::create_directories(path, error);
        if (error) fail("make directory", path, error.value());
    }

    void sync_directory(const std::string& path) override {
        const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) fail("open", path, errno);
        const int result = ::fsync(fd);
        const int error = errno;
        ::close(fd);
        if (result != 0) fail("sync", path, error);
    }

    DiskSpace space(const std::string& path) override {
        struct statvfs info{};
        if (::statvfs(path.c_str(), &info) != 0) fail("statvfs", path, errno);
        DiskSpace space;
        space.total_bytes = static_cast<uint64_t>(info.f_blocks) * info.f_frsize;
        space.free_bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
        return space;
    }

    std::vector<std::string> list(const std::string& path) override {
        std::vector<std::string> names;
        std::error_code error;
        std::filesystem::directory_iterator entry(path, error);
        for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
            names.push_back(entry->path().filename().string());
        if (error) fail("list", path, error.value());
        return names;
    }
};

}  // namespace

Files& posix_files() {
    static PosixFiles files;
    return files;
}

}  // namespace weir
