// app/verbs_pin.h: `weir pin`, `weir unpin`, `weir pins`: what never leaves the disk.
#pragma once
#include <expected>
#include <iosfwd>
#include <string>
#include <string_view>

#include "app/verb.h"

namespace weir::app {

// "docker.io/library/debian:12" -> {"docker.io/library/debian", "12"}; without a tag all of them.
// Both are globs. A name without special characters is turned into the local one, as a client's
// would be ("docker.io/debian", "debian"). The error says what is wrong.
std::expected<meta::Pin, std::string> parse_pin(const config::Config&, std::string_view text);

// Kept in the database; a running server heeds it at once. `unpin` returns 1 when there is no such
// pin. With `json`: {"repositories", "tags"}.
int pin(const VerbArguments&, const std::string& what, std::ostream& out);
int unpin(const VerbArguments&, const std::string& what, std::ostream& out);
// With `json`: [{"repositories", "tags", "source": "configuration" | "database"}].
int pins(const VerbArguments&, std::ostream& out);

}  // namespace weir::app
