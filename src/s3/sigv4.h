// s3/sigv4.h: AWS Signature Version 4 as a pure function; AWS's published vectors are its tests.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"

namespace weir::s3 {

// Immutable. `expires` is kNoExpiry for static keys.
struct Credentials {
    static constexpr WallTime kNoExpiry = WallTime::max();
    std::string access_key;
    Secret secret_key;
    Secret session_token;  // empty: none
    WallTime expires = kNoExpiry;
};

struct SigningRequest {
    std::string method;
    std::string host;  // with port when it isn't the scheme's own
    std::string path;  // decoded; encoded here, '/' kept
    std::vector<std::pair<std::string, std::string>> query;  // decoded; sorted after encoding
    std::vector<std::pair<std::string, std::string>>
        fields;                // to be signed, besides host and x-amz-*
    std::string payload_hash;  // hex sha256, or "UNSIGNED-PAYLOAD"
};

struct Signed {
    std::string path_and_query;  // encoded, as it must be sent
    std::vector<std::pair<std::string, std::string>>
        fields;  // all to send but Host and Authorization
    Secret authorization;
};

Signed sign(const SigningRequest&, const Credentials&, std::string_view region,
            std::string_view service, WallTime now);

// A GET that anyone may make until it expires (at most 7 days): path and query, to be put behind
// the endpoint.
std::string presign(const SigningRequest&, const Credentials&, std::string_view region,
                    WallTime now, std::chrono::seconds valid);

}  // namespace weir::s3
