#include "registry/errors.h"

#include <fmt/format.h>

#include <memory>

#include "base/log.h"
#include "base/redact.h"
#include "http/range.h"
#include "oci/error_body.h"

namespace weir::registry {
namespace {

// When nobody said when to come back.
constexpr std::chrono::seconds kRetryAfter{10};
constexpr size_t kMaxMessageBytes = 1024;

bool hides_its_reason(Kind kind) {
    return kind == Kind::internal || kind == Kind::io || kind == Kind::config_invalid;
}

void set_retry_after(http::Response& response, const Failure& failure) {
    const bool asked = failure.kind() == Kind::too_many;
    const bool busy = failure.kind() == Kind::overloaded || failure.kind() == Kind::draining;
    if (!asked && !busy) return;
    const auto after = failure.retry_after.value_or(asked ? kRetryAfter : std::chrono::seconds(1));
    response.set("Retry-After", std::to_string(after.count()));
}

http::Response make(ErrorStatus status, std::string_view message) {
    http::Response response(status.status);
    response.set("Content-Type", "application/json");
    response.set("Docker-Distribution-Api-Version", "registry/2.0");
    response.set_body(std::make_shared<const std::string>(
        oci::error_body(status.code, message.substr(0, kMaxMessageBytes))));
    return response;
}

http::Response from_failure(const Failure& failure, uint64_t request_id) {
    const ErrorStatus status = error_status(failure.kind());
    if (hides_its_reason(failure.kind())) {
        log::error("registry", "request {} failed: {}: {}", request_id, kind_name(failure.kind()),
                   failure.what());
        auto response = make(status, fmt::format("internal error, request id {}", request_id));
        response.notes.detail = failure.what();
        return response;
    }
    auto response = make(status, without_logins(failure.what()));
    set_retry_after(response, failure);
    if (failure.kind() == Kind::range_invalid && failure.size)
        response.set("Content-Range", http::unsatisfied_range(*failure.size));
    if (failure.kind() == Kind::unsupported) response.set("Allow", "GET, HEAD");
    response.notes.detail = failure.what();
    return response;
}

}  // namespace

ErrorStatus error_status(Kind kind) {
    switch (kind) {
        case Kind::name_invalid:
            return {400, "NAME_INVALID"};
        case Kind::tag_invalid:
            return {400, "TAG_INVALID"};
        case Kind::digest_invalid:
            return {400, "DIGEST_INVALID"};
        case Kind::manifest_invalid:
            return {400, "MANIFEST_INVALID"};
        case Kind::request_invalid:
            return {400, "REQUEST_INVALID"};
        case Kind::name_unknown:
            return {404, "NAME_UNKNOWN"};
        case Kind::manifest_unknown:
            return {404, "MANIFEST_UNKNOWN"};
        case Kind::blob_unknown:
            return {404, "BLOB_UNKNOWN"};
        // Not 401 or 403: it is the upstream that won't give it to weir, and a client falls back
        // only on a 404. And not MANIFEST_UNKNOWN: nobody said that it isn't there.
        case Kind::upstream_refused:
            return {404, "NAME_UNKNOWN"};
        // A 4xx of the upstream about this very request goes on as one, with the upstream's reason:
        // a client neither repeats it (docker: DENIED, UNSUPPORTED) nor takes the thing for absent,
        // and goes to its next host (containerd: any status).
        case Kind::upstream_denied:
            return {403, "DENIED"};
        case Kind::upstream_rejected:
            return {400, "UNSUPPORTED"};
        case Kind::unauthorized:
            return {401, "UNAUTHORIZED"};
        case Kind::denied:
            return {403, "DENIED"};
        case Kind::unsupported:
            return {405, "UNSUPPORTED"};
        case Kind::too_large:
            return {413, "SIZE_INVALID"};
        case Kind::range_invalid:
            return {416, "RANGE_INVALID"};
        case Kind::too_many:
            return {429, "TOOMANYREQUESTS"};
        case Kind::upstream_unreachable:
        case Kind::upstream_bad:
        case Kind::target_forbidden:
            return {502, "UNAVAILABLE"};
        case Kind::no_space:
        case Kind::overloaded:
        case Kind::draining:
        case Kind::cancelled:
            return {503, "UNAVAILABLE"};
        case Kind::upstream_timeout:
            return {504, "UNAVAILABLE"};
        case Kind::config_invalid:
        case Kind::io:
        case Kind::internal:
            return {500, "UNKNOWN"};
    }
    return {500, "UNKNOWN"};
}

http::Response error_response(const std::exception_ptr& error, uint64_t request_id) {
    try {
        std::rethrow_exception(error);
    } catch (const Failure& failure) {
        return from_failure(failure, request_id);
    } catch (const std::exception& other) {
        return from_failure(Failure(Kind::internal, other.what()), request_id);
    } catch (...) {
        return from_failure(Failure(Kind::internal, "an unknown exception"), request_id);
    }
}

}  // namespace weir::registry
