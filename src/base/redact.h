// base/redact.h: text for logs and messages, without the logins that somebody has written into it.
//
// What is shown of foreign text or of a configuration goes through here: a URL, a Host field or a
// key may carry "user:password@". Pure.
#pragma once
#include <string>
#include <string_view>

namespace weir {

// "https://robot:pass@reg.lab/x" -> "https://***@reg.lab/x"; "robot:pass@reg.lab" -> "***@reg.lab".
// An image's digest ("debian:12@sha256:...") stays.
std::string without_logins(std::string_view text);
// Of a host or a registry's name: all that stands before its last "@" is a login.
std::string host_without_login(std::string_view host);

// A key or a parameter whose value is a secret by its name: password, token, credentials, ...
// Case, "-", "_" and "." don't matter. What says where a list goes on (nextPageToken) is none.
bool names_secret(std::string_view name);

}  // namespace weir
