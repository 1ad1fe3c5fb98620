// registry/errors.h: the one table from a Failure to what a client sees of it.
#pragma once
#include <cstdint>
#include <exception>
#include <string>

#include "base/failure.h"
#include "http/message.h"

namespace weir::registry {

// What failed, so that the code fits the object that was asked for.
struct ErrorStatus {
    int status = 500;
    const char* code = "UNKNOWN";  // distribution-spec 1.1, "Error Codes"
};
ErrorStatus error_status(Kind);

// The OCI error of an exception, with the fields it needs (Retry-After, Content-Range, Allow). What
// isn't a Failure is a bug: the client gets the request's id, the log the reason. notes.detail is
// set, the other notes are the caller's.
http::Response error_response(const std::exception_ptr&, uint64_t request_id);

}  // namespace weir::registry
