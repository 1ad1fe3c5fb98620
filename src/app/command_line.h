// app/command_line.h: what `weir` was told to do.
#pragma once
#include <iosfwd>

namespace weir::app {

// Parses, does it, and gives the process's exit code. What was asked for goes to `out`, complaints
// to standard error; help and usage are CLI11's.
//
// Exit codes: 0 fine; 1 `serve` can't run, `verify` refuses, or a verb found problems; 2 usage, and
// a configuration that a verb can't work with.
int run(int argc, const char* const* argv, std::ostream& out);

}  // namespace weir::app
