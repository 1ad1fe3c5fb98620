#include "base/named_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/failure.h"

namespace weir {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPieceBytes = 16384;

[[noreturn]] void fail(const char* what, const std::string& path, int error) {
    throw Failure(Kind::io,
                  fmt::format("{} {}: {}", what, path, std::generic_category().message(error)));
}

// "" for a regular file.
std::string_view kind_of(mode_t mode) {
    if (S_ISREG(mode)) return "";
    if (S_ISDIR(mode)) return "a directory";
    if (S_ISFIFO(mode)) return "a pipe";
    if (S_ISLNK(mode)) return "a symbolic link";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const { return fd_; }

private:
    int fd_;
};

// A pipe that was never written to has no end either: only its deadline ends it.
void wait_for_bytes(int fd, const std::string& path, Clock::time_point deadline) {
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd watched{fd, POLLIN, 0};
        const int ready = left <= 0 ? 0 : ::poll(&watched, 1, static_cast<int>(left));
        if (ready > 0) return;
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) fail("poll", path, errno);
        throw Failure(Kind::io, fmt::format("{} is a pipe or a device, and its end did not come "
                                            "in time: does somebody write to it?",
                                            path));
    }
}

}  // namespace

std::optional<std::string> read_named_file(const std::string& path, uint64_t max_bytes,
                                           std::chrono::milliseconds patience) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (file.get() < 0) {
        if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
        fail("open", path, errno);
    }
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) fail("stat", path, errno);
    if (S_ISDIR(status.st_mode))
        throw Failure(Kind::io, fmt::format("{} is a directory, not a file", path));
    const bool may_wait = !S_ISREG(status.st_mode);
    const auto deadline = Clock::now() + patience;
    std::string text;
    // A pipe or a /proc file says size 0, so read until the end, not until a size.
    for (char piece[kPieceBytes];;) {
        if (may_wait) wait_for_bytes(file.get(), path, deadline);
        const ssize_t got = ::read(file.get(), piece, sizeof piece);
        if (got == 0) return text;
        if (got < 0 && (errno == EINTR || (may_wait && errno == EAGAIN))) continue;
        if (got < 0) fail("read", path, errno);
        text.append(piece, static_cast<size_t>(got));
        if (text.size() > max_bytes)
            throw Failure(Kind::too_large,
                          fmt::format("{} is larger than {} bytes", path, max_bytes));
    }
}

std::string_view instead_of_file(const std::string& path, Links links) {
    struct stat status{};
    const int result =
        links == Links::followed ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status);
    return result == 0 ? kind_of(status.st_mode) : "";
}

void require_file(std::string_view what, const std::string& path, Links links) {
    if (const auto instead = instead_of_file(path, links); !instead.empty())
        throw Failure(Kind::config_invalid,
                      fmt::format("{} {}: this is {}, not a file", what, path, instead));
}

}  // namespace weir
