// tests/sim/mortal_engine.h: a database that can be cut off from the process that uses it, as a
// crash does, and that can fail to write.
#pragma once
#include <functional>
#include <memory>

#include "base/failure.h"
#include "meta/engine.h"

namespace weir::sim {

class MortalEngine : public meta::Engine {
public:
    explicit MortalEngine(meta::Engine& real) : real_(real) {}

    void cut_off() { alive_ = false; }
    // Told of what has happened.
    std::function<void(const meta::Victim&)> evicted;
    std::function<void(const oci::Digest&)> swept, stored, uploaded;
    std::function<void(const std::string& repository, const std::string& tag)> tag_removed;
    // Asked before each write: true makes it fail.
    std::function<bool()> fails;

    std::optional<meta::BlobRow> find_blob(const oci::Digest& d) override {
        return read().find_blob(d);
    }
    bool put_blob(const meta::BlobRow& row, std::string_view repository) override {
        const bool fresh = write().put_blob(row, repository);
        if (stored) stored(row.digest);
        return fresh;
    }
    bool remove_blob(const oci::Digest& d, uint64_t generation) override {
        return write().remove_blob(d, generation);
    }
    std::optional<meta::ManifestRow> find_manifest(const oci::Digest& d) override {
        return read().find_manifest(d);
    }
    void put_manifest(const meta::ManifestRow& row, std::string_view repository,
                      std::span<const oci::Digest> references, std::string_view tag) override {
        write().put_manifest(row, repository, references, tag);
    }
    bool remove_manifest(const oci::Digest& d) override { return write().remove_manifest(d); }
    std::optional<meta::TagRow> find_tag(std::string_view repository,
                                         std::string_view tag) override {
        return read().find_tag(repository, tag);
    }
    void put_tag(std::string_view repository, std::string_view tag,
                 const meta::TagRow& row) override {
        write().put_tag(repository, tag, row);
    }
    bool remove_tag(std::string_view repository, std::string_view tag) override {
        return removed(write().remove_tag(repository, tag), repository, tag);
    }
    std::vector<std::string> refute_tags(std::string_view repository,
                                         const oci::Digest& d) override {
        return write().refute_tags(repository, d);
    }
    std::vector<std::string> tags(std::string_view repository, std::string_view last,
                                  size_t limit) override {
        return read().tags(repository, last, limit);
    }
    bool linked(std::string_view repository, const oci::Digest& d) override {
        return read().linked(repository, d);
    }
    void link(std::string_view repository, const oci::Digest& d) override {
        write().link(repository, d);
    }
    bool named(std::string_view repository, const oci::Digest& d) override {
        return read().named(repository, d);
    }
    std::vector<std::string> repositories(std::string_view last, size_t limit) override {
        return read().repositories(last, limit);
    }
    std::optional<meta::ListRow> find_list(std::string_view repository, std::string_view kind,
                                           std::string_view query) override {
        return read().find_list(repository, kind, query);
    }
    void put_list(std::string_view repository, std::string_view kind, std::string_view query,
                  const meta::ListRow& row) override {
        write().put_list(repository, kind, query, row);
    }
    std::optional<meta::StagingRow> find_staging(const oci::Digest& d) override {
        return read().find_staging(d);
    }
    void put_staging(const meta::StagingRow& row) override { write().put_staging(row); }
    bool remove_staging(const oci::Digest& d) override { return write().remove_staging(d); }
    std::vector<meta::StagingRow> stagings(size_t limit) override { return read().stagings(limit); }
    std::vector<meta::StagingRow> stagings_after(std::optional<oci::Digest> after,
                                                 size_t limit) override {
        return read().stagings_after(after, limit);
    }
    uint64_t next_generation() override { return write().next_generation(); }
    void touch(std::span<const meta::Touch> touches) override { write().touch(touches); }
    meta::Usage usage() override { return read().usage(); }

    void enable_uploads(bool on) override { write().enable_uploads(on); }
    std::vector<meta::UploadRow> claim_uploads(size_t limit, WallTime now,
                                               WallTime lease_end) override {
        return write().claim_uploads(limit, now, lease_end);
    }
    void note_upload_id(const meta::UploadRow& row, std::string_view id) override {
        write().note_upload_id(row, id);
    }
    void upload_done(const meta::UploadRow& row) override {
        write().upload_done(row);
        if (uploaded && row.what == meta::UploadRow::What::blob) uploaded(row.digest);
    }
    void upload_failed(const meta::UploadRow& row, WallTime not_before) override {
        write().upload_failed(row, not_before);
    }
    std::optional<oci::Digest> queue_missing_uploads(std::optional<oci::Digest> after,
                                                     size_t limit) override {
        return write().queue_missing_uploads(after, limit);
    }
    std::vector<meta::Victim> disk_victims(std::string_view upstream,
                                           std::optional<WallTime> accessed_before, bool s3,
                                           size_t limit) override {
        return read().disk_victims(upstream, accessed_before, s3, limit);
    }
    bool evict(const meta::Victim& victim) override {
        const bool gone = write().evict(victim);
        if (gone && evicted) evicted(victim);
        return gone;
    }
    void lost_in_s3(const oci::Digest& d) override { write().lost_in_s3(d); }
    void found_in_s3(const oci::Digest& d, uint64_t size, WallTime modified) override {
        write().found_in_s3(d, size, modified);
    }
    void link_reached() override { write().link_reached(); }
    void make_public() override { write().make_public(); }
    std::vector<meta::Erasure> erasures(std::optional<meta::Erasure> after, size_t limit) override {
        return read().erasures(after, limit);
    }
    void erased(std::span<const meta::Erasure> files) override { write().erased(files); }
    bool upload_id_known(const oci::Digest& d, std::string_view upload_id) override {
        return read().upload_id_known(d, upload_id);
    }
    uint64_t disk_bytes_of(std::string_view upstream) override {
        return read().disk_bytes_of(upstream);
    }
    void put_pin(const meta::Pin& pin) override { write().put_pin(pin); }
    bool remove_pin(const meta::Pin& pin) override { return write().remove_pin(pin); }
    std::vector<meta::Pin> pins() override { return read().pins(); }
    void set_configured_pins(std::vector<meta::Pin> pins) override {
        write().set_configured_pins(std::move(pins));
    }
    std::vector<meta::TagInfo> tag_infos(std::string_view repository) override {
        return read().tag_infos(repository);
    }
    bool remove_tag_if(std::string_view repository, std::string_view tag,
                       const oci::Digest& expected) override {
        return removed(write().remove_tag_if(repository, tag, expected), repository, tag);
    }
    std::vector<meta::ManifestInfo> untagged(std::string_view repository, WallTime accessed_before,
                                             size_t limit,
                                             std::optional<oci::Digest> after) override {
        return read().untagged(repository, accessed_before, limit, after);
    }
    std::vector<oci::Digest> loose_links(std::string_view repository, WallTime accessed_before,
                                         size_t limit) override {
        return read().loose_links(repository, accessed_before, limit);
    }
    std::vector<oci::Digest> unlink(std::string_view repository, WallTime accessed_before,
                                    std::span<const oci::Digest> digests) override {
        return write().unlink(repository, accessed_before, digests);
    }
    uint64_t removals() const noexcept override { return real_.removals(); }
    int64_t disk_bytes_by_others() override { return read().disk_bytes_by_others(); }
    std::unique_ptr<meta::Engine> rehearsal() override { return read().rehearsal(); }
    std::vector<oci::Digest> sweep_manifests(WallTime accessed_before, size_t limit) override {
        return write().sweep_manifests(accessed_before, limit);
    }
    std::vector<meta::Doomed> sweep_blobs(std::optional<oci::Digest> after,
                                          WallTime accessed_before, size_t limit,
                                          std::optional<oci::Digest>* next) override {
        auto doomed = write().sweep_blobs(after, accessed_before, limit, next);
        for (const auto& blob : doomed)
            if (swept) swept(blob.digest);
        return doomed;
    }
    size_t remove_empty_repositories(size_t limit) override {
        return write().remove_empty_repositories(limit);
    }
    std::vector<oci::Digest> claim_doomed(WallTime before, size_t limit) override {
        return write().claim_doomed(before, limit);
    }
    void doomed_done(std::span<const oci::Digest> digests) override {
        write().doomed_done(digests);
    }
    void release_doomed(std::span<const oci::Digest> digests) override {
        write().release_doomed(digests);
    }
    meta::TierUsage tier_usage() override { return read().tier_usage(); }
    std::vector<meta::UpstreamUsage> usage_by_upstream() override {
        return read().usage_by_upstream();
    }
    std::optional<RepositoryUsage> repository_usage(std::string_view repository) override {
        return read().repository_usage(repository);
    }
    std::vector<BlobState> blob_states(std::optional<oci::Digest> after, size_t limit) override {
        return read().blob_states(after, limit);
    }
    std::vector<oci::Digest> manifest_digests(std::optional<oci::Digest> after,
                                              size_t limit) override {
        return read().manifest_digests(after, limit);
    }
    bool lost_on_disk(const oci::Digest& d, uint64_t generation) override {
        return write().lost_on_disk(d, generation);
    }
    void bound_metadata(uint64_t bytes) noexcept override { real_.bound_metadata(bytes); }
    uint64_t metadata_bytes() override { return read().metadata_bytes(); }
    uint64_t metadata_bytes_of(std::string_view upstream) override {
        return read().metadata_bytes_of(upstream);
    }
    size_t sweep_lists(WallTime fetched_before, size_t limit) override {
        return write().sweep_lists(fetched_before, limit);
    }
    std::vector<std::string> linked_from(const oci::Digest& d, size_t limit) override {
        return read().linked_from(d, limit);
    }
    std::vector<std::string> wanted_by(const oci::Digest& d, size_t limit) override {
        return read().wanted_by(d, limit);
    }

private:
    bool removed(bool gone, std::string_view repository, std::string_view tag) const {
        if (gone && tag_removed) tag_removed(std::string(repository), std::string(tag));
        return gone;
    }
    meta::Engine& read() {
        if (!alive_) throw Failure(Kind::io, "the process is dead");
        return real_;
    }
    meta::Engine& write() {
        if (fails && fails()) throw Failure(Kind::io, "the database can't be written");
        return read();
    }

    meta::Engine& real_;
    bool alive_ = true;
};

}  // namespace weir::sim
