// upstream/content_range.h: the Content-Range field (RFC 9110 section 14.4).
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::upstream {

struct ContentRange {
    uint64_t first = 0, last = 0;   // inclusive; both 0 in the unsatisfied form "bytes */5"
    std::optional<uint64_t> whole;  // nullopt: "*"
    bool satisfied = true;
    // nullopt for other units, last < first, or a whole that ends before last.
    static std::optional<ContentRange> parse(std::string_view);
};

}  // namespace weir::upstream
