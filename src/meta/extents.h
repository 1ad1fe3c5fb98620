// meta/extents.h: which bytes of a blob have arrived: a sorted set of disjoint, non-adjacent
// half-open intervals. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::meta {

struct Extent {
    uint64_t first = 0;
    uint64_t end = 0;  // exclusive
    bool operator==(const Extent&) const = default;
};

class Extents {
public:
    void insert(uint64_t first, uint64_t end);  // merges; empty intervals are ignored
    void erase(uint64_t first, uint64_t end);
    void clear() { map_.clear(); }
    bool empty() const { return map_.empty(); }
    // All of [first, end) is there.
    bool contains(uint64_t first, uint64_t end) const;
    // The end of the extent that holds `offset`, or `offset` when that byte isn't there.
    uint64_t end_from(uint64_t offset) const;
    // The first missing interval in [first, end); nullopt when all is there.
    std::optional<Extent> first_gap(uint64_t first, uint64_t end) const;
    uint64_t total() const;
    std::vector<Extent> list() const;
    size_t count() const { return map_.size(); }
    bool operator==(const Extents&) const = default;

    // "0-100,200-300" (ends exclusive), as stored in the database. parse: nullopt on anything else.
    std::string text() const;
    static std::optional<Extents> parse(std::string_view);

private:
    std::map<uint64_t, uint64_t> map_;  // first -> end
};

}  // namespace weir::meta
