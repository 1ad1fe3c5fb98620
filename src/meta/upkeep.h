// meta/upkeep.h: the part of the metadata that keeps the store in bounds: tiers, uploads, eviction,
// pins, collection.
//
// Every engine implements it beside Metadata (SqliteMetadata is both); one contract test runs over
// each. Same rules: calls block, any thread, each mutating call is one short transaction, nothing
// here touches a file or S3. What must be unlinked or deleted is returned after its row is gone, so
// that a crash in between leaves only something to sweep, never a row without bytes that exist
// nowhere else.
//
// Several processes may share one bucket, each with a database of its own: an S3 object that
// another one deleted shows as absent and is fetched again (lost_in_s3()).
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "oci/digest.h"

namespace weir::meta {

// An object that has to go up to S3. Written in the transaction that stored it.
struct UploadRow {
    enum class What : uint8_t { blob, manifest, tag };
    What what = What::blob;
    oci::Digest digest;       // of the blob or manifest; what a tag points at
    std::string name;         // "repository\ntag" for a tag, else empty
    uint64_t generation = 0;  // of the blob's file
    uint64_t size = 0;
    uint32_t attempts = 0;
    std::string upload_id;  // a multipart upload that a former try left: to be aborted
};

struct Victim {
    oci::Digest digest;
    uint64_t generation = 0;
    uint64_t size = 0;
    std::string upstream;
    bool in_s3 = false;
    double priority = 0;
};

struct TagInfo {
    std::string name;
    oci::Digest digest;
    WallTime pushed{};  // when the tag came to point at this digest here
    WallTime pulled{};  // last access of the manifest
};

struct ManifestInfo {
    oci::Digest digest;
    std::string media_type;
    WallTime pushed{};
    WallTime pulled{};
    std::optional<oci::Digest> subject;  // it refers to this one
};

// A file to unlink, or an object to delete, after its row is gone.
struct Doomed {
    oci::Digest digest;
    uint64_t generation = 0;  // of the file; 0: none on disk
    uint64_t size = 0;
    bool in_s3 = false;
};

struct Pin {
    std::string repository;  // doublestar glob
    std::string tag;         // glob; "*": every tag
    bool operator==(const Pin&) const = default;
};

struct TierUsage {
    uint64_t disk_blobs = 0, disk_bytes = 0;
    uint64_t s3_blobs = 0, s3_bytes = 0;
    uint64_t uploads = 0, upload_bytes = 0;  // waiting
    uint64_t doomed = 0;
};
struct UpstreamUsage {
    std::string upstream;
    uint64_t disk_bytes = 0, s3_bytes = 0, blobs = 0;
};

class Upkeep {
public:
    virtual ~Upkeep() = default;

    // ---- uploads. Off: put_blob() and put_manifest() write no job rows.
    virtual void enable_uploads(bool) = 0;
    // Rows that are due, oldest first; each is leased to the caller until `lease_end` and not given
    // again before. A digest whose deletion is claimed (claim_doomed) waits for that to end.
    virtual std::vector<UploadRow> claim_uploads(size_t limit, WallTime now,
                                                 WallTime lease_end) = 0;
    virtual void note_upload_id(const UploadRow&, std::string_view upload_id) = 0;
    // Deletes the row; a blob or manifest counts as in S3 from now on.
    virtual void upload_done(const UploadRow&) = 0;
    virtual void upload_failed(const UploadRow&, WallTime not_before) = 0;
    // Queues what is not in S3 yet (S3 was configured later). Paged: after `after`; returns the
    // last digest looked at.
    virtual std::optional<oci::Digest> queue_missing_uploads(std::optional<oci::Digest> after,
                                                             size_t limit) = 0;

    // ---- disk tier. Priorities are GDSF's: L + uses x cost / size; L rises to the priority of
    // what was evicted last. Lowest priority first, on disk and not pinned; of one upstream if
    // named; only those `accessed_before` if given. `s3`: only those that are in S3 are victims (S3
    // is configured); else only those that an upstream can give again.
    virtual std::vector<Victim> disk_victims(std::string_view upstream,
                                             std::optional<WallTime> accessed_before, bool s3,
                                             size_t limit) = 0;
    // The blob leaves the disk: in S3, its row stays; elsewhere only upstream, its row goes (links
    // stay). Only if it still has that generation and is evictable; false otherwise. Raises L.
    virtual bool evict(const Victim&) = 0;
    // S3 says that it does not have it: if it isn't on disk either, the row goes.
    virtual void lost_in_s3(const oci::Digest&) = 0;
    // The object was found in S3 (rebuild).
    virtual void found_in_s3(const oci::Digest&, uint64_t size, WallTime modified) = 0;
    virtual uint64_t disk_bytes_of(std::string_view upstream) = 0;

    // ---- pins
    virtual void put_pin(const Pin&) = 0;
    virtual bool remove_pin(const Pin&) = 0;
    virtual std::vector<Pin> pins() = 0;
    // Pins of the configuration: not stored, replace the former set.
    virtual void set_configured_pins(std::vector<Pin>) = 0;

    // ---- collection. Everything is paged by limits; nothing runs longer than one short
    // transaction.
    virtual std::vector<TagInfo> tag_infos(std::string_view repository) = 0;
    virtual bool remove_tag_if(std::string_view repository, std::string_view tag,
                               const oci::Digest& expected) = 0;
    // Linked to the repository, without a tag there, no child of an index linked there, and no
    // referrer (by subject) of a manifest that stays there, last accessed before.
    virtual std::vector<ManifestInfo> untagged(std::string_view repository,
                                               WallTime accessed_before, size_t limit) = 0;
    // Links whose digest no manifest linked to the repository refers to and that is no manifest
    // itself.
    virtual std::vector<oci::Digest> loose_links(std::string_view repository,
                                                 WallTime accessed_before, size_t limit) = 0;
    virtual void unlink(std::string_view repository, std::span<const oci::Digest>) = 0;
    // Deletes manifests that no repository links. Returns how many.
    virtual size_t sweep_manifests(WallTime accessed_before, size_t limit) = 0;
    // Takes blobs that no repository links, after `after` in digest order, at most `limit` looked
    // at. Their rows are gone when it returns; those in S3 have become doomed rows. `next`: where
    // to go on; nullopt at the end.
    virtual std::vector<Doomed> sweep_blobs(std::optional<oci::Digest> after,
                                            WallTime accessed_before, size_t limit,
                                            std::optional<oci::Digest>* next) = 0;
    // For a dry run: the same choice, nothing changed.
    virtual std::vector<Doomed> unlinked_blobs(std::optional<oci::Digest> after,
                                               WallTime accessed_before, size_t limit,
                                               std::optional<oci::Digest>* next) = 0;
    virtual size_t remove_empty_repositories(size_t limit) = 0;
    // S3 objects to delete: doomed before `before` (the grace), at most `limit`. A blob that was
    // stored again meanwhile is doomed no more. Claimed: an upload of the digest waits until
    // doomed_done(). Claims of a dead process are given again.
    virtual std::vector<oci::Digest> claim_doomed(WallTime before, size_t limit) = 0;
    virtual void doomed_done(std::span<const oci::Digest>) = 0;

    // ---- for the verbs
    virtual TierUsage tier_usage() = 0;  // constant time
    virtual std::vector<UpstreamUsage> usage_by_upstream() = 0;
    struct RepositoryUsage {
        std::string repository;
        uint64_t blobs = 0, bytes = 0, disk_bytes = 0, s3_bytes = 0, tags = 0;
    };
    virtual std::optional<RepositoryUsage> repository_usage(std::string_view repository) = 0;
    struct BlobState {
        oci::Digest digest;
        uint64_t size = 0, generation = 0;
        bool on_disk = false, in_s3 = false;
        std::string upstream;
    };
    // In digest order after `after`.
    virtual std::vector<BlobState> blob_states(std::optional<oci::Digest> after, size_t limit) = 0;
    // The blob's bytes on disk were found wrong or gone: like evict(), but of any blob; the row
    // goes when S3 has no copy.
    virtual bool lost_on_disk(const oci::Digest&, uint64_t generation) = 0;
    // Repositories that link the digest, at most `limit`: whom to ask for it again.
    virtual std::vector<std::string> linked_from(const oci::Digest&, size_t limit) = 0;
};

}  // namespace weir::meta
