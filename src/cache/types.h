// cache/types.h: what the cache is asked for, and how its answers are described.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/failure.h"
#include "oci/digest.h"
#include "upstream/upstream.h"

namespace re2 {
class RE2;
}

namespace weir::cache {

// Where an answer came from; the words of the access log, X-Cache and the metrics.
enum class From : uint8_t { hit_memory, hit_disk, hit_s3, joined, miss, stale, relay, negative };
const char* from_name(From);

// How long answers are believed. Immutable; shared by many Targets.
struct Freshness {
    struct Rule {
        std::shared_ptr<const re2::RE2> tags;  // full match; null: every tag
        Duration ttl;
    };
    Duration ttl = std::chrono::minutes(5);
    std::vector<Rule> rules;                                 // the first that matches wins over ttl
    std::vector<std::shared_ptr<const re2::RE2>> immutable;  // full match: never asked again
    Duration negative_ttl = std::chrono::seconds(10);
    Duration signature_negative_ttl = std::chrono::seconds(2);
    Duration list_ttl = std::chrono::seconds(60);
    // A tag that was not confirmed for so long is asked for before the stale answer; 0: no bound.
    Duration max_stale = std::chrono::hours(1);

    // kForever for immutable tags; for signatures at most signature_negative_ttl.
    static constexpr Duration kForever = Duration::max();
    Duration ttl_of(std::string_view tag) const;
};

// How blobs of an upstream are fetched.
struct FetchPolicy {
    uint32_t segments = 1;  // ranges at once for one blob
    uint64_t segment_bytes = 16ull << 20;
    uint64_t segment_min_bytes = 64ull << 20;  // smaller blobs come in one piece
    bool rest = false;                         // a cold range fetches the rest of the blob behind
};

// One registry that may serve the repository, and the repository's name there.
struct Candidate {
    std::shared_ptr<upstream::Upstream> upstream;
    std::string repository;
    FetchPolicy fetch;
};

// A resolved repository. Cheap to copy through its pointer; immutable.
struct Target {
    std::string repository;             // local name: the key of tags and links
    std::vector<Candidate> candidates;  // in order; empty: only what is stored (no upstream)
    std::shared_ptr<const Freshness> freshness;
    std::shared_ptr<const std::string> upstream_name;  // for logs: of the first candidate
    // Manifest types that this request's client takes beside those that weir knows; asked for
    // upstream, never part of what is remembered.
    std::string accept;
};
using TargetPtr = std::shared_ptr<const Target>;

}  // namespace weir::cache
