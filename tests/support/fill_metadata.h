// tests/support/fill_metadata.h: a metadata file as large as a busy year makes it, in seconds.
#pragma once
#include <cstdint>
#include <string>

namespace weir::meta {

// A new SQLite file of the current schema with so many repositories, one tagged manifest each, and
// the blobs spread over them. Rows are inserted as they are, past Metadata, but the schema's own
// triggers count them. Of blobs, manifests and tags the part `in_s3` is in S3, the blobs only
// there.
void fill_metadata(const std::string& path, uint64_t repositories, uint64_t blobs,
                   double in_s3 = 0);

}  // namespace weir::meta
