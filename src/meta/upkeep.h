// meta/upkeep.h: the part of the metadata that keeps the store in bounds: tiers, uploads, eviction,
// pins, collection.
//
// Every engine implements it beside Metadata (meta/engine.h); one contract test runs over
// each (tests/unit/meta/upkeep_contract.h). Same rules: calls block, any thread, each mutating call
// is one short transaction, nothing here touches a file or S3. What must be unlinked or deleted is
// returned after its row is gone, so that a crash in between never leaves a row without bytes that
// exist nowhere else; and it is written down in the same transaction (erasures(), claim_doomed()),
// so that nothing has to be looked for afterwards.
//
// Several processes may share one bucket, each with a database of its own: an S3 object that
// another one deleted shows as absent and is fetched again (lost_in_s3()).
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "oci/digest.h"

namespace weir::meta {

// An object that has to go up to S3. Written in the transaction that stored it; at most one of each
// object.
struct UploadRow {
    enum class What : uint8_t { blob, manifest, tag };
    What what = What::blob;
    oci::Digest digest;       // of the blob or manifest; what a tag points at
    std::string name;         // "repository\ntag" for a tag, else empty
    uint64_t generation = 0;  // of the blob's file
    uint64_t size = 0;
    uint32_t attempts = 0;
    bool gone = false;      // the tag was removed: its object goes too
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

// The file of a blob whose row has gone.
struct Erasure {
    oci::Digest digest;
    uint64_t generation = 0;
    bool operator==(const Erasure&) const = default;
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

class Engine;

class Upkeep {
public:
    virtual ~Upkeep() = default;

    // ---- uploads. Off, as at the start: nothing that changes writes a job row. On: blobs,
    // manifests, and tags that are made, move to another digest or go.
    virtual void enable_uploads(bool) = 0;
    // Rows that are due, those first that are due longest; each is leased to the caller until
    // `lease_end` and not given again before. The first call after opening ends what leases a
    // process before left: one at a time uploads from a database. A digest whose deletion is
    // claimed (claim_doomed) waits for that to end.
    virtual std::vector<UploadRow> claim_uploads(size_t limit, WallTime now,
                                                 WallTime lease_end) = 0;
    virtual void note_upload_id(const UploadRow&, std::string_view upload_id) = 0;
    // A row has that id: whoever leases it next aborts it.
    virtual bool upload_id_known(const oci::Digest&, std::string_view upload_id) = 0;
    // Deletes the row; a blob or manifest counts as in S3 from now on. Where the row has gone
    // meanwhile, the object is doomed; where its deletion has been claimed meanwhile or the tag has
    // moved, it is uploaded again.
    virtual void upload_done(const UploadRow&) = 0;
    // Tried again from `not_before` on.
    virtual void upload_failed(const UploadRow&, WallTime not_before) = 0;
    // Queues what is not in S3 yet (S3 was configured later): blobs, manifests, and the tags that
    // point at these. Paged: after `after`; returns the last digest looked at, nullopt at the end.
    // That a walk came to its end with uploads on is remembered until something is stored with
    // uploads off: the next one ends at once.
    virtual std::optional<oci::Digest> queue_missing_uploads(std::optional<oci::Digest> after,
                                                             size_t limit) = 0;

    // ---- disk tier. Priorities are GDSF's: L + uses x cost / size, as L was at the last use; L
    // rises to the priority of what was evicted last. The cost is 20 ms and 50 MB/s.
    // Lowest priority first, on disk and not pinned; of one upstream if named; only those
    // `accessed_before` if given (then it is a page of them, not the lowest of all). `s3`: only
    // those that are in S3 are victims (S3 is configured); else only those that an upstream can
    // give again. Fewer than `limit`: there are no more.
    virtual std::vector<Victim> disk_victims(std::string_view upstream,
                                             std::optional<WallTime> accessed_before, bool s3,
                                             size_t limit) = 0;
    // The blob leaves the disk: in S3, its row stays; elsewhere only upstream, its row goes (links
    // stay). Only if it is on disk, still has that generation and is evictable, which a blob that
    // is only there and whose upload is under way is not; false otherwise. Raises L.
    virtual bool evict(const Victim&) = 0;
    // S3 says that it does not have it: if it isn't on disk either, the row goes; else it has to go
    // up again.
    virtual void lost_in_s3(const oci::Digest&) = 0;
    // The object was found in S3 (rebuild). A manifest that is stored counts as in S3; any other
    // digest is a blob's, and private of the upstream that all manifests naming it came from: how
    // it came is not known any more. What is doomed stays so.
    virtual void found_in_s3(const oci::Digest&, uint64_t size, WallTime modified) = 0;
    // Rebuild: links what the tags and linked manifests of one repository alone lead to. What
    // several lead to may be private to one of them: each proves it again.
    virtual void link_reached() = 0;
    // Rebuild, where no login is configured that anything could have come with.
    virtual void make_public() = 0;
    virtual uint64_t disk_bytes_of(std::string_view upstream) = 0;

    // ---- files. Whatever takes a blob off the disk (evict, sweep_blobs, lost_on_disk,
    // remove_blob) or is given a file that isn't wanted (put_blob() == false) writes down that the
    // file has to go. Those that nobody has reported gone yet, in order after `after`: what a crash
    // or a failing disk left, and what somebody is just at. A file may be erased twice.
    virtual std::vector<Erasure> erasures(std::optional<Erasure> after, size_t limit) = 0;
    // They are not on the disk any more.
    virtual void erased(std::span<const Erasure>) = 0;

    // ---- pins: of what a pinned repository links or its linked manifests name (tag "*"), or a
    // pinned tag points at, directly or through an index. What is no pattern matches only itself.
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
    // referrer (by subject) of a manifest that is linked there, last accessed before. In digest
    // order, after `after`.
    virtual std::vector<ManifestInfo> untagged(std::string_view repository,
                                               WallTime accessed_before, size_t limit,
                                               std::optional<oci::Digest> after = {}) = 0;
    // Links whose digest no manifest linked to the repository names, that is no manifest itself
    // and no blob that was accessed since or is just being filled.
    virtual std::vector<oci::Digest> loose_links(std::string_view repository,
                                                 WallTime accessed_before, size_t limit) = 0;
    // Of these the links that untagged() or loose_links() would still give: a tag may have come to
    // point at one since they did, a manifest to name it, somebody to pull it. Returns those that
    // went.
    virtual std::vector<oci::Digest> unlink(std::string_view repository, WallTime accessed_before,
                                            std::span<const oci::Digest>) = 0;
    // Deletes manifests that no repository links, no tag points at and no stored index names, and
    // returns them. Those in S3 become doomed rows.
    virtual std::vector<oci::Digest> sweep_manifests(WallTime accessed_before, size_t limit) = 0;
    // Takes blobs that no repository links and no stored manifest names, after `after` in digest
    // order, at most `limit` looked at. Their rows are gone when it returns; those that are or may
    // be in S3 have become doomed rows. One whose upload is under way waits for its end. `next`:
    // where to go on; nullopt at the end.
    virtual std::vector<Doomed> sweep_blobs(std::optional<oci::Digest> after,
                                            WallTime accessed_before, size_t limit,
                                            std::optional<oci::Digest>* next) = 0;
    // Of repositories without links and tags, with their remembered lists. Returns how many.
    virtual size_t remove_empty_repositories(size_t limit) = 0;
    // S3 objects to delete, of blobs and manifests: doomed before `before` (the grace), at most
    // `limit`. What was stored again meanwhile is not given, and doomed no more once it has been
    // uploaded. Claimed: an upload of the digest
    // waits until doomed_done(), but at most kClaimTime, so that those of a dead process end. What
    // was claimed here and never reported done is given again, so one collection runs at a time;
    // what another process claimed, after kClaimTime.
    static constexpr std::chrono::minutes kClaimTime{15};
    virtual std::vector<oci::Digest> claim_doomed(WallTime before, size_t limit) = 0;
    virtual void doomed_done(std::span<const oci::Digest>) = 0;
    // They could not be deleted: the claims end now, the rows stay for a later pass, of any
    // process.
    virtual void release_doomed(std::span<const oci::Digest>) = 0;

    // ---- the database's own weight
    // Its manifests may take three quarters of `bytes`, its lists a quarter; of these one upstream
    // three quarters, one repository half. Any thread, never blocks; until it is called: kBytes.
    static constexpr uint64_t kBytes = 1ull << 30;
    virtual void bound_metadata(uint64_t bytes) noexcept = 0;
    // What it takes of the disk: pages in use and the log, but the few megabytes of an empty one.
    virtual uint64_t metadata_bytes() = 0;
    // Of the manifests and lists that came from an upstream.
    virtual uint64_t metadata_bytes_of(std::string_view upstream) = 0;
    // Forgets lists of repositories that there are not, fetched before. Returns how many.
    virtual size_t sweep_lists(WallTime fetched_before, size_t limit) = 0;

    // A copy of the database as it is now, for a dry run: what is done to it is forgotten with it,
    // and shows in no removals(). As large as the database, beside it; nothing is left of it after
    // a crash but at most a file that the next one overwrites.
    virtual std::unique_ptr<Engine> rehearsal() = 0;

    // ---- for the verbs
    virtual TierUsage tier_usage() = 0;                          // constant time
    virtual std::vector<UpstreamUsage> usage_by_upstream() = 0;  // kept in counters, by name
    struct RepositoryUsage {
        std::string repository;
        uint64_t blobs = 0, bytes = 0, disk_bytes = 0, s3_bytes = 0, tags = 0;
    };
    // Of the blobs that it links, and of those that its manifests name.
    virtual std::optional<RepositoryUsage> repository_usage(std::string_view repository) = 0;
    struct BlobState {
        oci::Digest digest;
        uint64_t size = 0, generation = 0;
        bool on_disk = false, in_s3 = false;
        std::string upstream;
    };
    // In digest order after `after`.
    virtual std::vector<BlobState> blob_states(std::optional<oci::Digest> after, size_t limit) = 0;
    // The same order.
    virtual std::vector<oci::Digest> manifest_digests(std::optional<oci::Digest> after,
                                                      size_t limit) = 0;
    // The blob's bytes on disk were found wrong or gone: like evict(), but of any blob, and L
    // stays; the row goes when S3 has no copy. The same as Metadata::remove_blob().
    virtual bool lost_on_disk(const oci::Digest&, uint64_t generation) = 0;
    // What others on this database (verbs beside a server) did since the last call, or since it was
    // opened: bytes that came to the disk, in blobs and staging, less those that went. Whatever
    // they did, Metadata::removals() has grown when it returns: so what was removed by a process
    // that was killed before it could say so is noticed too.
    virtual int64_t disk_bytes_by_others() = 0;
    // Repositories that link the digest, at most `limit`.
    virtual std::vector<std::string> linked_from(const oci::Digest&, size_t limit) = 0;
    // Whom to ask for it again: those first, then repositories whose tags or linked manifests name
    // it, whose upstreams may have it.
    virtual std::vector<std::string> wanted_by(const oci::Digest&, size_t limit) = 0;
};

}  // namespace weir::meta
