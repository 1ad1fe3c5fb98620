#include "http/range.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/failure.h"
#include "base/text.h"

namespace weir::http {
namespace {

// first-pos "-" [last-pos] / "-" suffix-length. A position too large for 64 bits is past every
// whole.
std::optional<uint64_t> position(std::string_view digits) {
    if (digits.empty() || !std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; }))
        return std::nullopt;
    return parse_u64(digits).value_or(UINT64_MAX);
}

std::optional<RangeSpec> parse_spec(std::string_view text) {
    const size_t dash = text.find('-');
    if (dash == text.npos) return std::nullopt;
    const auto before = text.substr(0, dash);
    const auto after = text.substr(dash + 1);
    RangeSpec spec;
    if (!before.empty()) spec.first = position(before);
    if (!after.empty()) spec.last = position(after);
    if (spec.first.has_value() == before.empty() || spec.last.has_value() == after.empty())
        return std::nullopt;
    if (!spec.first && !spec.last) return std::nullopt;
    if (spec.first && spec.last && *spec.last < *spec.first) return std::nullopt;
    return spec;
}

std::optional<ByteRange> resolve_one(const RangeSpec& spec, uint64_t size) {
    if (size == 0) return std::nullopt;
    if (!spec.first) {
        const uint64_t length = std::min(spec.last.value_or(0), size);
        if (length == 0) return std::nullopt;
        return ByteRange{size - length, length};
    }
    if (*spec.first >= size) return std::nullopt;
    const uint64_t last = std::min(spec.last.value_or(UINT64_MAX), size - 1);
    return ByteRange{*spec.first, last - *spec.first + 1};
}

// n log n: 1024 ranges must not cost a million comparisons.
std::vector<ByteRange> without_overlap(std::vector<ByteRange> ranges) {
    std::vector<size_t> order(ranges.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, {}, [&](size_t i) { return std::pair(ranges[i].first, i); });
    size_t into = 0;  // in `order`: the range that grows
    for (size_t next = 1; next < order.size(); ++next) {
        ByteRange& last = ranges[order[into]];
        ByteRange& range = ranges[order[next]];
        if (range.first >= last.first + last.length) {
            into = next;
            continue;
        }
        const uint64_t end = std::max(last.first + last.length, range.first + range.length);
        const ByteRange joined{last.first, end - last.first};
        // In the place of the one that was asked for first.
        const bool earlier = order[next] < order[into];
        (earlier ? last : range).length = 0;
        (earlier ? range : last) = joined;
        if (earlier) into = next;
    }
    std::erase_if(ranges, [](const ByteRange& range) { return range.length == 0; });
    return ranges;
}

}  // namespace

std::optional<std::vector<RangeSpec>> parse_range(std::string_view header) {
    header = trim(header);
    const size_t equals = header.find('=');
    if (equals == header.npos || !iequals(header.substr(0, equals), "bytes")) return std::nullopt;
    std::vector<RangeSpec> specs;
    for (std::string_view item : split(header.substr(equals + 1), ',')) {
        item = trim(item);
        if (item.empty()) continue;  // RFC 9110 5.6.1.2: empty list elements are ignored
        const auto spec = parse_spec(item);
        if (!spec) return std::nullopt;
        if (specs.size() == kMaxRanges)
            throw Failure(Kind::request_invalid,
                          fmt::format("more than {} ranges in one request", kMaxRanges));
        specs.push_back(*spec);
    }
    if (specs.empty()) return std::nullopt;
    return specs;
}

std::vector<ByteRange> resolve(const std::vector<RangeSpec>& specs, uint64_t size) {
    std::vector<ByteRange> ranges;
    uint64_t total = 0;
    for (const auto& spec : specs) {
        const auto range = resolve_one(spec, size);
        if (!range) continue;
        // More than the whole is asked for: one range that is the whole says so to the caller.
        if (range->length > size - total && !ranges.empty()) return {ByteRange{0, size}};
        total += range->length;
        ranges.push_back(*range);
    }
    return without_overlap(std::move(ranges));
}

std::string content_range(const ByteRange& range, uint64_t size) {
    return fmt::format("bytes {}-{}/{}", range.first, range.first + range.length - 1, size);
}

std::string unsatisfied_range(uint64_t size) {
    return fmt::format("bytes */{}", size);
}

}  // namespace weir::http
