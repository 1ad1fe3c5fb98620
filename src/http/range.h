// http/range.h: RFC 9110 section 14, byte ranges of a representation. Pure; fuzzed.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::http {

// Clients that pull in parts (zstd:chunked, containers/storage) ask for up to 1024 pieces of a
// layer at once, and come down to fewer when they are told 400. More is refused, not ignored: a 200
// with the whole would make their partial pull a full one. Ranges that together ask for more than
// the whole get the whole, as the RFC permits: no answer is longer than the blob and the heads of
// its parts.
inline constexpr size_t kMaxRanges = 1024;

// As written; the size of the whole may be unknown yet.
struct RangeSpec {
    std::optional<uint64_t> first;  // absent: suffix range of `last` bytes
    std::optional<uint64_t> last;   // inclusive; absent: open-ended
};

// nullopt: not a valid bytes range header, to be ignored (RFC 9110 14.2).
// Failure{request_invalid}: more than kMaxRanges.
std::optional<std::vector<RangeSpec>> parse_range(std::string_view header);

struct ByteRange {
    uint64_t first = 0;
    uint64_t length = 0;  // > 0
};

// Against a whole of `size` bytes: ends are clamped, unsatisfiable ranges dropped, order kept, and
// ranges that overlap become one, in the place of the first of them (RFC 9110 15.3.7.2: clients
// count on the parts they asked for, so neighbours stay apart). Empty: 416. Ranges that together
// ask for more than the whole become the one range that is the whole.
std::vector<ByteRange> resolve(const std::vector<RangeSpec>&, uint64_t size);

// "bytes 0-9/100"
std::string content_range(const ByteRange&, uint64_t size);
// "bytes */100"
std::string unsatisfied_range(uint64_t size);

}  // namespace weir::http
