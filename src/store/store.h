// store/store.h: where the bytes of blobs are kept.
//
// Implementation: DiskStore, over the real disk and a simulated one; the contract test runs over
// both. What lies behind the disk is a Remote (remote.h).
// Calls are coroutines: what blocks runs on the pool. Blobs are immutable; a name is (digest,
// generation), so erasing and storing the same digest again never meet. With `commit` durability
// what was discarded or erased is gone for good when the call returns. Errors are Failure{no_space}
// or Failure{io}.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "async/task.h"
#include "base/file.h"
#include "oci/digest.h"

namespace weir::store {

// A sparse file that a Fetch fills; invisible until committed. Its File may be written by a
// transfer thread and read by any loop at the same time (different bytes). Dropping the object
// leaves the file for a later reopen().
struct Staging {
    oci::Digest digest;
    uint64_t generation = 0;
    std::shared_ptr<File> file;
};

class Store {
public:
    virtual ~Store() = default;
    // A whole, committed blob; nullptr when it isn't there.
    virtual Task<std::shared_ptr<const File>> open(oci::Digest, uint64_t generation) = 0;
    // A new, empty staging file. With a size its space is allocated at once, so that a full disk is
    // known before the first byte is asked for: Failure{no_space}.
    virtual Task<std::shared_ptr<Staging>> stage(oci::Digest, uint64_t generation,
                                                 std::optional<uint64_t> size) = 0;
    // The staging file of a former process; nullptr when it is gone.
    virtual Task<std::shared_ptr<Staging>> reopen(oci::Digest, uint64_t generation) = 0;
    // Makes a blob that was committed, but never noted in the database, a staging file again;
    // nullptr when there is none. Never of a blob that has a row.
    virtual Task<std::shared_ptr<Staging>> take_back(oci::Digest, uint64_t generation) = 0;
    // The caller has verified the digest. Atomic and, if the store was opened with `commit`
    // durability, on disk when it returns. The staging's File stays readable.
    virtual Task<> commit(std::shared_ptr<Staging>) = 0;
    virtual Task<> discard(std::shared_ptr<Staging>) = 0;
    virtual Task<> discard_left_over(oci::Digest, uint64_t generation) = 0;
    // false when it wasn't there. Open files stay readable.
    virtual Task<bool> erase(oci::Digest, uint64_t generation) = 0;
    // The data written so far is durable when it returns.
    virtual Task<> sync(std::shared_ptr<Staging>) = 0;
};

}  // namespace weir::store
