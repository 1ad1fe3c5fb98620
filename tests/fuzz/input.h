// What every fuzz target shares: its input as text. A promise that doesn't hold is a check
// (base/check.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"

namespace weir::fuzz {
inline std::string_view text_of(const uint8_t* data, size_t size) {
    return size == 0 ? std::string_view()
                     : std::string_view(reinterpret_cast<const char*>(data), size);
}
inline bool inside(std::string_view part, std::string_view whole) {
    return part.empty() || (part.data() >= whole.data() &&
                            part.data() + part.size() <= whole.data() + whole.size());
}
}  // namespace weir::fuzz
