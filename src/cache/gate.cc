#include "cache/gate.h"

#include <algorithm>

namespace weir::cache {

bool proves(const Told& told, const Held& held) {
    if (!held.private_of.empty() && held.private_of != told.upstream) return false;
    if (told.size != held.size) return false;
    if (!held.media_type.empty() && told.media_type != held.media_type) return false;
    return !told.digest || told.digest->algorithm() != held.digest.algorithm() ||
           *told.digest == held.digest;
}

bool head_may_prove(const Target& target, std::string_view private_of) {
    return std::ranges::any_of(target.candidates, [private_of](const Candidate& candidate) {
        return private_of.empty() || candidate.upstream->name() == private_of;
    });
}

std::string login_scope(const Target& target) {
    std::string scope;
    for (const Candidate& candidate : target.candidates)
        if (candidate.upstream->has_login(candidate.repository))
            scope += candidate.upstream->name() + "\n";
    return scope;
}

void link_by_word(meta::Metadata& metadata, std::string_view repository,
                  const oci::Digest& digest) {
    if (const auto blob = metadata.find_blob(digest); blob && (blob->on_disk || blob->in_s3))
        return;
    if (!metadata.find_manifest(digest)) metadata.link(repository, digest);
}

}  // namespace weir::cache
