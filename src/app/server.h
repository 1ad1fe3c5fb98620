// app/server.h: `weir serve`.
#pragma once
#include "app/reload.h"

namespace weir::app {

// Serves until it is told to end; returns the process's exit code. Throws Failure when it can't
// begin.
int serve(const ServeArguments&);

}  // namespace weir::app
