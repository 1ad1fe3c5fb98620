// cache/blobs.h: blobs by digest: stored, being filled, or to be fetched; and under which
// repositories they may be served.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "async/semaphore.h"
#include "cache/erasures.h"
#include "cache/fetch_table.h"
#include "cache/gate.h"
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
    // Called, once, when an upstream says that it has not got a digest. Before the first request.
    using Missing = std::function<Task<>(TargetPtr, oci::Digest)>;
    void set_missing(Missing missing) { missing_ = std::move(missing); }
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
        std::string private_of;
        bool linked = false;
        bool named = true;          // asked for only where it isn't linked
        bool anew = false;          // it is here, and this repository has no claim to it
        std::exception_ptr unread;  // the database could not be asked
        bool here() const { return stored || in_durable_tier; }
        uint64_t size() const { return stored ? stored->size : in_durable_tier.value_or(0); }
    };
    Task<BlobView> blob(TargetPtr, oci::Digest, std::vector<WantedRange> wanted, bool head, Known,
                        TimePoint deadline);
    Task<Known> look_up(TargetPtr, oci::Digest);
    Task<std::shared_ptr<const File>> open_file(oci::Digest, StoredBlob);
    // The rule of cache/gate.h, of what isn't linked: what it does not let through is not there for
    // this request. Gives what its upstream told, when it was asked.
    Task<std::optional<Told>> pass_gate(TargetPtr, oci::Digest, bool head, Known&,
                                        TimePoint deadline);
    // What an upstream of the target tells of the blob; throws where it has not got it. One HEAD
    // for all who ask.
    Task<Told> claim(TargetPtr, oci::Digest, TimePoint deadline);
    Task<Told> ask_upstream(TargetPtr, oci::Digest);
    Task<> remember_missing(TargetPtr, oci::Digest);
    Task<BlobView> fetch(TargetPtr, oci::Digest, std::vector<WantedRange> wanted, Known known,
                         std::optional<Told>, TimePoint deadline);
    // The repository may read this fetch; false: it gets its bytes apart.
    Task<bool> may_join(TargetPtr, oci::Digest, const Known&, std::shared_ptr<Fetch>,
                        std::optional<Told>&, TimePoint deadline);
    Task<bool> wait_for_another(oci::Digest, std::string group, TimePoint deadline);
    Origins origins_for(const Target&, const Known&);
    std::shared_ptr<const void> hold(const oci::Digest&);
    // Linked in the database, or else (it can't be written now) only served.
    // What an upstream's word was compared with: what is here, what a fetch brings now, or nothing.
    enum class Proof { gate, fetch, word };
    Task<> link(TargetPtr target, oci::Digest digest, Proof);
    void remember_link(std::string_view repository, const oci::Digest&, uint64_t as_of);
    Task<BlobView> relay(TargetPtr, oci::Digest, Known, std::optional<Told>, TimePoint deadline);
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
    // Blobs that found no room a moment ago, and until when they are passed on without another try.
    static constexpr Duration kNoRoomTime = std::chrono::seconds(2);
    Lru<oci::Digest, TimePoint, oci::DigestHash> no_room_;
    FairSemaphore permits_;
    FetchContext context_;
    FetchTable table_;
    Relays relays_;
    Flight<std::string, Told> proofs_;
    Missing missing_;
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
