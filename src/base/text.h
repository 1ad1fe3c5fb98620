// base/text.h: small pure functions on text and bytes that several rooms need.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

std::string to_hex(std::span<const std::byte>);
std::optional<std::vector<std::byte>> from_hex(std::string_view);

std::string to_base64(std::string_view);
std::optional<std::string> from_base64(std::string_view);  // standard alphabet, padding optional

// ASCII only: header names, host names, hexadecimal digits.
char ascii_lower(char);
std::string ascii_lower(std::string_view);
bool iequals(std::string_view, std::string_view);
bool istarts_with(std::string_view text, std::string_view prefix);
std::string_view trim(std::string_view);  // blanks and tabs
std::vector<std::string_view> split(std::string_view, char separator);

// Digits only, no sign, no overflow.
std::optional<uint64_t> parse_u64(std::string_view);

// RFC 3986: everything but unreserved characters is escaped; '/' too unless `keep_slash`.
std::string percent_encode(std::string_view, bool keep_slash = false);
// nullopt on a broken escape. '+' is not a blank.
std::optional<std::string> percent_decode(std::string_view);

// "1.5 GiB": for people.
std::string human_bytes(uint64_t);

// Edit distance for "did you mean", cut off at `limit` (returns limit + 1 beyond).
size_t edit_distance(std::string_view, std::string_view, size_t limit);

inline std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}
inline std::string_view as_text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Transparent hashing, so that maps keyed by std::string are looked up by string_view without a
// copy.
struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

}  // namespace weir
