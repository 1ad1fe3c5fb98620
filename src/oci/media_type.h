// oci/media_type.h: which media types are taken from foreign documents and given to clients. Pure.
//
// A manifest's mediaType is its author's word and becomes a header of weir's own origin. So it is
// taken only if it can be one of a manifest: one of the known types, or another of
// application/ that no browser takes for a page or a program.
#pragma once
#include <cstddef>
#include <string_view>

namespace weir::oci {

inline constexpr size_t kMaxMediaTypeBytes = 255;
inline constexpr std::string_view kOctetStream = "application/octet-stream";

// RFC 6838 4.2: type "/" subtype of restricted characters, without parameters, at most
// kMaxMediaTypeBytes in all.
bool valid_media_type(std::string_view);
// Manifests and indexes of OCI and Docker, and the former artifact manifests of OCI and ORAS.
bool known_manifest_type(std::string_view);
// A manifest may be served under it.
bool may_be_manifest_type(std::string_view);

}  // namespace weir::oci
