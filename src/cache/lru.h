// cache/lru.h: what was used last is kept, up to a limit in entries or bytes. Any thread; sharded,
// so that loops seldom meet on a lock: what is heavier than a shard's part of the limit is not
// kept. Values are returned by copy: keep them small or shared.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "base/text.h"

namespace weir::cache {

// What an entry takes beside its value, where the limit is in bytes: its key twice (in the order
// and in the map), two nodes, a bucket, and the heads of their allocations.
template <class Key>
uint64_t entry_bytes(const Key& key) {
    constexpr uint64_t kNodes = 2 * sizeof(Key) + 160;
    if constexpr (std::is_same_v<Key, std::string>)
        return kNodes + 2 * key.size();
    else
        return kNodes;
}

template <class Key>
struct LruHash : std::hash<Key> {};
template <>
struct LruHash<std::string> : TextHash {};

template <class Key, class Value, class Hash = LruHash<Key>>
class Lru {
public:
    // `limit`: the sum of the weights that are kept. Few and heavy values: fewer shards.
    explicit Lru(uint64_t limit, size_t shards = kShards)
        : used_shards_(std::min(shards, kShards)), shard_limit_(limit / used_shards_ + 1) {}

    template <class K>
    std::optional<Value> get(const K& key) {
        Shard& shard = shard_of(key);
        std::lock_guard lock(shard.mutex);
        auto at = shard.map.find(key);
        if (at == shard.map.end()) return std::nullopt;
        shard.order.splice(shard.order.begin(), shard.order, at->second);
        return at->second->value;
    }

    // Only what satisfies `counts`; anything else that is there goes.
    template <class K, class F>
    std::optional<Value> get_if(const K& key, F counts) {
        Shard& shard = shard_of(key);
        std::list<Node> dropped;  // destroyed without the lock: it may be the last hold of a file
        std::lock_guard lock(shard.mutex);
        auto at = shard.map.find(key);
        if (at == shard.map.end()) return std::nullopt;
        if (!counts(std::as_const(at->second->value))) {
            take(shard, at->second, dropped);
            return std::nullopt;
        }
        shard.order.splice(shard.order.begin(), shard.order, at->second);
        return at->second->value;
    }

    void put(const Key& key, Value value, uint64_t weight = 1) {
        Shard& shard = shard_of(key);
        std::lock_guard lock(shard.mutex);
        put_locked(shard, key, std::move(value), weight);
    }

    // If `wanted` says so of what is there now (null: nothing), which stays until it is replaced.
    template <class F>
    void put_when(const Key& key, Value value, uint64_t weight, F wanted) {
        Shard& shard = shard_of(key);
        std::lock_guard lock(shard.mutex);
        const auto at = shard.map.find(key);
        const Value* now = at == shard.map.end() ? nullptr : &at->second->value;
        if (wanted(now)) put_locked(shard, key, std::move(value), weight);
    }

    // From the one that was used longest ago on, as long as they satisfy `gone`. Each lock is held
    // for kStep of them at most, and none while they are destroyed.
    template <class F>
    void drop_oldest(F gone) {
        for (Shard& shard : shards_)
            while (drop_step(shard, gone)) {
            }
    }

    void erase(const Key& key) {
        Shard& shard = shard_of(key);
        std::lock_guard lock(shard.mutex);
        drop(shard, key);
    }

    uint64_t weight() const {
        uint64_t sum = 0;
        for (const Shard& shard : shards_) {
            std::lock_guard lock(shard.mutex);
            sum += shard.weight;
        }
        return sum;
    }

private:
    static constexpr size_t kShards = 16;
    static constexpr size_t kStep = 64;
    struct Node {
        Key key;
        Value value;
        uint64_t weight;
    };
    struct Equal : std::equal_to<> {};
    struct Shard {
        mutable std::mutex mutex;
        std::list<Node> order;  // most recent first
        std::unordered_map<Key, typename std::list<Node>::iterator, Hash, Equal> map;
        uint64_t weight = 0;
    };

    template <class K>
    Shard& shard_of(const K& key) {
        return shards_[(Hash{}(key) >> 7) % used_shards_];
    }
    void put_locked(Shard& shard, const Key& key, Value value, uint64_t weight) {
        drop(shard, key);
        if (weight > shard_limit_) return;
        shard.order.push_front(Node{key, std::move(value), weight});
        shard.map.emplace(key, shard.order.begin());
        shard.weight += weight;
        while (shard.weight > shard_limit_) drop(shard, shard.order.back().key);
    }
    template <class K>
    void drop(Shard& shard, const K& key) {
        auto at = shard.map.find(key);
        if (at == shard.map.end()) return;
        std::list<Node> dropped;
        take(shard, at->second, dropped);
    }
    static void take(Shard& shard, typename std::list<Node>::iterator node, std::list<Node>& into) {
        shard.weight -= node->weight;
        shard.map.erase(node->key);
        into.splice(into.begin(), shard.order, node);
    }

    // Whether there may be more.
    template <class F>
    bool drop_step(Shard& shard, F& gone) {
        std::list<Node> dropped;
        std::lock_guard lock(shard.mutex);
        while (dropped.size() < kStep && !shard.order.empty() && gone(shard.order.back().value))
            take(shard, std::prev(shard.order.end()), dropped);
        return dropped.size() == kStep;
    }

    const size_t used_shards_;
    const uint64_t shard_limit_;
    std::array<Shard, kShards> shards_;
};

}  // namespace weir::cache
