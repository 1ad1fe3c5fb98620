#include "sim/content.h"

#include <fmt/format.h>

#include "crypto/hasher.h"
#include "oci/manifest.h"

namespace weir::sim {
namespace {
std::string descriptor(std::string_view media_type, const oci::Digest& digest, uint64_t size) {
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}}})", media_type, digest.text(),
                       size);
}
constexpr std::string_view kLayer = "application/vnd.oci.image.layer.v1.tar";
constexpr std::string_view kConfig = "application/vnd.oci.image.config.v1+json";
}  // namespace

std::optional<oci::Digest> Repository::tag(const std::string& name) const {
    const auto found = tags.find(name);
    if (found == tags.end() || found->second.empty()) return std::nullopt;
    return found->second.back().digest;
}

const Repository* Registry::find(const std::string& name) const {
    const auto found = repositories.find(name);
    return found == repositories.end() ? nullptr : &found->second;
}

oci::Digest Content::make_blob(Random& random, uint64_t bytes, oci::Digest::Algorithm algorithm) {
    std::string text(bytes, '\0');
    for (size_t at = 0; at < text.size(); at += 8) {
        const uint64_t word = random.next();
        text.replace(at, std::min<size_t>(8, text.size() - at),
                     std::string_view(reinterpret_cast<const char*>(&word),
                                      std::min<size_t>(8, text.size() - at)));
    }
    const auto digest = crypto::digest_of(algorithm, text);
    blobs[digest] = std::make_shared<const std::string>(std::move(text));
    return digest;
}

oci::Digest Content::keep(Document document) {
    document.digest = crypto::digest_of(oci::Digest::Algorithm::sha256, *document.bytes);
    const auto digest = document.digest;
    manifests[digest] = std::move(document);
    return digest;
}

oci::Digest Content::make_manifest(const std::vector<oci::Digest>& layers) {
    Document document;
    document.media_type = oci::kOciManifest;
    document.blobs = layers;
    std::string list;
    for (size_t i = 1; i < layers.size(); ++i)
        list += (i > 1 ? "," : "") + descriptor(kLayer, layers[i], bytes(layers[i]).size());
    document.bytes = std::make_shared<const std::string>(fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}],"annotations":{{"n":"{}"}}}})",
        document.media_type, descriptor(kConfig, layers[0], bytes(layers[0]).size()), list,
        ++serial_));
    return keep(std::move(document));
}

oci::Digest Content::make_index(const std::vector<oci::Digest>& children) {
    Document document;
    document.media_type = oci::kOciIndex;
    document.children = children;
    std::string list;
    for (const auto& child : children)
        list += (list.empty() ? "" : ",") +
                descriptor(oci::kOciManifest, child, manifests.at(child).bytes->size());
    document.bytes = std::make_shared<const std::string>(fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{}],"annotations":{{"n":"{}"}}}})",
        document.media_type, list, ++serial_));
    return keep(std::move(document));
}

Repository& Content::repository(size_t registry, const std::string& name) {
    if (registries.size() <= registry) registries.resize(registry + 1);
    return registries[registry].repositories[name];
}

void Content::put(size_t registry, const std::string& name, const oci::Digest& manifest) {
    Repository& repo = repository(registry, name);
    repo.manifests.insert(manifest);
    const Document& document = manifests.at(manifest);
    repo.blobs.insert(document.blobs.begin(), document.blobs.end());
    for (const auto& child : document.children) put(registry, name, child);
}

void Content::put_blob(size_t registry, const std::string& name, const oci::Digest& blob) {
    repository(registry, name).blobs.insert(blob);
}

void Content::tag(size_t registry, const std::string& name, const std::string& tag,
                  const oci::Digest& manifest, TimePoint at) {
    put(registry, name, manifest);
    repository(registry, name).tags[tag].push_back({at, manifest});
}

}  // namespace weir::sim
