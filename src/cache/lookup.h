// cache/lookup.h: the memory in front of the metadata: what is stored, linked and tagged, without
// asking the database.
//
// Written through: the database first, then the memory. What something was removed since it was
// read (meta::Metadata::removals()), by this process or by another, counts no more, so that the
// memory never says more than the database. Any loop.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/failure.h"
#include "cache/cache.h"
#include "cache/lru.h"

namespace weir::cache {

// "repository\0rest" in a buffer of the calling thread, valid until its next call: keys of hot
// look-ups without an allocation.
std::string_view pair_key(std::string_view repository, std::string_view rest);

// Values that were read from the database, or written to it, when removals() was `as_of`: taken
// before the call, so that a removal meanwhile leaves nothing wrong behind.
//
// What counts no more goes when it is asked for, or else by drop_stale(). It lies behind all that
// counts: nothing stale is put in or used, which is decided with the entry's lock held.
template <class Key, class Value, class Hash = LruHash<Key>>
class Believed {
public:
    // The limit is in bytes, with keys and overhead, or in entries.
    enum class Weigh { bytes, entries };
    Believed(uint64_t limit, const meta::Metadata& metadata, Weigh weigh = Weigh::bytes)
        : lru_(limit), metadata_(metadata), weigh_(weigh) {}

    template <class K>
    std::optional<Value> get(const K& key) {
        auto entry = lru_.get_if(key, [this](const Entry& e) { return counts(e); });
        if (!entry) return std::nullopt;
        return std::move(entry->value);
    }
    // `held`: bytes that the value points to.
    void put(const Key& key, Value value, uint64_t as_of, uint64_t held = 0) {
        lru_.put_when(key, {std::move(value), as_of}, weight_of(key, held),
                      [&](const Entry*) { return as_of == metadata_.removals(); });
    }
    // Unless somebody has put another value meanwhile: only if what counts satisfies `as_seen`, or
    // nothing does.
    template <class F>
    void put_if(const Key& key, Value value, uint64_t as_of, uint64_t held, F as_seen) {
        lru_.put_when(key, {std::move(value), as_of}, weight_of(key, held), [&](const Entry* now) {
            if (as_of != metadata_.removals()) return false;
            return !now || now->as_of != as_of || as_seen(now->value);
        });
    }
    void erase(const Key& key) { lru_.erase(key); }
    // Not on a loop: it destroys as many as there are.
    void drop_stale() {
        lru_.drop_oldest([this](const Entry& entry) { return !counts(entry); });
    }
    uint64_t weight() const { return lru_.weight(); }

private:
    struct Entry {
        Value value;
        uint64_t as_of;
    };
    bool counts(const Entry& entry) const { return entry.as_of == metadata_.removals(); }
    uint64_t weight_of(const Key& key, uint64_t held) const {
        return weigh_ == Weigh::entries ? 1 : entry_bytes(key) + sizeof(Entry) + held;
    }
    Lru<Key, Entry, Hash> lru_;
    const meta::Metadata& metadata_;
    const Weigh weigh_;
};

struct StoredBlob {
    uint64_t size = 0;
    uint64_t generation = 0;
    std::shared_ptr<const std::string> upstream;
    uint64_t as_of = 0;  // of the database
};

struct KnownTag {
    oci::Digest digest;
    uint64_t as_of = 0;      // of the database
    TimePoint confirmed{};   // by the upstream
    TimePoint next_check{};  // not asked again before
    std::shared_ptr<const std::string> upstream;
    // What manifest_now() needs in one look, as long as it is in memory: a tag keeps no bytes
    // there.
    std::weak_ptr<const Manifest> manifest;
    // What a HEAD told of it, without bytes; null when none did in this process.
    std::shared_ptr<const Manifest> told;
    // The upstream has not got what it leads to: asked for anew before it is given again.
    bool refuted = false;
    // When somebody last asked for it, in this process (a TimePoint's count). Shared by all copies.
    std::shared_ptr<std::atomic<int64_t>> asked = std::make_shared<std::atomic<int64_t>>(0);
};

// Upstream "not found" answers, believed for a while.
class Negatives {
public:
    // `limit`: in bytes, with keys and overhead.
    Negatives(uint64_t limit, Clock& clock) : entries_(limit), clock_(clock) {}
    bool holds(std::string_view key) {
        const auto until = entries_.get(key);
        return until && *until > clock_.now();
    }
    void remember(std::string key, Duration ttl) {
        if (ttl > Duration{}) entries_.put(key, clock_.now() + ttl, entry_bytes(key));
    }
    void forget(const std::string& key) { entries_.erase(key); }
    uint64_t weight() const { return entries_.weight(); }

private:
    Lru<std::string, TimePoint> entries_;
    Clock& clock_;
};

// A Failure{..._unknown} that was answered from memory.
class NegativeHit : public Failure {
public:
    using Failure::Failure;
};

// Access times, kept in memory and written in batches.
class Touches {
public:
    void add(const oci::Digest&, WallTime);
    std::vector<meta::Touch> take();

private:
    static constexpr size_t kMaxPending = 65536;
    std::mutex mutex_;
    std::unordered_map<oci::Digest, WallTime, oci::DigestHash> pending_;
};

}  // namespace weir::cache
