// cache/fetch_table.h: at most one Fetch of a digest for each group of upstreams.
//
// Upstreams that share nothing do not depend on each other: what one says of a blob, how fast it
// gives it and whether its bytes are right binds no reader of another. So a fetch belongs to the
// registries that its first reader's repository may ask, and to their logins (cache/gate.h), and
// who asks others gets a fetch of their own beside it. Of the fetches of a digest one owns its row
// in the database and what an earlier one left; the others' files have no name and are gone with
// them, unless they are the first to have the whole, right copy, which is stored and serves all who
// come from then on.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cache/fetch.h"

namespace weir::cache {

// The registries that are asked and the login scope, as one text.
std::string fetch_group(const Origins&, const std::string& scope);

// Any loop.
class FetchTable {
public:
    explicit FetchTable(FetchContext&);

    struct Joined {
        std::shared_ptr<Fetch> fetch;
        bool fresh = false;  // this call started it
    };
    // The running Fetch of the digest and of the group with these wishes added, or a new
    // one. Failure{draining} after stop().
    Joined join_or_start(const oci::Digest&, const std::vector<WantedRange>& wanted, const Origins&,
                         const FetchTerms& = {});
    // The running Fetch of the group, if any.
    std::shared_ptr<Fetch> find(const oci::Digest&, const std::string& group) const;
    // One of another group that is nearly there, if any.
    std::shared_ptr<Fetch> nearly_there(const oci::Digest&, const std::string& group) const;
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
    using Fetches = std::vector<std::shared_ptr<Fetch>>;
    // In the table until it has ended; nullptr when a fetch of the digest is there.
    std::shared_ptr<Fetch> sweeper(const oci::Digest&);
    std::shared_ptr<Fetch> owner(const oci::Digest&) const;
    std::shared_ptr<Fetch> overtake(Fetch& winner);
    void ended(const oci::Digest&, const Fetch*);

    FetchContext& context_;
    mutable std::mutex mutex_;
    bool stopped_ = false;
    std::unordered_map<oci::Digest, Fetches, oci::DigestHash> fetches_;  // in order of their start
};

}  // namespace weir::cache
