// store/disk_store.h: blobs as files: <root>/blobs/sha256/ab/<hex>.<generation>, staging in
// <root>/staging/.
//
// Commit is a rename within one file system. Nothing lists a directory.
#pragma once
#include <memory>
#include <string>

#include "async/pool.h"
#include "base/file.h"
#include "store/store.h"

namespace weir::store {

struct DiskOptions {
    std::string root;
    bool durable =
        false;  // storage.commit: fsync file and directory before a blob counts as stored, or gone
};

// Makes the directories; Failure{config_invalid} with path and hint when it can't. `files` and
// `pool` outlive it.
std::unique_ptr<Store> open_disk_store(DiskOptions, Files&, Pool&);

}  // namespace weir::store
