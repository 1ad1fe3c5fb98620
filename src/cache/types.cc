#include "cache/types.h"

#include <re2/re2.h>

#include <algorithm>

#include "oci/name.h"

namespace weir::cache {

const char* from_name(From from) {
    switch (from) {
        case From::hit_memory:
            return "hit_memory";
        case From::hit_disk:
            return "hit_disk";
        case From::hit_s3:
            return "hit_s3";
        case From::joined:
            return "joined";
        case From::miss:
            return "miss";
        case From::stale:
            return "stale";
        case From::relay:
            return "relay";
        case From::negative:
            return "negative";
    }
    return "miss";
}

Duration Freshness::ttl_of(std::string_view tag) const {
    const re2::StringPiece text(tag.data(), tag.size());
    for (const auto& pattern : immutable)
        if (re2::RE2::FullMatch(text, *pattern)) return kForever;
    const Duration most = oci::is_signature_tag(tag) ? signature_negative_ttl : kForever;
    for (const Rule& rule : rules)
        if (!rule.tags || re2::RE2::FullMatch(text, *rule.tags)) return std::min(rule.ttl, most);
    return std::min(ttl, most);
}

}  // namespace weir::cache
