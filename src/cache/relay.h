// cache/relay.h: when the disk has no room, bytes pass through a bounded buffer, uncached and
// counted.
//
// A relay belongs to its reader: it begins with the first next() and is cancelled when the reader
// dies. Breaks are taken up at the offset, at the next origin, like those of a Fetch. A relay of
// the whole blob is verified: the last byte is withheld until the digest is right. At most
// Options::max_relays at once; more are Failure{no_space}.
#pragma once
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

namespace weir::cache {

struct RelayRequest {
    oci::Digest digest;
    uint64_t first = 0;
    uint64_t length = 0;
    std::optional<uint64_t> size;  // of the whole
    Origins origins;
    // The bytes [0, first) of the blob, when the reader was given them from this file: they are
    // hashed first, so that the whole is verified all the same.
    std::shared_ptr<const File> prefix;
    // When that file can't be read: all of the blob is asked for anew, and only given from `first`
    // on. What the reader was given is part of the first `length` bytes, which had this sum, and
    // have to have it again; no sum: they were verified when they were stored.
    struct Shown {
        uint64_t length = 0;
        std::optional<oci::Digest> sum;
    };
    std::optional<Shown> shown;
};

class Pipe;

class Relays {
public:
    Relays(const Options&, Scope&, Pool&, Clock&, FetchTable&);
    std::unique_ptr<BlobReader> open(RelayRequest);
    // Fails all, and those to come: Failure{draining}.
    void stop();
    size_t running() const;

private:
    friend class RelayReader;
    const Options& options_;
    Scope& scope_;
    Pool& pool_;
    Clock& clock_;
    FetchTable& table_;
    Semaphore permits_;
    std::mutex mutex_;
    bool stopped_ = false;
    std::vector<std::weak_ptr<Pipe>> pipes_;
};

}  // namespace weir::cache
