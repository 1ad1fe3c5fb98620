// registry/recent.h: a bounded map of what was used lately, for one loop.
//
// Two generations: new and used entries live in the young one; when that is full it becomes the old
// one and the former old one is dropped. Finding costs one hash, keeping no list. Weighed in bytes,
// with keys and what the map itself takes. Not for several threads.
#pragma once
#include <cstddef>
#include <cstdint>
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
    // What an entry takes beside its keys' texts and what its value points to: node, bucket, and
    // the heads of its allocations.
    static constexpr uint64_t kEntryBytes = sizeof(PairKey) + sizeof(Value) + 112;

    // Keeps at most `limit` bytes.
    explicit Recent(uint64_t limit) : generation_bytes_(limit / 2) {}

    // Valid until the next call of find() or insert().
    Value* find(PairKeyView key) {
        if (auto at = young_.find(key); at != young_.end()) return &at->second.value;
        auto at = old_.find(key);
        if (at == old_.end()) return nullptr;
        auto node = old_.extract(at);
        const uint64_t bytes = node.mapped().bytes;
        old_bytes_ -= bytes;
        make_room(bytes);
        young_bytes_ += bytes;
        return &young_.insert(std::move(node)).position->second.value;
    }

    // `held`: bytes that the value points to. What is heavier than a generation is not kept.
    void insert(PairKeyView key, Value value, uint64_t held = 0) {
        const uint64_t bytes = kEntryBytes + key.first.size() + key.second.size() + held;
        if (bytes > generation_bytes_) return;
        make_room(bytes);
        auto [at, fresh] =
            young_.try_emplace(PairKey{std::string(key.first), std::string(key.second)});
        young_bytes_ += bytes - at->second.bytes;
        at->second = Entry{std::move(value), bytes};
    }

    void clear() {
        young_.clear();
        old_.clear();
        young_bytes_ = old_bytes_ = 0;
    }
    size_t size() const { return young_.size() + old_.size(); }
    uint64_t bytes() const { return young_bytes_ + old_bytes_; }

private:
    struct Entry {
        Value value{};
        uint64_t bytes = 0;
    };
    using Map = std::unordered_map<PairKey, Entry, PairKeyHash, PairKeyEqual>;

    void make_room(uint64_t bytes) {
        if (young_bytes_ + bytes <= generation_bytes_) return;
        old_ = std::move(young_);
        old_bytes_ = std::exchange(young_bytes_, 0);
        young_.clear();
    }

    const uint64_t generation_bytes_;
    uint64_t young_bytes_ = 0, old_bytes_ = 0;
    Map young_, old_;
};

}  // namespace weir::registry
