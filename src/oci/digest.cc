#include "oci/digest.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/text.h"

namespace weir::oci {
namespace {

constexpr std::string_view kSha256 = "sha256:";
constexpr std::string_view kSha512 = "sha512:";
constexpr size_t kSha256Bytes = 32;
constexpr size_t kSha512Bytes = 64;
constexpr uint8_t kNotHex = 0x80;

// Upper case is not hexadecimal here: one blob has one name.
constexpr std::array<uint8_t, 256> make_hex_values() {
    std::array<uint8_t, 256> values{};
    values.fill(kNotHex);
    for (uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
    for (uint8_t i = 0; i < 6; ++i) values['a' + i] = static_cast<uint8_t>(10 + i);
    return values;
}
constexpr auto kHexValues = make_hex_values();

constexpr size_t sum_bytes(Digest::Algorithm algorithm) {
    return algorithm == Digest::Algorithm::sha256 ? kSha256Bytes : kSha512Bytes;
}

// One branch for all digits: wrong ones are collected in the high bit.
bool decode_hex(std::string_view hex, std::byte* out) {
    unsigned seen = 0;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        const unsigned high = kHexValues[static_cast<unsigned char>(hex[i])];
        const unsigned low = kHexValues[static_cast<unsigned char>(hex[i + 1])];
        seen |= high | low;
        *out++ = static_cast<std::byte>((high << 4) | low);
    }
    return (seen & kNotHex) == 0;
}

void append_hex(std::string& out, std::span<const std::byte> sum) {
    constexpr char kDigits[] = "0123456789abcdef";
    for (std::byte b : sum) {
        out.push_back(kDigits[std::to_integer<unsigned>(b) >> 4]);
        out.push_back(kDigits[std::to_integer<unsigned>(b) & 15]);
    }
}

}  // namespace

std::optional<Digest> Digest::parse(std::string_view text) {
    Digest digest;
    if (text.starts_with(kSha256)) {
        digest.algorithm_ = Algorithm::sha256;
    } else if (text.starts_with(kSha512)) {
        digest.algorithm_ = Algorithm::sha512;
    } else {
        return std::nullopt;
    }
    static_assert(kSha256.size() == kSha512.size());
    text.remove_prefix(kSha256.size());
    if (text.size() != 2 * sum_bytes(digest.algorithm_)) return std::nullopt;
    if (!decode_hex(text, digest.sum_.data())) return std::nullopt;
    return digest;
}

Digest Digest::from_sum(Algorithm algorithm, std::span<const std::byte> sum) {
    check(sum.size() == sum_bytes(algorithm), "a sum has its algorithm's length");
    Digest digest;
    digest.algorithm_ = algorithm;
    std::memcpy(digest.sum_.data(), sum.data(), sum.size());
    return digest;
}

std::string_view Digest::algorithm_name() const {
    return algorithm_ == Algorithm::sha256 ? "sha256" : "sha512";
}

std::string Digest::text() const {
    const auto bytes = sum();
    std::string out;
    out.reserve(kSha256.size() + 2 * bytes.size());
    out += algorithm_ == Algorithm::sha256 ? kSha256 : kSha512;
    append_hex(out, bytes);
    return out;
}

std::string Digest::hex() const {
    const auto bytes = sum();
    std::string out;
    out.reserve(2 * bytes.size());
    append_hex(out, bytes);
    return out;
}

std::span<const std::byte> Digest::sum() const {
    return std::span(sum_).first(sum_bytes(algorithm_));
}

// A sum is uniform already, but a client may ask for any digest it likes, so all of the first 32
// bytes count. No seed of the process: the simulator's runs must repeat.
size_t Digest::hash() const {
    uint64_t words[4];
    std::memcpy(words, sum_.data(), sizeof(words));
    uint64_t hash = static_cast<uint64_t>(algorithm_) + 1;
    for (uint64_t word : words) hash = (std::rotl(hash, 23) ^ word) * 0x9E37'79B9'7F4A'7C15u;
    return hash ^ (hash >> 32);
}

}  // namespace weir::oci
