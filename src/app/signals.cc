#include "app/signals.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>

#include "base/check.h"

namespace weir::app {

Signals::Signals() {
    std::signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    check(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0, "signals can be blocked");
    signals_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    done_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    check(signals_ >= 0 && done_ >= 0, "signals can be waited for");
}

Signals::~Signals() {
    close(signals_);
    close(done_);
}

Wake Signals::wait(Duration timeout) {
    const auto end = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        int wait_ms = -1;
        if (timeout > Duration::zero()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                end - std::chrono::steady_clock::now());
            wait_ms = static_cast<int>(std::clamp<int64_t>(left.count(), 0, INT_MAX));
        }
        pollfd watched[] = {{signals_, POLLIN, 0}, {done_, POLLIN, 0}};
        const int ready = poll(watched, 2, wait_ms);
        if (ready == 0) return Wake::timeout;
        if (ready < 0) {
            check(errno == EINTR, "poll of the signal descriptors");
            continue;
        }
        if (watched[0].revents != 0) {
            signalfd_siginfo info{};
            if (read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info))
                return info.ssi_signo == SIGHUP ? Wake::hangup : Wake::terminate;
        }
        uint64_t count = 0;
        if (watched[1].revents != 0 &&
            read(done_, &count, sizeof count) == static_cast<ssize_t>(sizeof count))
            return Wake::done;
    }
}

void Signals::notify_done() {
    const uint64_t one = 1;
    [[maybe_unused]] const auto written = write(done_, &one, sizeof one);
}

}  // namespace weir::app
