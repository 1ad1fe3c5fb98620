// app/verify.h: `weir verify`: what weir makes of a configuration, key by key, without starting.
#pragma once
#include <iosfwd>
#include <string>

namespace weir::app {

// Reads the file, and what it names (credentials), and writes what it found: each key with its fate
// (honoured, no effect and why, not supported yet), then warnings, then errors with hints, then how
// clients reach each upstream. With `json` one JSON object instead:
//
//   {"file", "ok", "keys": [{"path", "status", "note"}], "warnings": [{"path", "line", "what"}],
//    "errors": [...], "names": [...], "upstreams": [{"name", "urls", "onDemand", "destinations"}]}
//
// Returns 0 when weir would start with it, else 1.
int verify(const std::string& path, bool lenient, bool json, std::ostream& out);

}  // namespace weir::app
