// meta/sqlite/sqlite_engine.h: the engine on one Database; every member is one read or one
// transaction.
//
// Metadata is in sqlite_metadata.cc and sqlite_links.cc; Upkeep in sqlite_uploads.cc,
// sqlite_tiers.cc (eviction), sqlite_erasures.cc, sqlite_collection.cc (pins too), sqlite_bounds.cc
// and sqlite_usage.cc.
#pragma once
#include <atomic>
#include <mutex>

#include "meta/engine.h"
#include "meta/sqlite/database.h"
#include "meta/sqlite/pins.h"
#include "meta/sqlite/removals.h"

namespace weir::meta {

class SqliteEngine : public Engine {
public:
    explicit SqliteEngine(SqliteOptions);

    // Metadata.
    std::optional<BlobRow> find_blob(const oci::Digest&) override;
    bool put_blob(const BlobRow&, std::string_view repository) override;
    bool remove_blob(const oci::Digest&, uint64_t generation) override;

    std::optional<ManifestRow> find_manifest(const oci::Digest&) override;
    void put_manifest(const ManifestRow&, std::string_view repository,
                      std::span<const oci::Digest> references, std::string_view tag) override;
    bool remove_manifest(const oci::Digest&) override;

    std::optional<TagRow> find_tag(std::string_view repository, std::string_view tag) override;
    void put_tag(std::string_view repository, std::string_view tag, const TagRow&) override;
    bool remove_tag(std::string_view repository, std::string_view tag) override;
    std::vector<std::string> refute_tags(std::string_view repository, const oci::Digest&) override;
    std::vector<std::string> tags(std::string_view repository, std::string_view last,
                                  size_t limit) override;

    bool linked(std::string_view repository, const oci::Digest&) override;
    void link(std::string_view repository, const oci::Digest&) override;
    bool named(std::string_view repository, const oci::Digest&) override;
    std::vector<std::string> repositories(std::string_view last, size_t limit) override;

    std::optional<ListRow> find_list(std::string_view repository, std::string_view kind,
                                     std::string_view query) override;
    void put_list(std::string_view repository, std::string_view kind, std::string_view query,
                  const ListRow&) override;

    std::optional<StagingRow> find_staging(const oci::Digest&) override;
    void put_staging(const StagingRow&) override;
    bool remove_staging(const oci::Digest&) override;
    std::vector<StagingRow> stagings(size_t limit) override;
    std::vector<StagingRow> stagings_after(std::optional<oci::Digest>, size_t limit) override;

    uint64_t next_generation() override;
    void touch(std::span<const Touch>) override;
    Usage usage() override;
    uint64_t removals() const noexcept override { return removals_.number(); }

    // Upkeep: uploads.
    void enable_uploads(bool) override;
    std::vector<UploadRow> claim_uploads(size_t limit, WallTime now, WallTime lease_end) override;
    void note_upload_id(const UploadRow&, std::string_view upload_id) override;
    bool upload_id_known(const oci::Digest&, std::string_view upload_id) override;
    void upload_done(const UploadRow&) override;
    void upload_failed(const UploadRow&, WallTime not_before) override;
    std::optional<oci::Digest> queue_missing_uploads(std::optional<oci::Digest> after,
                                                     size_t limit) override;

    // The disk tier.
    std::vector<Victim> disk_victims(std::string_view upstream,
                                     std::optional<WallTime> accessed_before, bool s3,
                                     size_t limit) override;
    bool evict(const Victim&) override;
    void lost_in_s3(const oci::Digest&) override;
    void found_in_s3(const oci::Digest&, uint64_t size, WallTime modified) override;
    void link_reached() override;
    void make_public() override;
    uint64_t disk_bytes_of(std::string_view upstream) override;
    std::vector<Erasure> erasures(std::optional<Erasure> after, size_t limit) override;
    void erased(std::span<const Erasure>) override;

    // Pins.
    void put_pin(const Pin&) override;
    bool remove_pin(const Pin&) override;
    std::vector<Pin> pins() override;
    void set_configured_pins(std::vector<Pin>) override;

    // Collection.
    std::vector<TagInfo> tag_infos(std::string_view repository) override;
    bool remove_tag_if(std::string_view repository, std::string_view tag,
                       const oci::Digest& expected) override;
    std::vector<ManifestInfo> untagged(std::string_view repository, WallTime accessed_before,
                                       size_t limit, std::optional<oci::Digest> after) override;
    std::vector<oci::Digest> loose_links(std::string_view repository, WallTime accessed_before,
                                         size_t limit) override;
    std::vector<oci::Digest> unlink(std::string_view repository, WallTime accessed_before,
                                    std::span<const oci::Digest>) override;
    std::vector<oci::Digest> sweep_manifests(WallTime accessed_before, size_t limit) override;
    std::vector<Doomed> sweep_blobs(std::optional<oci::Digest> after, WallTime accessed_before,
                                    size_t limit, std::optional<oci::Digest>* next) override;
    size_t remove_empty_repositories(size_t limit) override;
    std::vector<oci::Digest> claim_doomed(WallTime before, size_t limit) override;
    void doomed_done(std::span<const oci::Digest>) override;
    void release_doomed(std::span<const oci::Digest>) override;
    std::unique_ptr<Engine> rehearsal() override;

    // Its own weight.
    void bound_metadata(uint64_t bytes) noexcept override { metadata_bytes_ = bytes; }
    uint64_t metadata_bytes() override { return database_.bytes(); }
    uint64_t metadata_bytes_of(std::string_view upstream) override;
    size_t sweep_lists(WallTime fetched_before, size_t limit) override;

    // For the verbs.
    TierUsage tier_usage() override;
    std::vector<UpstreamUsage> usage_by_upstream() override;
    std::optional<RepositoryUsage> repository_usage(std::string_view repository) override;
    std::vector<BlobState> blob_states(std::optional<oci::Digest> after, size_t limit) override;
    std::vector<oci::Digest> manifest_digests(std::optional<oci::Digest> after,
                                              size_t limit) override;
    bool lost_on_disk(const oci::Digest&, uint64_t generation) override;
    int64_t disk_bytes_by_others() override;
    std::vector<std::string> linked_from(const oci::Digest&, size_t limit) override;
    std::vector<std::string> wanted_by(const oci::Digest&, size_t limit) override;

private:
    // A rehearsal of `real`.
    SqliteEngine(const SqliteEngine& real, std::unique_ptr<Connection> copy);

    WallTime wall() const { return clock_.wall(); }
    // Both return what is not kept by a pin of that tag any more: Pins::forget() it after the
    // commit.
    std::vector<oci::Digest> set_tag(Connection&, uint64_t id, std::string_view repository,
                                     std::string_view tag, const TagRow&);
    std::vector<oci::Digest> unpinned_by(Connection&, std::string_view repository,
                                         std::string_view tag,
                                         const std::optional<oci::Digest>& before);
    // Of a manifest that has just been put: others make room for it, a few at a time.
    void trim_manifests(Connection&, const ManifestRow&, std::string_view repository);
    bool pinned_manifest(Connection&, const oci::Digest&);
    bool begin_walk();
    bool delete_tag(std::string_view repository, std::string_view tag,
                    const std::optional<oci::Digest>& expected);

    const Clock& clock_;
    const uint64_t opening_;  // tells this opening of the database from others
    Database database_;
    Pins pins_;
    Removals removals_;
    std::atomic<uint64_t> metadata_bytes_{kBytes};
    std::atomic<bool> uploads_{false};
    std::atomic<bool> leases_ended_{false};

    std::mutex generation_mutex_;
    uint64_t generation_ = 0;
    uint64_t generation_end_ = 0;
};

}  // namespace weir::meta
