// cache/blobs.h: blobs by digest: stored, being filled, or to be fetched; and under which
// repositories they may be served.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "async/semaphore.h"
#include "cache/erasures.h"
#include "cache/fetch_table.h"
#include "cache/lookup.h"
#include "cache/memory.h"
#include "cache/relay.h"
#include "meta/upkeep.h"
#include "store/remote.h"

namespace weir::cache {

// Any loop.
class Blobs {
public:
    Blobs(const Options&, const MemoryShares&, meta::Metadata&, store::Store&, store::Space&, Pool&,
          Clock&, Random&, Scope&);

    std::optional<BlobView> blob_now(const TargetPtr&, const oci::Digest&);
    Task<BlobView> blob(TargetPtr, oci::Digest, std::vector<WantedRange> wanted, bool head);
    // The database has linked it (a manifest that names it was stored) when removals() was `as_of`.
    void linked(std::string_view repository, const oci::Digest&, uint64_t as_of);
    // Evicted or found broken.
    void forget(const oci::Digest&);
    // Lets go of what counts no more since something was removed, so of files that another process
    // erased: they take room on the disk until they are closed. Not on a loop.
    void forget_removed();
    // Somebody reads the stored file of this blob now.
    bool in_use(const oci::Digest&) const;

    // A tier below the disk, and how the disk is kept in bounds. Once, before the first request.
    struct Tiers {
        meta::Upkeep* upkeep = nullptr;
        store::Remote* remote = nullptr;  // null: the disk is the store
        std::function<Task<bool>(uint64_t)> make_room;
        std::function<void()> stored;
        std::function<Task<>()> settled;
        Erasures* erasures = nullptr;
        uint64_t admit_min_bytes =
            0;  // > 0: a blob of that size is kept from its second request on
    };
    void set_tiers(Tiers);
    // A URL that serves the blob from the durable tier to anyone for a while; nullopt: not there
    // (yet), or not linked.
    Task<std::optional<std::string>> redirect(TargetPtr, oci::Digest, std::chrono::seconds valid);

    // For a reader of a stored file that the disk can't give: `rest.origins` are filled in.
    Task<std::unique_ptr<BlobReader>> read_past_disk(TargetPtr, RelayRequest rest);

    Task<> stop();
    FetchTable& fetches() { return table_; }
    Relays& relays() { return relays_; }
    FairSemaphore& permits() { return permits_; }
    Touches& touches() { return touches_; }
    uint64_t index_bytes() const { return index_.weight() + asked_once_.weight(); }
    uint64_t link_bytes() const { return links_.weight(); }
    uint64_t negative_bytes() const { return negatives_.weight(); }

private:
    struct Known {
        std::optional<StoredBlob> stored;         // on disk
        std::optional<uint64_t> in_durable_tier;  // its size, when it is there
        bool linked = false;
        std::exception_ptr unread;  // the database could not be asked
    };
    Task<BlobView> blob(TargetPtr, oci::Digest, std::vector<WantedRange> wanted, bool head, Known,
                        TimePoint deadline);
    Task<Known> look_up(TargetPtr, oci::Digest);
    Task<std::shared_ptr<const File>> open_file(oci::Digest, StoredBlob);
    // An upstream of the target confirms that the repository has the blob; throws otherwise. Gives
    // its size.
    // The size as the upstream tells it; nullopt: it is there, and nobody says how large it is.
    Task<std::optional<uint64_t>> prove(TargetPtr, oci::Digest, bool link, TimePoint deadline);
    Task<std::optional<uint64_t>> ask_upstream(TargetPtr, oci::Digest, bool link);
    Task<BlobView> fetch(TargetPtr, oci::Digest, std::vector<WantedRange> wanted, Known known,
                         TimePoint deadline);
    Task<bool> wait_for_another(oci::Digest, std::string group, TimePoint deadline);
    Origins origins_for(const Target&, const Known&);
    std::shared_ptr<const void> hold(const oci::Digest&);
    // Linked in the database, or else (it can't be written now) only served.
    Task<> link(TargetPtr, oci::Digest);
    Task<BlobView> relay(TargetPtr, oci::Digest, Known, TimePoint deadline);
    std::string negative_key(const Target&, const oci::Digest&) const;

    const Options& options_;
    meta::Metadata& metadata_;
    store::Store& store_;
    Pool& pool_;
    Clock& clock_;
    Believed<oci::Digest, StoredBlob, oci::DigestHash> index_;
    Believed<oci::Digest, std::shared_ptr<const File>, oci::DigestHash> files_;
    Believed<std::string, bool> links_;
    Negatives negatives_;
    Touches touches_;
    Lru<std::string, TimePoint> bad_origins_;
    FairSemaphore permits_;
    FetchContext context_;
    FetchTable table_;
    Relays relays_;
    Flight<std::string, std::optional<uint64_t>> proofs_;
    Tiers tiers_;
    Lru<oci::Digest, bool, oci::DigestHash> asked_once_;
    // Readers of stored files, by digest. Shared with their tokens, which may outlive a request by
    // a little.
    struct Uses {
        std::mutex mutex;
        std::unordered_map<oci::Digest, size_t, oci::DigestHash> counts;
    };
    std::shared_ptr<Uses> uses_ = std::make_shared<Uses>();
};

}  // namespace weir::cache
