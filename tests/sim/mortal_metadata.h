// tests/sim/mortal_metadata.h: a database that can be cut off from the process that uses it, as a
// crash does, and that can fail to write.
#pragma once
#include <functional>
#include <memory>

#include "base/failure.h"
#include "meta/metadata.h"

namespace weir::sim {

class MortalMetadata : public meta::Metadata {
public:
    explicit MortalMetadata(meta::Metadata& real) : real_(real) {}

    void cut_off() { alive_ = false; }
    // Asked before each write: true makes it fail.
    std::function<bool()> fails;

    std::optional<meta::BlobRow> find_blob(const oci::Digest& d) override {
        return read().find_blob(d);
    }
    bool put_blob(const meta::BlobRow& row, std::string_view repository) override {
        return write().put_blob(row, repository);
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
        return write().remove_tag(repository, tag);
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
    uint64_t next_generation() override { return write().next_generation(); }
    void touch(std::span<const meta::Touch> touches) override { write().touch(touches); }
    meta::Usage usage() override { return read().usage(); }

private:
    meta::Metadata& read() {
        if (!alive_) throw Failure(Kind::io, "the process is dead");
        return real_;
    }
    meta::Metadata& write() {
        if (fails && fails()) throw Failure(Kind::io, "the database can't be written");
        return read();
    }

    meta::Metadata& real_;
    bool alive_ = true;
};

}  // namespace weir::sim
