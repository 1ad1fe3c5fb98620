// oci/name.h: repository names and references as the distribution specification spells them (1.1,
// "Pulling manifests").
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "oci/digest.h"

namespace weir::oci {

inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxTagBytes = 128;

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/...)* , at most kMaxNameBytes.
bool valid_name(std::string_view);
// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
bool valid_tag(std::string_view);
// cosign's mutable tags: sha256-<64 hex> with or without .sig, .att, .sbom; also sha512-<64 hex>.
// Their answers change soon after a "not found", so they are remembered only for seconds.
bool is_signature_tag(std::string_view);

// A tag or a digest.
class Reference {
public:
    static std::optional<Reference> parse(std::string_view);
    explicit Reference(Digest digest) : value_(digest) {}
    explicit Reference(std::string tag) : value_(std::move(tag)) {}
    bool is_digest() const { return value_.index() == 0; }
    const Digest& digest() const { return std::get<0>(value_); }
    const std::string& tag() const { return std::get<1>(value_); }
    std::string text() const { return is_digest() ? digest().text() : tag(); }
    auto operator<=>(const Reference&) const = default;

private:
    std::variant<Digest, std::string> value_;
};

// The fallback tag of the referrers of a digest (distribution-spec 1.1, "Referrers Tag Schema"):
// algorithm cut to 32 and encoded part cut to 64 characters.
std::string referrers_tag(const Digest&);

}  // namespace weir::oci
