// http/lane.h: what the connections of one loop share. Own loop only, but for the counter.
#pragma once
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "async/loop.h"
#include "http/listener.h"

namespace weir::http {

class Session;

class Lane {
public:
    // Of the buffer through which bytes go that the kernel can't send from a file itself.
    static constexpr size_t kScratchBytes = 64 * 1024;

    Lane(Loop& loop, const Limits& limits)
        : loop_(loop), limits_(std::make_shared<const Limits>(limits)) {}

    Loop& loop() { return loop_; }
    const Limits& limits() const { return *limits_; }
    void set_limits(std::shared_ptr<const Limits> limits) { limits_ = std::move(limits); }

    // "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", formatted once a second.
    std::string_view date_line(TimePoint now);
    // Valid until the caller suspends.
    std::span<char> scratch();

    // Every session of the loop, for drain and cut.
    void add(Session&);
    void remove(Session&);
    const std::vector<Session*>& sessions() const { return sessions_; }
    bool draining = false;

    // Connections given to this loop, from accept to the session's end. Any thread.
    std::atomic<size_t> connections{0};

private:
    Loop& loop_;
    std::shared_ptr<const Limits> limits_;
    std::string date_line_;
    TimePoint date_until_{};
    std::unique_ptr<char[]> scratch_;
    std::vector<Session*> sessions_;
};

}  // namespace weir::http
