// cache/readable.h: the ways in which a BlobView gets its bytes: a stored file, a running fetch, a
// relay.
#pragma once
#include <memory>

#include "cache/cache.h"
#include "cache/fetch.h"
#include "cache/relay.h"

namespace weir::cache {

class BlobView::Readable {
public:
    virtual ~Readable() = default;
    virtual std::unique_ptr<BlobReader> reader(uint64_t first, uint64_t length) const = 0;
};

// A whole, stored blob.
class StoredReadable : public BlobView::Readable {
public:
    // `use`: tells, while it lives, that the file is being read.
    StoredReadable(std::shared_ptr<const File> file, std::shared_ptr<const void> use)
        : file_(std::move(file)), use_(std::move(use)) {}
    std::unique_ptr<BlobReader> reader(uint64_t first, uint64_t length) const override;

private:
    std::shared_ptr<const File> file_;
    std::shared_ptr<const void> use_;
};

// A blob that is being filled. When its disk is full, its readers go on by relay.
class FetchReadable : public BlobView::Readable {
public:
    FetchReadable(std::shared_ptr<Fetch> fetch, Relays& relays)
        : fetch_(std::move(fetch)), relays_(relays) {}
    std::unique_ptr<BlobReader> reader(uint64_t first, uint64_t length) const override;

private:
    std::shared_ptr<Fetch> fetch_;
    Relays& relays_;
};

// A blob that can't be kept.
class RelayReadable : public BlobView::Readable {
public:
    RelayReadable(Relays& relays, oci::Digest digest, uint64_t size, Origins origins)
        : relays_(relays), digest_(digest), size_(size), origins_(std::move(origins)) {}
    std::unique_ptr<BlobReader> reader(uint64_t first, uint64_t length) const override;

private:
    Relays& relays_;
    oci::Digest digest_;
    uint64_t size_;
    Origins origins_;
};

}  // namespace weir::cache
