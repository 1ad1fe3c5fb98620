#include "crypto/hasher.h"

#include <openssl/evp.h>

#include <array>

#include "base/check.h"
#include "base/text.h"

namespace weir::crypto {
namespace {

using Algorithm = oci::Digest::Algorithm;

// Fetched once: OpenSSL 3 looks an algorithm up under a lock each time when it is named only
// (EVP_sha256()).
const EVP_MD* method_of(Algorithm algorithm) {
    static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    static const EVP_MD* const sha512 = EVP_MD_fetch(nullptr, "SHA512", nullptr);
    const EVP_MD* method = algorithm == Algorithm::sha256 ? sha256 : sha512;
    check(method != nullptr, "OpenSSL has SHA-2");
    return method;
}

struct FreeContext {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

Context make_context() {
    Context context(EVP_MD_CTX_new());
    check(context != nullptr, "there is memory for a hash");
    return context;
}

Context copy_of(const EVP_MD_CTX* from) {
    Context context = make_context();
    check(EVP_MD_CTX_copy_ex(context.get(), from) == 1, "a hash can be copied");
    return context;
}

}  // namespace

struct Hasher::State {
    Algorithm algorithm;
    Context context;
};

Hasher::Hasher(Algorithm algorithm)
    : state_(std::make_unique<State>(State{algorithm, make_context()})) {
    check(EVP_DigestInit_ex2(state_->context.get(), method_of(algorithm), nullptr) == 1,
          "a hash can be started");
}

Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

Hasher::Hasher(const Hasher& other)
    : state_(std::make_unique<State>(
          State{other.state_->algorithm, copy_of(other.state_->context.get())})) {}

Hasher& Hasher::operator=(const Hasher& other) {
    if (this != &other) *this = Hasher(other);
    return *this;
}

void Hasher::update(std::span<const std::byte> bytes) {
    check(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1,
          "a hash takes bytes");
}

oci::Digest Hasher::digest() const {
    const Context copy = copy_of(state_->context.get());
    std::array<std::byte, EVP_MAX_MD_SIZE> sum;
    unsigned length = 0;
    check(
        EVP_DigestFinal_ex(copy.get(), reinterpret_cast<unsigned char*>(sum.data()), &length) == 1,
        "a hash ends");
    return oci::Digest::from_sum(state_->algorithm, std::span(sum).first(length));
}

oci::Digest digest_of(Algorithm algorithm, std::string_view text) {
    std::array<std::byte, EVP_MAX_MD_SIZE> sum;
    unsigned length = 0;
    check(EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(sum.data()),
                     &length, method_of(algorithm), nullptr) == 1,
          "a text is hashed");
    return oci::Digest::from_sum(algorithm, std::span(sum).first(length));
}

}  // namespace weir::crypto
