// cache/relay.h: when the disk has no room, bytes pass through a bounded buffer, uncached and
// counted.
//
// Readers of the same bytes share a transfer as far as they keep together (pipe.h has the rules);
// it begins with the first next() and is cancelled when the last reader dies. Breaks are taken up
// at the offset, at the next origin, like those of a Fetch. A relay of the whole blob is verified:
// the last byte is withheld until the digest is right.
//
// At most Options::max_relays transfers at once, shared by upstream (async/shares.h); more wait. A
// relay whose readers sleep has no transfer and no place, neither here nor at its upstream. At most
// kRestingPerPlace times max_relays rest; one more is cut, because each holds a window.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "async/pool.h"
#include "async/scope.h"
#include "async/semaphore.h"
#include "cache/cache.h"
#include "cache/fetch_table.h"
#include "cache/origin.h"
#include "cache/pipe.h"

namespace weir::cache {

class Relays {
public:
    static constexpr size_t kRestingPerPlace = 4;

    Relays(const Options&, Scope&, Pool&, Clock&, FetchTable&);
    std::unique_ptr<BlobReader> open(RelayRequest);
    // Fails all, and those to come: Failure{draining}.
    void stop();
    size_t running() const;
    size_t resting() const { return resting_; }

private:
    friend class RelayReader;
    // For stop(); false when it has come.
    bool know(const std::shared_ptr<Pipe>&);
    static Task<> run(std::shared_ptr<Pipe>, Relays&);
    static Task<> bring(std::shared_ptr<Pipe>, Relays&);
    // Ends transfers that nobody reads.
    static Task<> mind(std::shared_ptr<Pipe>, Relays&);
    const Options& options_;
    Scope& scope_;
    Pool& pool_;
    Clock& clock_;
    FetchTable& table_;
    FairSemaphore permits_;
    std::atomic<size_t> resting_{0};
    std::mutex mutex_;
    bool stopped_ = false;
    std::vector<std::weak_ptr<Pipe>> pipes_;
};

}  // namespace weir::cache
