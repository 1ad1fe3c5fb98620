// Asio's separately compiled part: once, here.
//
// A loop waits in one place only: the epoll_wait() of asio's reactor, which is compiled below. It
// is given a wrapper under that name, so that each turn of a loop is measured (turns.h) at the
// price of two readings of the clock, which are no system calls.
#include <sys/epoll.h>

#include "async/turns.h"

namespace weir {
namespace {

int measured_wait(int descriptor, epoll_event* events, int count, int timeout_ms) {
    Turns* const turns = t_turns;
    if (turns == nullptr) return ::epoll_wait(descriptor, events, count, timeout_ms);
    turns->end(system_clock().now());
    const int ready = ::epoll_wait(descriptor, events, count, timeout_ms);
    turns->begin(system_clock().now());
    return ready;
}

}  // namespace
}  // namespace weir

#define epoll_wait ::weir::measured_wait
#include <boost/asio/impl/src.hpp>
