#include "s3/sums.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "base/check.h"
#include "base/text.h"

namespace weir::s3 {
namespace {

std::string sum(const char* algorithm, std::string_view data) {
    std::array<char, EVP_MAX_MD_SIZE> out;
    size_t length = 0;
    check(EVP_Q_digest(nullptr, algorithm, nullptr, data.data(), data.size(),
                       reinterpret_cast<unsigned char*>(out.data()), &length) == 1,
          "OpenSSL has the sums of S3");
    return {out.data(), length};
}

}  // namespace

std::string sha256(std::string_view data) {
    return sum("SHA256", data);
}

std::string sha256_hex(std::string_view data) {
    return to_hex(as_bytes(sha256(data)));
}

std::string md5_base64(std::string_view data) {
    return to_base64(sum("MD5", data));
}

std::string hmac_sha256(std::string_view key, std::string_view data) {
    std::array<char, EVP_MAX_MD_SIZE> out;
    unsigned length = 0;
    check(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
               reinterpret_cast<const unsigned char*>(data.data()), data.size(),
               reinterpret_cast<unsigned char*>(out.data()), &length) != nullptr,
          "OpenSSL signs");
    return {out.data(), length};
}

}  // namespace weir::s3
