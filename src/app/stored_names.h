// app/stored_names.h: the names of the store's files, read back (store/disk_store.h): for the verbs
// that list. Foreign files are none of them.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "oci/digest.h"

namespace weir::app {

struct StoredName {
    oci::Digest digest;
    uint64_t generation = 0;
};

// "ab12...ef.7" in blobs/sha256/ab.
std::optional<StoredName> parse_blob_name(std::string_view algorithm, std::string_view name);
// "sha256-ab12...ef.7" in staging.
std::optional<StoredName> parse_staging_name(std::string_view name);

// Each directory that holds blobs, in order. Blocks. `visit` gets the algorithm, the directory and
// the share of directories before it.
void visit_blob_directories(
    Files&, const std::string& root,
    const std::function<void(const std::string& algorithm, const std::string& directory,
                             double share)>& visit);
// What can't be listed, because it is no directory or the disk fails, is empty, with a warning in
// the log.
std::vector<std::string> list_or_nothing(Files&, const std::string& directory);

}  // namespace weir::app
