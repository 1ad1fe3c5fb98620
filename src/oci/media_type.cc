#include "oci/media_type.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "oci/manifest.h"

namespace weir::oci {
namespace {

bool restricted_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$&-^_.+").find(c) != std::string_view::npos;
}

bool restricted_name(std::string_view text) {
    return !text.empty() && (restricted_character(text.front()) && text.front() != '.') &&
           std::ranges::all_of(text, restricted_character);
}

// Of application/: what a browser shows or runs.
constexpr std::array<std::string_view, 7> kActive{
    "xhtml+xml", "xml", "javascript", "ecmascript", "x-javascript", "pdf", "x-shockwave-flash"};

}  // namespace

bool valid_media_type(std::string_view text) {
    if (text.size() > kMaxMediaTypeBytes) return false;
    const size_t slash = text.find('/');
    return slash != std::string_view::npos && restricted_name(text.substr(0, slash)) &&
           restricted_name(text.substr(slash + 1));
}

bool known_manifest_type(std::string_view type) {
    return type == kOciManifest || type == kOciIndex || type == kDockerManifest ||
           type == kDockerList || type == kOciArtifact || type == kOrasArtifact;
}

bool may_be_manifest_type(std::string_view type) {
    if (known_manifest_type(type)) return true;
    constexpr std::string_view kTop = "application/";
    if (!valid_media_type(type) || !iequals(type.substr(0, kTop.size()), kTop)) return false;
    const std::string_view subtype = type.substr(kTop.size());
    if (std::ranges::any_of(kActive, [&](std::string_view a) { return iequals(subtype, a); }))
        return false;
    constexpr std::string_view kXml = "+xml";
    return subtype.size() < kXml.size() ||
           !iequals(subtype.substr(subtype.size() - kXml.size()), kXml);
}

}  // namespace weir::oci
