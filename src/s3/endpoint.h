// s3/endpoint.h: where a bucket is: host and path of a key, in both of S3's styles. Pure.
#pragma once
#include <string>
#include <string_view>

#include "s3/bucket.h"

namespace weir::s3 {

struct Endpoint {
    std::string origin;  // "https://images.s3.eu-west-1.amazonaws.com": scheme and authority
    std::string host;    // as it is sent and signed
    std::string base;    // decoded path before a key: "/" or "/images/"
};

// Of the options for that region. Path style also where a bucket's name can't be part of a host's:
// an endpoint that is an address, a dot under TLS, characters that names of hosts don't have.
// Failure{config_invalid} for what is no endpoint.
Endpoint endpoint_of(const BucketOptions&, const std::string& region);

// "prefix/key", without doubled slashes between them.
std::string full_key(std::string_view prefix, std::string_view key);

}  // namespace weir::s3
