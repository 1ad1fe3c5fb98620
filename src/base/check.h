// base/check.h: what must hold, in release builds too.
//
// Operating errors (a peer, a disk, a file) are Failures and are handled; a check that does not
// hold is a bug in weir: it prints where, flushes the log and aborts, because going on would serve
// or keep something wrong.
#pragma once
#include <source_location>

namespace weir {
[[noreturn]] void check_failed(const char* what, std::source_location where);
inline void check(bool holds, const char* what,
                  std::source_location where = std::source_location::current()) {
    if (!holds) [[unlikely]]
        check_failed(what, where);
}
}  // namespace weir
