// cache/cache.h: everything the registry may ask. Knows no HTTP.
//
// A Cache answers from memory, disk or an upstream, and promises: what is stored is answered
// without waiting for any upstream; what is fetched is fetched once; nothing wrong is ever
// completed. All members may be called from any serving loop. Missing things are Failures
// (manifest_unknown, blob_unknown, ...), as are upstreams that give no answer.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "async/loop.h"
#include "async/pool.h"
#include "async/task.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "cache/memory.h"
#include "cache/tiers.h"
#include "cache/types.h"
#include "meta/metadata.h"
#include "oci/digest.h"
#include "oci/name.h"
#include "store/space.h"
#include "store/store.h"

namespace weir::cache {

struct Options {
    Duration miss_timeout = std::chrono::seconds(10);  // an answer or a Failure within this
    size_t max_fetches = 256;                          // blobs being filled at once; more wait
    size_t max_queued_fetches = 4096;
    uint64_t chunk_bytes = 4ull << 20;  // cold ranges end at its multiples
    // Space is promised in such steps as bytes come: what an upstream only says costs one at most.
    uint64_t space_step_bytes = 4ull << 20;
    uint64_t range_ahead_bytes =
        32ull << 20;  // a reader further ahead than this gets a transfer of its own
    uint64_t record_bytes = 32ull << 20;   // extents are made durable each so many new bytes
    uint64_t memory_bytes = kMemoryBytes;  // of all that is remembered (cache/memory.h)
    uint64_t manifest_memory_bytes = 64ull << 20;  // of that, at most, for manifests
    size_t open_files = 1024;                      // files kept open for hot blobs
    uint64_t relay_buffer_bytes = 1ull << 20;
    size_t max_relays = 64;
    size_t bad_origin_entries = 16384;
    Duration no_progress_timeout =
        std::chrono::seconds(30);  // a started blob that no origin brings on
    // The same where every origin answers, and none gives the rest: clients may have another host.
    Duration rest_timeout = std::chrono::seconds(3);
    Duration touch_interval = std::chrono::seconds(10);
};

// A manifest in memory. Immutable, shared.
struct Manifest {
    oci::Digest digest;
    std::string digest_text;
    std::string media_type;
    std::shared_ptr<const std::string>
        bytes;  // null in the answer to a HEAD that was only asked upstream
    uint64_t size = 0;
    std::string private_of;  // meta/metadata.h
};

struct ManifestView {
    std::shared_ptr<const Manifest> manifest;
    From from = From::hit_memory;
    bool stale = false;  // older than its TTL and not confirmed since
    Duration age{};      // since the upstream last confirmed it
    std::shared_ptr<const std::string> upstream;
};

// What of a blob is asked for, before its size is known.
struct WantedRange {
    std::optional<uint64_t> first;  // absent: the last `last` bytes
    std::optional<uint64_t> last;   // inclusive; absent: to the end
};

// Bytes for a client: of a file, or in memory until the next call.
struct FileBytes {
    std::shared_ptr<const File> file;
    uint64_t offset = 0;
    uint64_t length = 0;
    bool hot = false;  // just written
};
using Bytes = std::variant<FileBytes, std::span<const std::byte>>;

// One reader of one contiguous range. Own loop only; leaving early is normal and disturbs nobody.
class BlobReader {
public:
    virtual ~BlobReader() = default;
    // Up to `max` bytes, at least one. nullopt when the range is done. Throws the Failure that
    // ended the fetch; the bytes given before are then not to be completed.
    virtual Task<std::optional<Bytes>> next(uint64_t max) = 0;
    // The last `left` bytes of the piece that next() gave can't be read from its file. true: next()
    // goes on with them, from elsewhere.
    virtual bool unreadable(uint64_t /*left*/) { return false; }
    // Nobody wants the bytes any more: a next() that waits, or comes later, throws
    // Failure{cancelled}. May be called again.
    virtual void leave() {}
};

struct BlobView {
    oci::Digest digest;
    uint64_t size = 0;  // of the whole
    From from = From::miss;
    std::shared_ptr<const std::string> upstream;

    // A reader of [first, first + length) of this blob; length > 0. May be called several times
    // (multi-range).
    std::unique_ptr<BlobReader> reader(uint64_t first, uint64_t length) const;

    // How reader() gets its bytes; one of the cache's own kinds.
    class Readable;
    std::shared_ptr<const Readable> readable;
};

// A list, or a page of it: JSON texts joined by commas, a piece of a text that all its readers
// share.
struct ListView {
    std::shared_ptr<const std::string> items;
    size_t first = 0, length = 0;  // the page's part of `items`
    std::string next_query;        // "" on the last page
    bool filters_applied = false;
    bool stale = false;
    From from = From::miss;

    std::string_view text() const { return std::string_view(*items).substr(first, length); }
};

// For /metrics and the status page.
struct Snapshot {
    size_t fetches = 0, fetches_waiting = 0, relays = 0, readers = 0;
    uint64_t manifest_memory_bytes = 0;
    // What is remembered, by kind; but the registry's memos.
    MemoryShares memory;
    uint64_t metadata_bytes = 0;  // of the disk
    meta::Usage usage;
    // With tiers only.
    size_t uploads_running = 0;
    bool durable_tier = false, durable_tier_answers = true;
    meta::TierUsage tiers;
};

class Cache {
public:
    // Everything outlives the cache. Background work runs in its own Scope on `loops`.
    Cache(Options, LoopGroup* loops, meta::Metadata&, store::Store&, store::Space&, Pool&, Clock&,
          Random&);
    ~Cache();  // after stop()
    // Uploads, eviction and collection begin with the loops; once, before the first request.
    void start_tiers(TierOptions);
    // New bounds and rules, after a reload.
    void set_bounds(EvictionOptions, CollectorOptions);
    // Fails what waits, cancels transfers, records what has arrived. The last call, unless requests
    // were under way: once those have ended, another call waits for what they had still begun.
    Task<> stop();

    // The memory hit, without a coroutine: nullopt when anything needs waiting (or revalidating).
    std::optional<ManifestView> manifest_now(const TargetPtr&, std::string_view reference);
    // `head`: nothing is downloaded; the answer may then have no bytes.
    Task<ManifestView> manifest(TargetPtr, oci::Reference, bool head);

    // A hot blob, without a coroutine; nullopt when anything needs waiting.
    std::optional<BlobView> blob_now(const TargetPtr&, const oci::Digest&);
    // `wanted` empty: the whole. A HEAD downloads nothing: its view has no readable.
    Task<BlobView> blob(TargetPtr, oci::Digest, std::vector<WantedRange> wanted, bool head);

    // A URL that gives the blob to anyone for `valid`, from the durable tier; nullopt when it is
    // not there (yet) or not linked to the repository.
    Task<std::optional<std::string>> redirect(TargetPtr, oci::Digest, std::chrono::seconds valid);

    // `query` is the client's, without "ns". Failure{request_invalid} when it makes no sense.
    Task<ListView> tags(TargetPtr, std::string query);
    Task<ListView> referrers(TargetPtr, oci::Digest, std::string query);
    Task<std::vector<std::string>> catalog(std::string last, size_t limit);

    Task<Snapshot> snapshot();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace weir::cache
