// oci/json.h: foreign JSON, read within bounds. For the room's own files.
#pragma once
#include <boost/json/value.hpp>
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>

namespace weir::oci {

inline constexpr size_t kMaxJsonDepth = 32;
// What reading may take at once, for each byte of the text. Real documents stay below 10;
// "[[],[],..." does not.
inline constexpr size_t kMaxJsonBytesPerByte = 24;
inline constexpr size_t kMinJsonBytes = 64 * 1024;

// The value, or in words why there is none. Never throws. Bytes that aren't UTF-8 inside strings
// are let through, as Go's reader does.
std::expected<boost::json::value, std::string> parse_json(std::string_view text);

// The string member `key`; empty when absent or not a string.
std::string_view text_member(const boost::json::object& object, std::string_view key);
// The member `key`; nullptr when absent or null.
const boost::json::value* member(const boost::json::object& object, std::string_view key);

}  // namespace weir::oci
