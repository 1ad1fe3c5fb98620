// cache/past_disk.h: what a disk or a database that is full or broken means to a pull: what can't
// be read is asked of others, and what can't be kept is served all the same. Its end needs no word:
// the next request tries it again.
#pragma once
#include <exception>
#include <utility>

#include "async/pool.h"
#include "base/failure.h"
#include "base/log.h"

namespace weir::cache {

// The disk or the database can't take or give it; nobody else is at fault.
inline bool is_disk_fault(const Failure& failure) {
    return failure.kind() == Kind::no_space || failure.kind() == Kind::io;
}

// What `ask` gives on the pool, or `otherwise` where the disk fails it; then `unread` becomes the
// failure. Who goes on with `otherwise` must not say in the end that something is unknown.
template <typename Ask, typename T>
Task<T> ask_disk(Pool& pool, Ask ask, T otherwise, std::exception_ptr* unread = nullptr) {
    try {
        co_return co_await pool.run(std::move(ask));
    } catch (const Failure& failure) {
        if (!is_disk_fault(failure)) throw;
        log::warn("cache", "going on without the disk: {}", failure.what());
        if (unread) *unread = std::current_exception();
    }
    co_return otherwise;
}

}  // namespace weir::cache
