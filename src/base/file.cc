#include "base/file.h"

#include <fmt/format.h>
#include <filesystem>

#include "base/failure.h"

namespace weir {

std::string join_path(const std::string& directory, const std::string& name) {
    if (directory.empty() || directory.back() == '/') return directory + name;
    return directory + "/" + name;
}

std::string parent_path(const std::string& path) {
    return std::filesystem::path(path).parent_path().string();
}

std::optional<std::string> read_file(Files& files, const std::string& path, uint64_t max_bytes) {
    auto file = files.open(path, false);
    if (!file) return std::nullopt;
    std::string text;
    // A pipe or a /proc file says size 0, so read until the end, not until a size.
    std::byte buffer[16384];
    for (;;) {
        const size_t got = file->read_at(text.size(), buffer);
        text.append(reinterpret_cast<const char*>(buffer), got);
        if (text.size() > max_bytes)
            throw Failure(Kind::too_large,
                          fmt::format("{} is larger than {} bytes", path, max_bytes));
        if (got < sizeof buffer) return text;
    }
}

}  // namespace weir
