// oci/digest.h: the name of a blob, and the only trust decision in the program.
//
// image-spec, descriptor.md, "Digests". sha256 and sha512 are known; any other algorithm is
// refused. Pure values.
#pragma once
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::oci {

class Digest {
public:
    enum class Algorithm : uint8_t { sha256, sha512 };

    Digest() = default;  // sha256 of nothing known: all zero; only as a placeholder

    // "sha256:" and 64 or "sha512:" and 128 lower-case hexadecimal digits; anything else is
    // nullopt.
    static std::optional<Digest> parse(std::string_view);
    // The raw sum, 32 or 64 bytes.
    static Digest from_sum(Algorithm, std::span<const std::byte> sum);

    Algorithm algorithm() const { return algorithm_; }
    std::string_view algorithm_name() const;
    std::string text() const;  // "sha256:<hex>"
    std::string hex() const;
    std::span<const std::byte> sum() const;  // 32 or 64 bytes

    auto operator<=>(const Digest&) const = default;
    size_t hash() const;

private:
    Algorithm algorithm_ = Algorithm::sha256;
    std::array<std::byte, 64> sum_{};
};

struct DigestHash {
    size_t operator()(const Digest& digest) const { return digest.hash(); }
};

}  // namespace weir::oci
