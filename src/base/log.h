// base/log.h: events for operators. One line each, JSON or text, written by a background thread
// (spdlog).
//
// A full queue drops the oldest lines and counts them: logging never delays a pull. Secrets have
// the type Secret, which has no formatter, so that a line with one does not compile.
#pragma once
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace weir {

// A password, token or key. It can be used, compared and copied; it cannot be formatted.
class Secret {
public:
    Secret() = default;
    explicit Secret(std::string value) : value_(std::move(value)) {}
    const std::string& reveal() const { return value_; }
    bool empty() const { return value_.empty(); }
    bool operator==(const Secret&) const = default;

private:
    std::string value_;
};

namespace log {

enum class Level { debug, info, warn, error };
enum class Format { json, text };

// Lines that may wait for the writer, and bytes of write_lines() for theirs.
inline constexpr size_t kQueueLines = 8192;
inline constexpr size_t kQueueBlockBytes = 8 << 20;
inline constexpr std::chrono::milliseconds kFlushWait{1000};

// Before any thread but main's exists, or later for a changed level. An empty path is standard
// error. Throws Failure{config_invalid} when the file can't be opened.
void open(Level, Format, const std::string& path);
// A file of its own for write_lines(); an empty path is the log's. After open().
void open_access(const std::string& path);
void set_level(Level);
bool enabled(Level);
// Reopens the files (after logrotate).
void reopen();
// Waits (at most kFlushWait) until what this thread wrote before is in the file. For the end of the
// process.
void flush();
// Lines, and blocks of them, that a full queue has dropped since the start.
uint64_t dropped();

// One event: `event` is a short constant ("fetch failed"), `detail` is for people.
void write(Level, std::string_view room, std::string_view message);

template <class... Args>
void debug(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
    if (enabled(Level::debug))
        write(Level::debug, room, fmt::vformat(text, fmt::make_format_args(args...)));
}
template <class... Args>
void info(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
    if (enabled(Level::info))
        write(Level::info, room, fmt::vformat(text, fmt::make_format_args(args...)));
}
template <class... Args>
void warn(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
    if (enabled(Level::warn))
        write(Level::warn, room, fmt::vformat(text, fmt::make_format_args(args...)));
}
template <class... Args>
void error(std::string_view room, fmt::format_string<Args...> text, Args&&... args) {
    if (enabled(Level::error))
        write(Level::error, room, fmt::vformat(text, fmt::make_format_args(args...)));
}

// `text` as the inside of a JSON string: quotes, backslashes and control characters escaped, bytes
// that aren't UTF-8 replaced. Foreign text (user agents, paths) always passes through it.
void append_json_escaped(std::string& out, std::string_view text);

// A block of finished lines, from the access log's buffers. Has a thread of its own: each block is
// moved there, not copied, and written in one piece.
void write_lines(std::string block);

}  // namespace log
}  // namespace weir
