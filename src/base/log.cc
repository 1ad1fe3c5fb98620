#include "base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <fmt/chrono.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/failure.h"
#include "base/redact.h"

namespace weir::log {
namespace {

// Writes blocks in order on one thread, which starts with the first of them.
class BlockWriter {
public:
    using Sink = std::shared_ptr<spdlog::sinks::sink>;

    void push(Sink sink, std::string block) {
        std::lock_guard lock(mutex_);
        if (bytes_ + block.size() > kQueueBlockBytes) {
            ++dropped_;
            return;
        }
        if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
        bytes_ += block.size();
        blocks_.emplace_back(std::move(sink), std::move(block));
        if (blocks_.size() == 1) more_.notify_one();
    }

    void wait_until_empty(std::chrono::milliseconds limit) {
        std::unique_lock lock(mutex_);
        empty_.wait_for(lock, limit, [this] { return bytes_ == 0; });
    }

    uint64_t dropped() {
        std::lock_guard lock(mutex_);
        return dropped_;
    }

private:
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            more_.wait(lock, [this] { return !blocks_.empty(); });
            auto batch = std::exchange(blocks_, {});
            lock.unlock();
            size_t bytes = 0;
            for (const auto& [sink, block] : batch) {
                bytes += block.size();
                write(*sink, block);
            }
            batch.clear();
            lock.lock();
            bytes_ -= bytes;
            if (bytes_ == 0) empty_.notify_all();
        }
    }

    static void write(spdlog::sinks::sink& sink, std::string_view block) {
        try {
            if (block.ends_with('\n')) block.remove_suffix(1);
            sink.log(spdlog::details::log_msg("access", spdlog::level::info,
                                              spdlog::string_view_t(block.data(), block.size())));
        } catch (const std::exception&) {
            // A full disk loses lines of the log, never a pull.
        }
    }

    std::mutex mutex_;
    std::condition_variable more_, empty_;
    std::vector<std::pair<Sink, std::string>> blocks_;
    size_t bytes_ = 0;  // waiting or being written
    uint64_t dropped_ = 0;
    std::thread thread_;
};

struct State {
    BlockWriter blocks;
    std::mutex mutex;
    std::shared_ptr<spdlog::details::thread_pool> pool;
    std::shared_ptr<spdlog::async_logger> logger;
    std::shared_ptr<spdlog::async_logger> access;  // null: the same as logger
    std::string path, access_path;
};

State& state() {
    static State* state = new State;  // never destroyed: the last lines come from other destructors
    return *state;
}

std::atomic<Level> g_level{Level::info};
std::atomic<Format> g_format{Format::text};

const char* level_name(Level level) {
    switch (level) {
        case Level::debug:
            return "debug";
        case Level::info:
            return "info";
        case Level::warn:
            return "warn";
        case Level::error:
            return "error";
    }
    return "info";
}

// To open a pipe that nobody reads would wait for ever.
void refuse_unread_pipe(const std::string& path) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        ::close(fd);
    } else if (errno == ENXIO) {
        throw spdlog::spdlog_ex("nobody reads this pipe");
    }
}

// `key` is the configuration's word for `path`, for the error's message.
std::shared_ptr<spdlog::async_logger> make_logger(State& s, const char* name, const char* key,
                                                  const std::string& path) {
    spdlog::sink_ptr sink;
    if (path.empty()) {
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
        try {
            refuse_unread_pipe(path);
            sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
        } catch (const spdlog::spdlog_ex& error) {
            throw Failure(Kind::config_invalid,
                          fmt::format("{}: can't open {}: {}", key, path, error.what()));
        }
    }
    sink->set_pattern("%v");
    if (!s.pool) s.pool = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
    auto logger = std::make_shared<spdlog::async_logger>(
        name, sink, s.pool, spdlog::async_overflow_policy::overrun_oldest);
    logger->set_level(spdlog::level::trace);
    logger->flush_on(spdlog::level::warn);
    // flush_every() knows only registered loggers.
    spdlog::drop(logger->name());
    spdlog::register_logger(logger);
    return logger;
}

std::shared_ptr<spdlog::async_logger> make_event_logger(State& s) {
    return make_logger(s, "weir", "log.output", s.path);
}

std::shared_ptr<spdlog::async_logger> make_access_logger(State& s) {
    if (s.access_path.empty()) return nullptr;
    return make_logger(s, "access", "weir.log.access", s.access_path);
}

std::shared_ptr<spdlog::async_logger> logger() {
    State& s = state();
    std::lock_guard lock(s.mutex);
    if (!s.logger) s.logger = make_event_logger(s);
    return s.logger;
}

std::shared_ptr<spdlog::async_logger> access_logger() {
    State& s = state();
    std::lock_guard lock(s.mutex);
    return s.access;
}

// Stands for itself inside a JSON string.
constexpr auto kPlain = [] {
    std::array<bool, 256> plain{};
    for (size_t c = 0x20; c < 0x7f; ++c) plain[c] = c != '"' && c != '\\';
    return plain;
}();
bool is_plain(char c) {
    return kPlain[static_cast<unsigned char>(c)];
}

// The length of the well-formed UTF-8 sequence at the start of `text` (RFC 3629 section 4), 0 if
// there is none.
size_t utf8_length(std::string_view text) {
    const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = at(0);
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (text.size() < length) return 0;
    for (size_t i = 1; i < length; ++i)
        if ((at(i) & 0xc0) != 0x80) return 0;
    // Overlong forms, surrogates, and what lies beyond U+10FFFF.
    const unsigned char second = at(1);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;
    return length;
}

// "2026-01-02T03:04:05.678Z"; this fmt writes no fractions of its own.
std::string now_text() {
    const auto now = std::chrono::system_clock::now();
    const auto second = std::chrono::floor<std::chrono::seconds>(now);
    const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(now - second);
    return fmt::format("{:%FT%T}.{:03}Z", second, rest.count());
}

// For people: as it is, but on one line whatever foreign text is in it.
void append_one_line(std::string& out, std::string_view text) {
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out.push_back(c);
        }
    }
}

}  // namespace

void open(Level level, Format format, const std::string& path) {
    State& s = state();
    std::lock_guard lock(s.mutex);
    s.path = path;
    s.logger = make_event_logger(s);
    spdlog::flush_every(std::chrono::seconds(1));
    g_level = level;
    g_format = format;
}

void open_access(const std::string& path) {
    State& s = state();
    std::lock_guard lock(s.mutex);
    s.access_path = path;
    s.access = make_access_logger(s);
}

void set_level(Level level) {
    g_level = level;
}
bool enabled(Level level) {
    return level >= g_level.load(std::memory_order_relaxed);
}

void reopen() {
    State& s = state();
    std::unique_lock lock(s.mutex);
    if (s.logger) s.logger->flush();
    if (s.access) s.access->flush();
    try {
        auto fresh = make_event_logger(s);
        s.access = make_access_logger(s);
        s.logger = std::move(fresh);
    } catch (const Failure& failure) {
        // What is open goes on being written, whatever its name is by now.
        lock.unlock();
        write(Level::error, "app", "the log stays as it is: " + std::string(failure.what()));
    }
}

void flush() {
    const auto current = logger();
    current->flush();
    state().blocks.wait_until_empty(kFlushWait);
    // One thread empties the queue: when this flush has left it, all lines before are in the sink.
    for (auto waited = std::chrono::milliseconds(0);
         state().pool->queue_size() > 0 && waited < kFlushWait; ++waited)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    for (const auto& sink : current->sinks()) sink->flush();
    if (const auto access = access_logger())
        for (const auto& sink : access->sinks()) sink->flush();
}

uint64_t dropped() {
    State& s = state();
    std::lock_guard lock(s.mutex);
    return s.blocks.dropped() + (s.pool ? s.pool->overrun_counter() : 0);
}

void append_json_escaped(std::string& out, std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    for (size_t i = 0; i < text.size();) {
        // Nearly all of it is plain, and is copied in one go.
        size_t plain = i;
        while (plain < text.size() && is_plain(text[plain])) ++plain;
        out.append(text.substr(i, plain - i));
        i = plain;
        if (i == text.size()) return;
        const auto c = static_cast<unsigned char>(text[i]);
        if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(static_cast<char>(c));
            ++i;
        } else if (c < 0x80) {
            out.append("\\u00");
            out.push_back(kHex[c >> 4]);
            out.push_back(kHex[c & 15]);
            ++i;
        } else if (const size_t length = utf8_length(text.substr(i)); length != 0) {
            out.append(text.substr(i, length));
            i += length;
        } else {
            out.append("\xef\xbf\xbd");
            ++i;
        }
    }
}

void write(Level level, std::string_view room, std::string_view message) {
    const std::string time = now_text();
    std::string redacted;
    if (message.find('@') != std::string_view::npos) message = redacted = without_logins(message);
    std::string line;
    if (g_format.load(std::memory_order_relaxed) == Format::json) {
        line = fmt::format(R"({{"time":"{}","level":"{}","room":"{}","message":")", time,
                           level_name(level), room);
        append_json_escaped(line, message);
        line += "\"}";
    } else {
        line = fmt::format("{} {:5} {}: ", time, level_name(level), room);
        append_one_line(line, message);
    }
    logger()->log(level >= Level::warn ? spdlog::level::warn : spdlog::level::info,
                  spdlog::string_view_t(line.data(), line.size()));
}

void write_lines(std::string block) {
    if (block.empty()) return;
    auto to = access_logger();
    if (!to) to = logger();
    state().blocks.push(to->sinks().front(), std::move(block));
}

}  // namespace weir::log
