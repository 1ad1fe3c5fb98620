#include "http/connection.h"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>

#include <limits>

namespace weir::http {
namespace {
using namespace std::chrono_literals;
// The timer looks at least so often, for what has no deadline of its own.
constexpr Duration kTick = 5s;
constexpr Duration kShortTick = 1s;
constexpr Duration kLingerTime = 2s;

using boost::system::error_code;
}  // namespace

Connection::Connection(Lane& lane, std::unique_ptr<Transport> transport)
    : lane_(lane), transport_(std::move(transport)), since_(lane.loop().now()) {
    arm(std::min(deadline(), since_ + kTick));
}

Connection::~Connection() {
    loop().cancel(timer_);
}

const char* Connection::gone_text() const {
    switch (gone_) {
        case Gone::no:
            return "";
        case Gone::closed:
            return "client closed";
        case Gone::broken:
            return "connection broken";
        case Gone::timed_out:
            return "client timed out";
        case Gone::drained:
            return "drained";
        case Gone::cut:
            return "cut at the end of the drain";
    }
    return "";
}

void Connection::enter(Phase phase, TimePoint now) {
    phase_ = phase;
    since_ = now;
    if (phase == Phase::writing) queued_ = std::numeric_limits<int>::max();
    if (const TimePoint until = deadline(); until < armed_) arm(until);
}

TimePoint Connection::deadline() const {
    const Limits& limits = lane_.limits();
    switch (phase_) {
        case Phase::handshake:
            return since_ + limits.handshake_timeout;
        case Phase::idle:
            return since_ + limits.idle_timeout;
        case Phase::head:
            return since_ + limits.head_timeout;
        case Phase::body:
            return since_ + limits.read_timeout;
        case Phase::writing:
            return since_ + limits.write_timeout;
        case Phase::lingering:
            return since_ + kLingerTime;
        case Phase::handling:
            return kNever;
    }
    return kNever;
}

void Connection::arm(TimePoint when) {
    loop().cancel(timer_);
    armed_ = when;
    timer_ = loop().at(when, [this] { fire(); });
}

void Connection::fire() {
    armed_ = kNever;
    const TimePoint now = loop().now();
    if (phase_ == Phase::writing) {
        // The socket tells that it is writable only when a good part of its buffer is free: a slow
        // client may take bytes all the time and still keep us waiting.
        const int queued = transport_->queued();
        if (queued < queued_) since_ = now;
        queued_ = queued;
    }
    if (gone_ == Gone::no && now >= deadline()) leave(Gone::timed_out);
    if (phase_ == Phase::idle && now - since_ >= kTick && on_rest) on_rest();
    const bool soon = on_tick && on_tick();
    const TimePoint until = gone_ == Gone::no ? deadline() : kNever;
    arm(std::min(until, now + (soon ? kShortTick : kTick)));
}

void Connection::tick_soon() {
    if (const TimePoint soon = loop().now() + kShortTick; soon < armed_) arm(soon);
}

void Connection::leave(Gone why) {
    if (gone_ == Gone::no) gone_ = why;
    nudge();
}

void Connection::nudge() {
    if (!waiting_) return;
    error_code ignored;
    transport_->socket().cancel(ignored);
}

Task<bool> Connection::wait(Io::Kind kind) {
    if (gone_ != Gone::no) co_return false;
    error_code error;
    waiting_ = true;
    co_await transport_->socket().async_wait(
        kind == Io::Kind::wait_read ? Socket::wait_read : Socket::wait_write,
        boost::asio::redirect_error(use_task, error));
    waiting_ = false;
    if (error && error != boost::asio::error::operation_aborted && gone_ == Gone::no)
        gone_ = Gone::broken;
    co_return gone_ == Gone::no;
}

Task<Io> Connection::read(std::span<char> into) {
    if (transport_->tls()) {
        for (bool waited = false;; waited = true) {
            const Io io = transport_->read(into);
            if (io.kind != Io::Kind::wait_read && io.kind != Io::Kind::wait_write) co_return io;
            // After a nudge there is nothing to read: the caller looks why it was woken, and comes
            // again.
            if (waited) co_return Io{Io::Kind::wait_read, 0};
            if (!co_await wait(io.kind)) co_return Io{Io::Kind::broken, 0};
        }
    }
    if (gone_ != Gone::no) co_return Io{Io::Kind::broken, 0};
    error_code error;
    waiting_ = true;
    // Asio tries at once and registers only when there is nothing: no epoll_ctl for a request.
    const size_t got =
        co_await transport_->socket().async_read_some(boost::asio::buffer(into.data(), into.size()),
                                                      boost::asio::redirect_error(use_task, error));
    waiting_ = false;
    if (gone_ != Gone::no) co_return Io{Io::Kind::broken, 0};
    if (error == boost::asio::error::operation_aborted) co_return Io{Io::Kind::wait_read, 0};
    if (error == boost::asio::error::eof) co_return Io{Io::Kind::ended, 0};
    if (error) co_return Io{Io::Kind::broken, 0};
    co_return Io{Io::Kind::moved, got};
}

Task<> Connection::yield() {
    co_await boost::asio::post(loop().executor(), use_task);
}

}  // namespace weir::http
