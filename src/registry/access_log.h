// registry/access_log.h: one line a request, formatted where the request was served.
//
// Each loop has a buffer of its own; a full buffer, or a second without a flush, hands it to the
// log's writer. Nothing secret is formatted: of the query only "ns", of the fields only the user
// agent.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "async/loop.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/message.h"

namespace weir::registry {

inline constexpr size_t kAccessBufferBytes = 128 * 1024;
inline constexpr std::chrono::seconds kAccessFlushInterval{1};
// Foreign text in a line is cut to this.
inline constexpr size_t kMaxAccessTextBytes = 1024;

// "2026-11-24T13:12:00.123Z", remembering the second that was formatted last.
class TimeText {
public:
    std::string_view of(WallTime);

private:
    int64_t second_ = -1;
    char text_[25] = {};
};

// Appends one line, with its end.
void append_access_line(std::string& out, log::Format, std::string_view time, const http::Request&,
                        const http::Response&, const http::Outcome&);

// One loop's buffer. Own loop only; flush() also when the loop no longer runs.
class AccessBuffer {
public:
    AccessBuffer(Loop& loop, log::Format format) : loop_(loop), format_(format) {}
    void add(const http::Request&, const http::Response&, const http::Outcome&);
    void flush();

private:
    Loop& loop_;
    const log::Format format_;
    TimeText time_;
    std::string lines_;
    bool timer_ = false;
};

}  // namespace weir::registry
