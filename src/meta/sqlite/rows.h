// meta/sqlite/rows.h: the statements that several calls share. Each runs inside its caller's
// transaction.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meta/metadata.h"
#include "meta/sqlite/connection.h"
#include "meta/upkeep.h"

namespace weir::meta {

// What a blob costs that has to be fetched again: seconds of a request, and of each byte at 50
// MB/s.
inline constexpr double kRequestSeconds = 0.020;
inline constexpr double kSecondsPerByte = 1 / 50e6;

// What of that one byte of it on the disk saves: GDSF's cost / size.
inline double loss(uint64_t size) {
    return kRequestSeconds / static_cast<double>(std::max<uint64_t>(size, 1)) + kSecondsPerByte;
}

[[noreturn]] void counters_are_gone(const Connection&);
// GDSF's L.
double inflation(Connection&);

// `limit` as SQL takes it.
uint64_t row_limit(size_t limit);

// The keys that are after `after`: all when there is none.
std::string key_after(const std::optional<oci::Digest>& after);

std::optional<uint64_t> find_repository(Connection&, std::string_view name);
// Made when missing.
uint64_t repository_id(Connection&, std::string_view name);
void insert_link(Connection&, uint64_t repository, const oci::Digest&);
// Links made while nothing of the digest was stored, which prove nothing of what is private, but
// that of `except`. Whether there was one.
bool drop_links(Connection&, const oci::Digest&, std::string_view except);
void insert_reference(Connection&, uint64_t manifest, const oci::Digest&);
// What a manifest names, and what the children of an index name.
std::vector<oci::Digest> named_by(Connection&, const oci::Digest& manifest);

// What a row of a manifest or list takes beside its bytes, as the triggers count it.
inline constexpr uint64_t kWeighedRowBytes = 512;
// The bound of one repository's manifests, of Upkeep::bound_metadata().
uint64_t repository_manifest_bound(uint64_t metadata_bytes);
// The oldest lists of the repository, of the upstream and of all go until they are within bounds.
void trim_lists(Connection&, std::string_view repository, std::string_view upstream,
                uint64_t metadata_bytes);
uint64_t repository_list_bound(uint64_t metadata_bytes);

// A job row, unless there is one.
void queue_blob_upload(Connection&, const oci::Digest&, uint64_t size, WallTime due);
void queue_manifest_upload(Connection&, const oci::Digest&, uint64_t size, WallTime due);
void queue_tag_upload(Connection&, std::string_view repository, std::string_view tag, WallTime due);
// The upload of a blob or manifest was given to somebody: its object may be in S3.
bool upload_started(Connection&, UploadRow::What, const oci::Digest&);
// Somebody of this opening of the database is at it, or a multipart upload was left.
bool upload_under_way(Connection&, UploadRow::What, const oci::Digest&, uint64_t opening);

// The object in S3, which no row counts, is to be deleted. If its deletion is claimed already, then
// once more. What is stored again stays doomed until it has been uploaded, but is not deleted.
void doom(Connection&, const oci::Digest&, WallTime now);
bool deletion_claimed(Connection&, const oci::Digest&, WallTime now);

// Something was stored without a job row: queue_missing_uploads() has to look again.
void note_unqueued(Connection&);

// The file has to go.
void note_erasure(Connection&, const oci::Digest&, uint64_t generation);

// Deletes the row of a blob that is not in S3, as far as is known.
void forget_blob(Connection&, const oci::Digest&, WallTime now);
bool delete_manifest(Connection&, const oci::Digest&, WallTime now);

}  // namespace weir::meta
