// client/quiet_thread.h: threads that take no signals: the process's go to main, and a write to a
// closed connection must not end us.
#pragma once
#include <pthread.h>
#include <signal.h>

#include <string>
#include <thread>
#include <utility>

namespace weir::client {

template <class F>
std::thread quiet_thread(const std::string& name, F f) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread thread(std::move(f));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_setname_np(thread.native_handle(), name.c_str());
    return thread;
}

}  // namespace weir::client
