// A manifest from an upstream: lists within their limits, no index that is a manifest too, nothing
// thrown.
#include "fuzz/input.h"
#include "oci/manifest.h"

using weir::check;
using namespace weir::oci;

namespace {

void verify(const Manifest& manifest) {
    check(!manifest.media_type.empty(), "a manifest has a media type");
    check(manifest.is_index ? manifest.blobs.empty() : manifest.manifests.empty(),
          "an index or a manifest, never both");
    check(manifest.manifests.size() <= kMaxReferences, "children are bounded");
    check(manifest.blobs.size() <= 2 * kMaxReferences + 1, "layers are bounded");
    check(manifest.subject.size() <= 1, "one subject");
    if (manifest.media_type == kOciIndex || manifest.media_type == kDockerList)
        check(manifest.is_index, "an index is one by its type");
    if (manifest.media_type == kOciManifest || manifest.media_type == kDockerManifest ||
        manifest.media_type == kOciArtifact)
        check(!manifest.is_index, "a manifest is one by its type");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto text = weir::fuzz::text_of(data, size);
    const std::string_view types[] = {"", "application/json; charset=utf-8", kOciIndex,
                                      kDockerManifest, text};
    for (std::string_view type : types) {
        const auto manifest = parse_manifest(text, type);
        if (manifest) verify(*manifest);
        if (!manifest) check(!manifest.error().empty(), "a refusal says why");
    }
    check(media_type_without_parameters(text).size() <= text.size(), "parameters are cut");
    return 0;
}
