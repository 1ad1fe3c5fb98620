// meta/metadata.h: the truth about what weir has: repositories, tags, manifests, blobs, links,
// staging.
//
// Implementations: SqliteMetadata (in the process, default); PostgreSQL later. One contract test
// runs over each (tests/unit/meta/contract.h). Calls block: they belong on the pool. Any thread;
// every mutating call is one transaction, visible to every later call when it returns. Errors are
// Failure{io} (or no_space); a broken database never looks like an empty one.
//
// A repository is named by its local name ("docker.io/library/debian"). It exists as soon as
// something is linked to it.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "meta/extents.h"
#include "oci/digest.h"

namespace weir::meta {

struct BlobRow {
    oci::Digest digest;
    uint64_t size = 0;
    // Names the file: a blob that is removed and fetched again gets another one, so that a late
    // unlink of the old file can't hit the new.
    uint64_t generation = 0;
    WallTime created{};
    WallTime accessed{};
    std::string upstream;         // where it came from first; "": pushed
    std::string private_of = {};  // see Metadata
    // Where its bytes are; at least one holds. A row that is put is on disk.
    bool on_disk = true;
    bool in_s3 = false;
};

struct ManifestRow {
    oci::Digest digest;
    std::string media_type;
    std::string bytes;
    WallTime created{};
    WallTime accessed{};
    std::string upstream;
    std::string private_of = {};  // see Metadata
};

struct TagRow {
    oci::Digest digest;
    // When the upstream last confirmed it; kRefuted: it has not got what the tag leads to any more.
    WallTime checked{};
    static constexpr WallTime kRefuted{};
    std::string upstream;
};

// A blob that is being filled, or was when the process died.
struct StagingRow {
    oci::Digest digest;
    uint64_t generation = 0;
    std::optional<uint64_t> size;  // of the whole blob, once known
    Extents extents;               // durable on disk
    std::string private_of = {};   // see Metadata
    WallTime updated{};
};

// A remembered list answer (tags/list, referrers), by repository, kind and the query it was asked
// with.
struct ListRow {
    std::string body;
    std::string content_type;
    std::string next_query;  // of the next page, "" when it is the last
    bool filters_applied = false;
    WallTime fetched{};
    std::string upstream = {};  // whose word it is
};

struct Touch {
    oci::Digest digest;  // of a blob or a manifest
    WallTime accessed{};
};

struct Usage {
    uint64_t blobs = 0;  // on disk, in S3 or both; Upkeep::tier_usage() tells them apart
    uint64_t blob_bytes = 0;
    uint64_t manifests = 0;
    uint64_t repositories = 0;
    uint64_t tags = 0;
    uint64_t staging_bytes = 0;  // bytes of extents
};

// Three relations that must not be taken for one another:
//   link        a repository may serve the digest: its bytes came through this repository, or its
//               own upstream has proved that it has them (cache/gate.h). Nothing else makes one.
//   reference   a stored manifest names the digest (config, layer, child). A wish: it serves
//               nothing, but what a stored manifest names is not collected as garbage.
//   tag         a name for a digest. Keeps the manifest from being collected; serves nothing.
//
// `private_of` of a blob, a manifest or a staged blob: the upstream that gave the bytes to a login
// of ours; "": they came to nobody in particular. Once "" it stays "".
class Metadata {
public:
    virtual ~Metadata() = default;

    // Blobs.
    virtual std::optional<BlobRow> find_blob(const oci::Digest&) = 0;
    // Inserts the row, links it to `repository` (when not empty) and drops the staging row of the
    // digest, at once. A row of that digest that is on disk is kept and the call returns false: the
    // caller then erases its file (Upkeep::erasures). One that is only in S3 is on disk again from
    // now on, with the new generation. The link is made and the staging row dropped all the same.
    // A blob that was pushed (upstream "") while on disk is no longer one that its upstream has.
    // One that came to nobody in particular is private no more. Of a private one that is new, the
    // links of other repositories go: what they were given for was not this.
    virtual bool put_blob(const BlobRow&, std::string_view repository) = 0;
    // The file is gone. Only if the row is on disk with that generation. In S3 too, the row stays.
    // Links stay: it may be asked for again.
    virtual bool remove_blob(const oci::Digest&, uint64_t generation) = 0;

    // Manifests.
    virtual std::optional<ManifestRow> find_manifest(const oci::Digest&) = 0;
    // Inserts the manifest with its `references`, links it to `repository` (when not empty) and
    // points `tag` (when not empty) at it, checked at the row's `created`, at once. What is known
    // stays, but bytes that differ are replaced: the caller has verified its own, so the disk has
    // changed those. What it names is not linked. Within the bounds of bytes for the repository
    // that it came through first, its upstream and all (Upkeep::bound_metadata): the manifests that
    // were used longest ago go, but those that were pushed or are pinned, and a memory may know
    // them still; Failure{no_space} for one that is too large by itself.
    virtual void put_manifest(const ManifestRow&, std::string_view repository,
                              std::span<const oci::Digest> references, std::string_view tag) = 0;
    virtual bool remove_manifest(const oci::Digest&) = 0;

    // Tags.
    virtual std::optional<TagRow> find_tag(std::string_view repository, std::string_view tag) = 0;
    // The repository exists from then on; the digest is not linked to it.
    virtual void put_tag(std::string_view repository, std::string_view tag, const TagRow&) = 0;
    virtual bool remove_tag(std::string_view repository, std::string_view tag) = 0;
    // The upstream has not got this digest: the repository's tags that point at it, at a manifest
    // that names it or at an index of such a one are kRefuted from now on. Returns those that were
    // not before.
    virtual std::vector<std::string> refute_tags(std::string_view repository,
                                                 const oci::Digest&) = 0;
    // Sorted bytewise, after `last`, at most `limit`.
    virtual std::vector<std::string> tags(std::string_view repository, std::string_view last,
                                          size_t limit) = 0;

    // Links: what may be served under a repository.
    virtual bool linked(std::string_view repository, const oci::Digest&) = 0;
    virtual void link(std::string_view repository, const oci::Digest&) = 0;
    // A manifest that is linked to the repository, or a tag of it, names the digest.
    virtual bool named(std::string_view repository, const oci::Digest&) = 0;
    virtual std::vector<std::string> repositories(std::string_view last, size_t limit) = 0;

    // Remembered lists: the latest, within bounds of number and bytes for a repository, an upstream
    // and all (Upkeep::bound_metadata); the oldest are forgotten, and one that is too large by
    // itself is not kept.
    virtual std::optional<ListRow> find_list(std::string_view repository, std::string_view kind,
                                             std::string_view query) = 0;
    virtual void put_list(std::string_view repository, std::string_view kind,
                          std::string_view query, const ListRow&) = 0;

    // Staging.
    virtual std::optional<StagingRow> find_staging(const oci::Digest&) = 0;
    virtual void put_staging(const StagingRow&) = 0;  // insert or replace
    virtual bool remove_staging(const oci::Digest&) = 0;
    virtual std::vector<StagingRow> stagings(size_t limit) = 0;  // oldest first
    virtual std::vector<StagingRow> stagings_after(std::optional<oci::Digest>,
                                                   size_t limit) = 0;  // in digest order

    // A number never given before, also not before a restart.
    virtual uint64_t next_generation() = 0;
    // Access times of blobs and manifests; they only move forward, but from the future, and unknown
    // digests are ignored.
    // Each that moves a blob's time is one use of it (Upkeep::disk_victims).
    virtual void touch(std::span<const Touch>) = 0;
    // Kept in counters: constant time.
    virtual Usage usage() = 0;

    // Grows each time something went that a memory may know: a tag, a link, a manifest, the file of
    // a blob; whichever process took it, and before the call that did returns. What was read before
    // it grew has to be read again. Never blocks.
    virtual uint64_t removals() const noexcept = 0;
};

}  // namespace weir::meta
