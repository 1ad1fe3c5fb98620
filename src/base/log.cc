#include "base/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <fmt/chrono.h>
#include <memory>
#include <mutex>

#include "base/failure.h"

namespace weir::log {
namespace {

struct State {
    std::mutex mutex;
    std::shared_ptr<spdlog::details::thread_pool> pool;
    std::shared_ptr<spdlog::async_logger> logger;
    std::string path;
};

State& state() {
    static State* state = new State;  // never destroyed: the last lines come from other destructors
    return *state;
}

std::atomic<Level> g_level{Level::info};
std::atomic<Format> g_format{Format::text};

const char* level_name(Level level) {
    switch (level) {
        case Level::debug: return "debug";
        case Level::info: return "info";
        case Level::warn: return "warn";
        case Level::error: return "error";
    }
    return "info";
}

std::shared_ptr<spdlog::async_logger> make_logger(State& s) {
    spdlog::sink_ptr sink;
    if (s.path.empty()) {
        sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
        try {
            sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(s.path);
        } catch (const spdlog::spdlog_ex& error) {
            throw Failure(Kind::config_invalid, fmt::format("log.output: can't open {}: {}", s.path,
                                                            error.what()));
        }
    }
    sink->set_pattern("%v");
    if (!s.pool) s.pool = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
    auto logger = std::make_shared<spdlog::async_logger>(
        "weir", sink, s.pool, spdlog::async_overflow_policy::overrun_oldest);
    logger->set_level(spdlog::level::trace);
    return logger;
}

std::shared_ptr<spdlog::async_logger> logger() {
    State& s = state();
    std::lock_guard lock(s.mutex);
    if (!s.logger) s.logger = make_logger(s);
    return s.logger;
}

}  // namespace

void open(Level level, Format format, const std::string& path) {
    State& s = state();
    std::lock_guard lock(s.mutex);
    s.path = path;
    s.logger = make_logger(s);
    s.logger->flush_on(spdlog::level::warn);
    spdlog::flush_every(std::chrono::seconds(1));
    g_level = level;
    g_format = format;
}

void set_level(Level level) { g_level = level; }
bool enabled(Level level) { return level >= g_level.load(std::memory_order_relaxed); }

void reopen() {
    State& s = state();
    std::lock_guard lock(s.mutex);
    if (s.logger) s.logger->flush();
    s.logger = make_logger(s);
}

void flush() { logger()->flush(); }

void append_json_escaped(std::string& out, std::string_view text) {
    static constexpr char kHex[] = "0123456789abcdef";
    for (size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(static_cast<char>(c));
        } else if (c < 0x20 || c == 0x7f) {
            out.append("\\u00");
            out.push_back(kHex[c >> 4]);
            out.push_back(kHex[c & 15]);
        } else if (c < 0x80) {
            out.push_back(static_cast<char>(c));
        } else {
            // A well-formed UTF-8 sequence is copied, anything else becomes U+FFFD.
            const size_t length = c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
            bool good = length != 0 && c < 0xf5 && i + length <= text.size();
            for (size_t k = 1; good && k < length; ++k)
                good = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
            if (good) {
                out.append(text.substr(i, length));
                i += length - 1;
            } else {
                out.append("\xef\xbf\xbd");
            }
        }
    }
}

void write(Level level, std::string_view room, std::string_view message) {
    const auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now());
    std::string line;
    if (g_format.load(std::memory_order_relaxed) == Format::json) {
        line = fmt::format(R"({{"time":"{:%FT%T}Z","level":"{}","room":"{}","message":")", now,
                           level_name(level), room);
        append_json_escaped(line, message);
        line += "\"}";
    } else {
        line = fmt::format("{:%FT%T}Z {:5} {}: {}", now, level_name(level), room, message);
    }
    logger()->log(level >= Level::warn ? spdlog::level::warn : spdlog::level::info,
                  spdlog::string_view_t(line.data(), line.size()));
}

void write_lines(std::string block) {
    if (block.empty()) return;
    if (block.back() == '\n') block.pop_back();
    logger()->log(spdlog::level::info, spdlog::string_view_t(block.data(), block.size()));
}

}  // namespace weir::log
