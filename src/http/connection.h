// http/connection.h: a transport, its clock and its end.
//
// Waits for the socket so that no wait is longer than its limit. There is one timer for a
// connection, and it is lazy: a phase only notes when it began, the timer looks when it fires. Own
// loop only.
#pragma once
#include <functional>
#include <memory>
#include <span>

#include "async/loop.h"
#include "async/task.h"
#include "http/lane.h"
#include "http/transport.h"

namespace weir::http {

class Connection {
public:
    // What is waited for; each has its limit in Limits.
    enum class Phase : uint8_t { handshake, idle, head, handling, body, writing, lingering };
    enum class Gone : uint8_t { no, closed, broken, timed_out, drained, cut };

    Connection(Lane&, std::unique_ptr<Transport>);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    Transport& transport() { return *transport_; }
    Lane& lane() { return lane_; }
    Loop& loop() { return lane_.loop(); }

    void enter(Phase, TimePoint now);
    void enter(Phase phase) { enter(phase, loop().now()); }
    Phase phase() const { return phase_; }

    Gone gone() const { return gone_; }
    const char* gone_text() const;
    // Marks the connection and wakes whoever waits for it. The first reason stays.
    void leave(Gone);
    // There is one more thing to say before the end.
    void revive() { gone_ = Gone::no; }
    // Wakes a wait in read() or wait() without harm: read() returns wait_read, wait() true.
    void nudge();

    // Until the socket may go on as `kind` (wait_read, wait_write) says; false when the connection
    // is gone.
    Task<bool> wait(Io::Kind kind);
    // moved, ended (closed by the peer) or broken; wait_read after a nudge().
    Task<Io> read(std::span<char> into);
    // Makes the next on_tick() come within a second.
    void tick_soon();
    // Lets the loop's other work have a turn.
    Task<> yield();

    // Called now and then while the connection lives; the next call comes within a second when it
    // says so.
    std::function<bool()> on_tick;
    // Called when the connection has been idle for a while.
    std::function<void()> on_rest;

private:
    TimePoint deadline() const;
    void arm(TimePoint);
    void fire();

    Lane& lane_;
    std::unique_ptr<Transport> transport_;
    Phase phase_ = Phase::idle;
    Gone gone_ = Gone::no;
    bool waiting_ = false;
    int queued_ = 0;
    TimePoint since_;
    TimePoint armed_ = kNever;
    Loop::TimerId timer_;
};

}  // namespace weir::http
