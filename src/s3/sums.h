// s3/sums.h: the sums that S3's protocol is made of (OpenSSL). Pure.
#pragma once
#include <string>
#include <string_view>

namespace weir::s3 {

std::string sha256(std::string_view);  // raw, 32 bytes
std::string sha256_hex(std::string_view);
std::string hmac_sha256(std::string_view key, std::string_view data);  // raw
std::string md5_base64(std::string_view);                              // as Content-MD5 wants it

}  // namespace weir::s3
