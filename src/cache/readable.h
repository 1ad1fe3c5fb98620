// cache/readable.h: the ways in which a BlobView gets its bytes: a stored file, a running fetch, a
// relay.
#pragma once
#include <memory>

#include "cache/blobs.h"
#include "cache/cache.h"
#include "cache/fetch.h"
#include "cache/relay.h"

namespace weir::cache {

class BlobView::Readable {
public:
    virtual ~Readable() = default;
    virtual std::unique_ptr<BlobReader> reader(uint64_t first, uint64_t length) const = 0;
};

// A whole, stored blob. Where the disk does not give it, its readers go on by relay.
class StoredReadable : public BlobView::Readable,
                       public std::enable_shared_from_this<StoredReadable> {
public:
    // `file` null: not to be had. `use`: tells, while it lives, that the file is being read.
    StoredReadable(Blobs& blobs, TargetPtr target, oci::Digest digest, uint64_t size,
                   std::shared_ptr<const File> file, std::shared_ptr<const void> use)
        : blobs_(blobs),
          target_(std::move(target)),
          digest_(digest),
          size_(size),
          file_(std::move(file)),
          use_(std::move(use)) {}
    std::unique_ptr<BlobReader> reader(uint64_t first, uint64_t length) const override;

    const std::shared_ptr<const File>& file() const { return file_; }
    // [first, first + length), for a reader that began at byte `begun`.
    Task<std::unique_ptr<BlobReader>> read_past_disk(uint64_t begun, uint64_t first,
                                                     uint64_t length) const;

private:
    Blobs& blobs_;
    const TargetPtr target_;
    const oci::Digest digest_;
    const uint64_t size_;
    const std::shared_ptr<const File> file_;
    const std::shared_ptr<const void> use_;
};

// A blob that is being filled. When its disk is full or broken, its readers go on by relay.
class FetchReadable : public BlobView::Readable {
public:
    FetchReadable(std::shared_ptr<Fetch> fetch, Relays& relays)
        : fetch_(std::move(fetch)), interest_(fetch_), relays_(relays) {}
    std::unique_ptr<BlobReader> reader(uint64_t first, uint64_t length) const override;

private:
    std::shared_ptr<Fetch> fetch_;
    Fetch::Interest interest_;
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
