// base/failure.h: the one exception type of weir.
//
// Expected outcomes (absent, not modified, full) are values. A Failure ends the request or the
// fetch it was thrown in; the one table that maps a Kind to an HTTP status and an OCI error code is
// registry/errors.cc.
#pragma once
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>

namespace weir {

enum class Kind {
    name_invalid,
    tag_invalid,
    digest_invalid,
    manifest_invalid,
    name_unknown,
    manifest_unknown,
    blob_unknown,
    unauthorized,
    denied,
    unsupported,
    request_invalid,
    too_large,  // a head, body or manifest over its named limit
    range_invalid,
    too_many,              // we, or the upstream, ask to come back later
    upstream_unreachable,  // refused, reset, no route, name not found, TLS failure
    upstream_bad,          // an answer that can't be used: 5xx, nonsense, wrong digest, wrong size
    upstream_timeout,
    upstream_refused,   // 401/403 after a fresh token
    upstream_denied,    // a 4xx that is about policy: 402, 412, 423, 451
    upstream_rejected,  // any other 4xx about this one request
    target_forbidden,   // a realm, redirect or mirror that points where weir must not go
    no_space,
    overloaded,  // a named limit of weir is reached
    draining,
    cancelled,
    config_invalid,
    io,  // a local disk or database error
    internal,
};

// "upstream_timeout": as in logs and metrics.
const char* kind_name(Kind);

class Failure : public std::runtime_error {
public:
    Failure(Kind kind, const std::string& what) : std::runtime_error(what), kind_(kind) {}
    Kind kind() const { return kind_; }

    // For too_many: when to come back, as the upstream said.
    std::optional<std::chrono::seconds> retry_after;
    // For range_invalid: the size of the whole.
    std::optional<uint64_t> size;

private:
    Kind kind_;
};

}  // namespace weir
