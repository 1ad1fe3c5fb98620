// cache/fetch_table.h: at most one Fetch of a digest, whoever asks.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "cache/fetch.h"

namespace weir::cache {

// Any loop.
class FetchTable {
public:
    explicit FetchTable(FetchContext& context) : context_(context) {}

    struct Joined {
        std::shared_ptr<Fetch> fetch;  // null: the one that runs is of another scope
        bool fresh = false;            // this call started it
    };
    // The running Fetch of the digest with these wishes added, or a new one. Failure{draining}
    // after stop().
    Joined join_or_start(const oci::Digest&, const std::vector<WantedRange>& wanted, const Origins&,
                         const FetchTerms& = {});
    // The running Fetch, if any.
    std::shared_ptr<Fetch> find(const oci::Digest&) const;
    // Drops what an earlier fetch left of the digest, unless one runs; gives how many bytes that
    // were. One that is wanted meanwhile begins after it.
    Task<uint64_t> drop_left_over(oci::Digest);
    // Gives back what its file takes beyond what its row counts; drops it where the row counts
    // nothing. `before_all`: no fetch has begun yet, however many wait to; else a digest whose
    // fetch runs is left to that.
    Task<> cut_left_over(oci::Digest, bool before_all);
    // Cancels all and waits for their ends.
    Task<> stop();
    size_t size() const;

private:
    // In the table until it has ended; nullptr when a fetch of the digest is there.
    std::shared_ptr<Fetch> sweeper(const oci::Digest&);
    void ended(const oci::Digest&, const Fetch*);

    FetchContext& context_;
    mutable std::mutex mutex_;
    bool stopped_ = false;
    std::unordered_map<oci::Digest, std::shared_ptr<Fetch>, oci::DigestHash> fetches_;
};

}  // namespace weir::cache
