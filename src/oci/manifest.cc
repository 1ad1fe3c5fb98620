#include "oci/manifest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "oci/json.h"
#include "oci/media_type.h"

namespace weir::oci {
namespace {

namespace json = boost::json;
using Problem = std::unexpected<std::string>;

constexpr std::string_view kDockerPrefix = "application/vnd.docker.";

constexpr std::array kManifestTypes{kOciIndex,       kDockerList,  kOciManifest,
                                    kDockerManifest, kOciArtifact, kOrasArtifact};

enum class Shape { unknown, manifest, index, artifact, both };

Shape shape_of(const json::object& document) {
    const bool image =
        member(document, "config") != nullptr || member(document, "layers") != nullptr;
    const bool index = member(document, "manifests") != nullptr;
    if (image && index) return Shape::both;
    if (index) return Shape::index;
    if (image) return Shape::manifest;
    if (document.contains("manifests")) return Shape::index;  // null, as Go writes no children
    if (document.contains("layers")) return Shape::manifest;
    if (document.contains("blobs") || !text_member(document, "artifactType").empty())
        return Shape::artifact;
    return Shape::unknown;
}

bool is_schema1(const json::object& document, std::string_view media_type) {
    if (media_type.starts_with(kSchema1Prefix)) return true;
    if (document.contains("fsLayers")) return true;
    const json::value* version = member(document, "schemaVersion");
    return version != nullptr && version->is_int64() && version->get_int64() == 1;
}

// Content types that a plain file server gives to anything.
bool says_nothing(std::string_view content_type) {
    return content_type.empty() || content_type == "application/json" ||
           content_type == "application/octet-stream" || content_type.starts_with("text/");
}

// Docker's types name their own kind of config and children; everything else is OCI.
std::string_view media_type_by_shape(const json::object& document, Shape shape) {
    if (shape == Shape::artifact) return kOciArtifact;
    std::string_view part;
    if (shape == Shape::index) {
        const json::value* children = member(document, "manifests");
        if (children != nullptr && children->is_array() && !children->get_array().empty() &&
            children->get_array()[0].is_object())
            part = text_member(children->get_array()[0].get_object(), "mediaType");
        return part.starts_with(kDockerPrefix) ? kDockerList : kOciIndex;
    }
    const json::value* config = member(document, "config");
    if (config != nullptr && config->is_object())
        part = text_member(config->get_object(), "mediaType");
    return part.starts_with(kDockerPrefix) ? kDockerManifest : kOciManifest;
}

// Whether `value` is something weir can check is in *`keep`.
std::expected<Descriptor, std::string> read_descriptor(const json::value& value,
                                                       std::string_view what, bool* keep) {
    if (!value.is_object()) return Problem(fmt::format("{} is not an object", what));
    const json::object& object = value.get_object();
    Descriptor descriptor;
    descriptor.media_type = text_member(object, "mediaType");
    descriptor.artifact_type = text_member(object, "artifactType");
    if (const json::value* size = member(object, "size")) {
        if (size->is_uint64()) {
            descriptor.size = size->get_uint64();
        } else if (size->is_int64() && size->get_int64() >= 0) {
            descriptor.size = static_cast<uint64_t>(size->get_int64());
        } else {
            return Problem(fmt::format("the size of {} is not a number of bytes", what));
        }
    }
    if (const json::value* platform = member(object, "platform");
        platform != nullptr && platform->is_object()) {
        descriptor.os = text_member(platform->get_object(), "os");
        descriptor.architecture = text_member(platform->get_object(), "architecture");
        descriptor.variant = text_member(platform->get_object(), "variant");
    }
    const auto digest = Digest::parse(text_member(object, "digest"));
    *keep = digest.has_value();
    if (digest) descriptor.digest = *digest;
    return descriptor;
}

// Appends the descriptor in `document[key]`, if there is one. Empty: fine; otherwise the problem.
std::string read_one(const json::object& document, std::string_view key,
                     std::vector<Descriptor>& into) {
    const json::value* value = member(document, key);
    if (value == nullptr) return {};
    bool keep = false;
    auto descriptor = read_descriptor(*value, key, &keep);
    if (!descriptor) return descriptor.error();
    if (keep) into.push_back(*std::move(descriptor));
    return {};
}

std::string read_list(const json::object& document, std::string_view key,
                      std::vector<Descriptor>& into) {
    const json::value* value = member(document, key);
    if (value == nullptr) return {};
    if (!value->is_array()) return fmt::format("{} is not a list", key);
    const json::array& list = value->get_array();
    if (list.size() > kMaxReferences)
        return fmt::format("{} has {} entries; at most {} are taken", key, list.size(),
                           kMaxReferences);
    into.reserve(into.size() + list.size());
    for (size_t i = 0; i < list.size(); ++i) {
        bool keep = false;
        auto descriptor = read_descriptor(list[i], fmt::format("{}[{}]", key, i), &keep);
        if (!descriptor) return descriptor.error();
        if (keep) into.push_back(*std::move(descriptor));
    }
    return {};
}

// Only an artifact manifest has its content in "blobs" (image-spec 1.1.0-rc2, "Artifact Manifest");
// in an image manifest that is any other member, of which nothing is said. The type decides; the
// shape where the type is none that weir knows.
bool names_blobs(Shape shape, std::string_view media_type) {
    if (media_type == kOciManifest || media_type == kDockerManifest) return false;
    return media_type == kOciArtifact || shape == Shape::artifact;
}

// The document's own type and the upstream's must be one of a manifest (oci/media_type.h), and two
// that weir does not know must be the same.
std::string unfit_type(std::string_view own_type, std::string_view content_type) {
    if (own_type.empty()) return {};
    if (!may_be_manifest_type(own_type)) return "its mediaType is not that of a manifest";
    if (known_manifest_type(own_type) || known_manifest_type(content_type) ||
        says_nothing(content_type) || iequals(own_type, content_type))
        return {};
    return "its mediaType is not the one that it is sent as";
}

// Both an index and a manifest, depending on whom one asks: what CVE-2021-41190 is about. Clients
// refuse it too.
std::string ambiguity(Shape shape, std::string_view media_type, bool is_index) {
    if (shape == Shape::both) return "it names layers and manifests at once";
    const bool known_manifest =
        media_type == kOciManifest || media_type == kDockerManifest || media_type == kOciArtifact;
    if (is_index && shape == Shape::manifest) return "an index by its media type, but has layers";
    if (known_manifest && shape == Shape::index)
        return "a manifest by its media type, but has manifests";
    return {};
}

}  // namespace

std::string more_manifest_types(std::string_view client_accept) {
    std::vector<std::string_view> types;
    for (const auto part : split(client_accept, ',')) {
        if (types.size() == kMaxClientTypes) break;
        const auto type = media_type_without_parameters(part);
        if (valid_media_type(type) && !known_manifest_type(type) &&
            !type.starts_with(kSchema1Prefix) && std::ranges::find(types, type) == types.end())
            types.push_back(type);
    }
    return fmt::format("{}", fmt::join(types, ", "));
}

std::string accept_manifests(std::string_view more) {
    return fmt::format("{}{}{}, */*;q=0.1", fmt::join(kManifestTypes, ", "),
                       more.empty() ? "" : ", ", more);
}

std::string_view media_type_without_parameters(std::string_view text) {
    return trim(text.substr(0, text.find(';')));
}

std::expected<Manifest, std::string> parse_manifest(std::string_view bytes,
                                                    std::string_view content_type) {
    const auto value = parse_json(bytes);
    if (!value) return Problem(value.error());
    if (!value->is_object()) return Problem("not a JSON object");
    const json::object& document = value->get_object();

    content_type = media_type_without_parameters(content_type);
    const std::string_view own_type = text_member(document, "mediaType");
    if (is_schema1(document, own_type.empty() ? content_type : own_type))
        return Problem("Docker schema 1 manifests are not supported");
    const Shape shape = shape_of(document);
    if (shape == Shape::unknown && own_type.empty())
        return Problem("neither a manifest nor an index");
    if (auto problem = unfit_type(own_type, content_type); !problem.empty())
        return Problem(std::move(problem));
    const bool telling = !says_nothing(content_type) && may_be_manifest_type(content_type);

    Manifest manifest;
    manifest.media_type = !own_type.empty() ? own_type
                          : telling         ? content_type
                                            : media_type_by_shape(document, shape);
    manifest.is_index = manifest.media_type == kOciIndex || manifest.media_type == kDockerList;
    if (auto problem = ambiguity(shape, manifest.media_type, manifest.is_index); !problem.empty())
        return Problem(std::move(problem));
    if (shape == Shape::index) manifest.is_index = true;  // a type that weir doesn't know

    manifest.artifact_type = text_member(document, "artifactType");
    const json::value* config = member(document, "config");
    if (manifest.artifact_type.empty() && config != nullptr && config->is_object())
        manifest.artifact_type = text_member(config->get_object(), "mediaType");

    std::string problem = read_one(document, "subject", manifest.subject);
    if (problem.empty() && manifest.is_index) {
        problem = read_list(document, "manifests", manifest.manifests);
    } else if (problem.empty() && names_blobs(shape, manifest.media_type)) {
        problem = read_list(document, "blobs", manifest.blobs);
    } else if (problem.empty()) {
        problem = read_one(document, "config", manifest.blobs);
        if (problem.empty()) problem = read_list(document, "layers", manifest.blobs);
    }
    if (!problem.empty()) return Problem(std::move(problem));
    return manifest;
}

}  // namespace weir::oci
