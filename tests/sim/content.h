// tests/sim/content.h: what the registries of a simulated world hold. Generated from a seed, or put
// together by a test; mirrors of a registry share it.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "oci/digest.h"

namespace weir::sim {

using Text = std::shared_ptr<const std::string>;

struct Document {
    oci::Digest digest;
    std::string media_type;
    Text bytes;
    std::vector<oci::Digest> blobs, children;
};

struct TagChange {
    TimePoint at{};
    oci::Digest digest;
};

struct Repository {
    std::set<oci::Digest> blobs, manifests;
    std::map<std::string, std::vector<TagChange>> tags;  // the last one is what it is now
    std::optional<oci::Digest> tag(const std::string& name) const;
};

struct Registry {
    std::map<std::string, Repository> repositories;
    const Repository* find(const std::string& name) const;
};

class Content {
public:
    // All blobs and manifests there are, wherever.
    std::map<oci::Digest, Text> blobs;
    std::map<oci::Digest, Document> manifests;
    std::vector<Registry> registries;

    // A blob of random bytes; not in any repository yet.
    oci::Digest make_blob(Random&, uint64_t bytes,
                          oci::Digest::Algorithm = oci::Digest::Algorithm::sha256);
    oci::Digest make_manifest(const std::vector<oci::Digest>& layers);
    oci::Digest make_index(const std::vector<oci::Digest>& children);
    // The manifest, and all it refers to, is in the repository from now on.
    void put(size_t registry, const std::string& repository, const oci::Digest& manifest);
    void put_blob(size_t registry, const std::string& repository, const oci::Digest&);
    void tag(size_t registry, const std::string& repository, const std::string& name,
             const oci::Digest& manifest, TimePoint at);

    Repository& repository(size_t registry, const std::string& name);
    const std::string& bytes(const oci::Digest& blob) const { return *blobs.at(blob); }

private:
    oci::Digest keep(Document);
    uint64_t serial_ = 0;
};

}  // namespace weir::sim
