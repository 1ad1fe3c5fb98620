// app/signals.h: what the process is told from outside, waited for in the main thread.
#pragma once
#include "base/clock.h"

namespace weir::app {

enum class Wake {
    terminate,  // SIGTERM, SIGINT
    hangup,     // SIGHUP
    done,       // notify_done()
    timeout,
};

// Blocks these signals, for the threads made later too: one object, before the first thread.
// SIGPIPE is ignored.
class Signals {
public:
    Signals();
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    // Main thread. A zero or negative timeout waits without end.
    Wake wait(Duration timeout = {});
    // Any thread.
    void notify_done();

private:
    int signals_ = -1;
    int done_ = -1;
};

}  // namespace weir::app
