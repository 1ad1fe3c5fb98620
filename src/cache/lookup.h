// cache/lookup.h: the memory in front of the metadata: what is stored, linked and tagged, without
// asking the database.
//
// Written through: the database first, then the memory, so that the memory never says more than the
// database. Any loop.
#pragma once
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

struct StoredBlob {
    uint64_t size = 0;
    uint64_t generation = 0;
    std::shared_ptr<const std::string> upstream;
};

struct KnownTag {
    oci::Digest digest;
    TimePoint confirmed{};   // by the upstream
    TimePoint next_check{};  // not asked again before
    std::shared_ptr<const std::string> upstream;
    // What manifest_now() needs in one look; null when the manifest isn't in memory.
    std::shared_ptr<const Manifest> manifest;
    // What a HEAD told of it, without bytes; null when none did in this process.
    std::shared_ptr<const Manifest> told;
};

// Upstream "not found" answers, believed for a while.
class Negatives {
public:
    Negatives(size_t entries, Clock& clock) : entries_(entries), clock_(clock) {}
    bool holds(std::string_view key) {
        const auto until = entries_.get(key);
        return until && *until > clock_.now();
    }
    void remember(std::string key, Duration ttl) {
        if (ttl > Duration{}) entries_.put(key, clock_.now() + ttl);
    }
    void forget(const std::string& key) { entries_.erase(key); }

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
