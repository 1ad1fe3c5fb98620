// oci/manifest.h: what weir needs to know of a manifest or index: its media type and what it refers
// to.
//
// The bytes are never changed; this only reads them. Limits are those of the caller (bytes) and
// kMaxReferences.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "oci/digest.h"

namespace weir::oci {

inline constexpr size_t kMaxReferences = 4096;  // layers of a manifest or children of an index

inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerList =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kOciArtifact = "application/vnd.oci.artifact.manifest.v1+json";
// Docker's schema 1, which weir does not serve; signed ones have another digest than their bytes.
inline constexpr std::string_view kSchema1Prefix =
    "application/vnd.docker.distribution.manifest.v1+";
inline constexpr std::string_view kOrasArtifact =
    "application/vnd.cncf.oras.artifact.manifest.v1+json";

inline constexpr size_t kMaxClientTypes = 16;  // of one Accept; the rest is left out

// Of a client's Accept, any text: the types that weir does not know, "a/b, c/d"; mostly none.
std::string more_manifest_types(std::string_view client_accept);
// The Accept value for upstreams: every manifest type that weir knows, then `more`, last anything
// at all: what weir does not know, the client may. Docker's schema 1 is never asked for. It is no
// part of what is remembered: a manifest is what its digest says, whoever asked.
std::string accept_manifests(std::string_view more);

struct Descriptor {
    std::string media_type;
    Digest digest;
    uint64_t size = 0;
    std::string artifact_type;
    std::string os, architecture, variant;  // platform of an index's child, if any
};

struct Manifest {
    std::string media_type;  // from the document, else from what the document looks like
    bool is_index = false;
    std::vector<Descriptor> blobs;  // config and layers, or an artifact's blobs; none of an index
    std::vector<Descriptor> manifests;  // children of an index
    std::vector<Descriptor> subject;    // none or one
    std::string
        artifact_type;  // else the config's media type (distribution-spec 1.1, "Listing Referrers")
};

// `content_type` is what the upstream said (without parameters), or empty. Docker's schema 1 and
// what isn't a JSON object are errors, told in words. Descriptors with a digest weir can't check
// are left out of the lists, not refused.
std::expected<Manifest, std::string> parse_manifest(std::string_view bytes,
                                                    std::string_view content_type);

// "application/json; charset=utf-8" -> "application/json"
std::string_view media_type_without_parameters(std::string_view);

}  // namespace weir::oci
