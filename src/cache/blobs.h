// cache/blobs.h: blobs by digest: stored, being filled, or to be fetched; and under which
// repositories they may be served.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "async/semaphore.h"
#include "cache/fetch_table.h"
#include "cache/lookup.h"
#include "cache/relay.h"

namespace weir::cache {

// Any loop.
class Blobs {
public:
    Blobs(const Options&, meta::Metadata&, store::Store&, store::Space&, Pool&, Clock&, Random&,
          Scope&);

    std::optional<BlobView> blob_now(const TargetPtr&, const oci::Digest&);
    Task<BlobView> blob(TargetPtr, oci::Digest, std::vector<WantedRange> wanted, bool head);
    // The database has linked it (a manifest that names it was stored).
    void linked(std::string_view repository, const oci::Digest&);
    // Evicted or found broken.
    void forget(const oci::Digest&);

    Task<> stop();
    FetchTable& fetches() { return table_; }
    Relays& relays() { return relays_; }
    Semaphore& permits() { return permits_; }
    Touches& touches() { return touches_; }

private:
    struct Known {
        std::optional<StoredBlob> stored;
        bool linked = false;
    };
    Task<Known> look_up(TargetPtr, oci::Digest);
    Task<std::shared_ptr<const File>> open_file(oci::Digest, StoredBlob);
    // An upstream of the target confirms that the repository has the blob; throws otherwise. Gives
    // its size.
    Task<uint64_t> prove(TargetPtr, oci::Digest, bool link, TimePoint deadline);
    Task<uint64_t> ask_upstream(TargetPtr, oci::Digest, bool link);
    Task<BlobView> fetch(TargetPtr, oci::Digest, std::vector<WantedRange> wanted, bool linked,
                         TimePoint deadline);
    Task<BlobView> relay(TargetPtr, oci::Digest, TimePoint deadline);
    std::string negative_key(const Target&, const oci::Digest&) const;

    const Options& options_;
    meta::Metadata& metadata_;
    store::Store& store_;
    Pool& pool_;
    Clock& clock_;
    Lru<oci::Digest, StoredBlob, oci::DigestHash> index_;
    Lru<oci::Digest, std::shared_ptr<const File>, oci::DigestHash> files_;
    Lru<std::string, bool> links_;
    Negatives negatives_;
    Touches touches_;
    Lru<std::string, TimePoint> bad_origins_;
    Semaphore permits_;
    FetchContext context_;
    FetchTable table_;
    Relays relays_;
    Flight<std::string, uint64_t> proofs_;
};

}  // namespace weir::cache
