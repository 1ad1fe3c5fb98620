#include "meta/extents.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/text.h"

namespace weir::meta {

void Extents::insert(uint64_t first, uint64_t end) {
    if (first >= end) return;
    auto at = map_.upper_bound(first);
    if (at != map_.begin()) {
        auto before = std::prev(at);
        if (before->second >= first) {  // overlaps or touches
            if (before->second >= end) return;
            first = before->first;
            at = map_.erase(before);
        }
    }
    while (at != map_.end() && at->first <= end) {
        end = std::max(end, at->second);
        at = map_.erase(at);
    }
    map_.emplace_hint(at, first, end);
}

void Extents::erase(uint64_t first, uint64_t end) {
    if (first >= end) return;
    auto at = map_.upper_bound(first);
    if (at != map_.begin()) --at;
    while (at != map_.end() && at->first < end) {
        const Extent old{at->first, at->second};
        if (old.end <= first) {
            ++at;
            continue;
        }
        at = map_.erase(at);
        if (old.first < first) map_.emplace_hint(at, old.first, first);
        if (old.end > end) map_.emplace_hint(at, end, old.end);
    }
}

bool Extents::contains(uint64_t first, uint64_t end) const {
    return first >= end || end_from(first) >= end;
}

uint64_t Extents::end_from(uint64_t offset) const {
    auto at = map_.upper_bound(offset);
    if (at == map_.begin()) return offset;
    return std::max(offset, std::prev(at)->second);
}

std::optional<Extent> Extents::first_gap(uint64_t first, uint64_t end) const {
    const uint64_t start = end_from(first);
    if (start >= end) return std::nullopt;
    const auto next = map_.upper_bound(start);
    return Extent{start, next == map_.end() ? end : std::min(end, next->first)};
}

uint64_t Extents::total() const {
    uint64_t bytes = 0;
    for (const auto& [first, end] : map_) bytes += end - first;
    return bytes;
}

std::vector<Extent> Extents::list() const {
    std::vector<Extent> all;
    all.reserve(map_.size());
    for (const auto& [first, end] : map_) all.push_back({first, end});
    return all;
}

std::string Extents::text() const {
    std::string out;
    for (const auto& [first, end] : map_)
        fmt::format_to(std::back_inserter(out), "{}{}-{}", out.empty() ? "" : ",", first, end);
    return out;
}

std::optional<Extents> Extents::parse(std::string_view text) {
    Extents extents;
    if (text.empty()) return extents;
    for (const auto part : split(text, ',')) {
        const size_t dash = part.find('-');
        if (dash == std::string_view::npos) return std::nullopt;
        const auto first = parse_u64(part.substr(0, dash));
        const auto end = parse_u64(part.substr(dash + 1));
        if (!first || !end) return std::nullopt;
        extents.insert(*first, *end);
    }
    // One set has one text: overlaps, disorder, empty intervals and leading zeros came from
    // something else.
    if (extents.text() != text) return std::nullopt;
    return extents;
}

}  // namespace weir::meta
