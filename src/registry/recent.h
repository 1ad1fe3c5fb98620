// registry/recent.h: a bounded map of what was used lately, for one loop.
//
// Two generations: new and used entries live in the young one; when that is full it becomes the old
// one and the former old one is dropped. Finding costs one hash, keeping no list. Not for several
// threads.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace weir::registry {

// Two texts as one key, looked up without making a string of them.
struct PairKeyView {
    std::string_view first, second;
};
struct PairKey {
    std::string first, second;
};
struct PairKeyHash {
    using is_transparent = void;
    size_t operator()(const PairKeyView& key) const {
        const std::hash<std::string_view> hash;
        return hash(key.second) + 0x9e3779b97f4a7c15ull * hash(key.first);
    }
    size_t operator()(const PairKey& key) const {
        return (*this)(PairKeyView{key.first, key.second});
    }
};
struct PairKeyEqual {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
        return std::string_view(a.second) == std::string_view(b.second) &&
               std::string_view(a.first) == std::string_view(b.first);
    }
};

template <class Value>
class Recent {
public:
    // Holds up to twice `generation` entries.
    explicit Recent(size_t generation) : generation_(generation) {}

    // Valid until the next call of find() or insert().
    Value* find(PairKeyView key) {
        if (auto at = young_.find(key); at != young_.end()) return &at->second;
        auto at = old_.find(key);
        if (at == old_.end()) return nullptr;
        return &put(std::move(old_.extract(at)));
    }

    Value& insert(PairKeyView key, Value value) {
        make_room();
        auto [at, fresh] = young_.insert_or_assign(
            PairKey{std::string(key.first), std::string(key.second)}, std::move(value));
        return at->second;
    }

    void clear() {
        young_.clear();
        old_.clear();
    }
    size_t size() const { return young_.size() + old_.size(); }

private:
    using Map = std::unordered_map<PairKey, Value, PairKeyHash, PairKeyEqual>;

    Value& put(typename Map::node_type node) {
        make_room();
        return young_.insert(std::move(node)).position->second;
    }
    void make_room() {
        if (young_.size() < generation_) return;
        old_ = std::move(young_);
        young_.clear();
    }

    const size_t generation_;
    Map young_, old_;
};

}  // namespace weir::registry
