// cache/gate.h: when a repository may serve what is here. One rule for blobs and manifests, for
// GET, HEAD, ranges, redirects and relays, by digest and by tag:
//
//   linked                the repository serves it.
//   here, not linked      one HEAD of the repository's own upstream, remembered by a link: it has
//                         to say 200 and to tell what is here (the length; of a manifest its type
//                         too, and no other digest). What came with a login is private of the
//                         upstream that gave it: only HEADs of that one prove it.
//   otherwise             the bytes come through the repository, verified as they pass; then the
//                         link is written. They are stored once.
//
// What an upstream is asked does not tell it what is here: a digest that nothing in the repository
// names is asked for by HEAD first, whether it is here or not; one that is named by GET at once
// where it is not here, or private of another upstream.
//
// A manifest that names a digest proves nothing, nor does somebody else's fetch that is under way.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cache/types.h"
#include "meta/metadata.h"
#include "oci/digest.h"

namespace weir::cache {

// What is here.
struct Held {
    oci::Digest digest;
    uint64_t size = 0;
    std::string private_of;  // meta/metadata.h
    std::string media_type;  // "": a blob
};

// What an upstream's answer to a HEAD, or the head of its answer to a GET, told.
struct Told {
    std::string upstream;
    std::optional<uint64_t> size;
    std::string media_type;
    std::optional<oci::Digest> digest;
};

bool proves(const Told&, const Held&);

// A HEAD of one of the target's upstreams could prove it.
bool head_may_prove(const Target&, std::string_view private_of);

// The repository may have what its upstream says of a blob, before the last byte has proved it.
// That is no claim to a blob or manifest of this digest that is here, or has come meanwhile.
void link_by_word(meta::Metadata&, std::string_view repository, const oci::Digest&);

// Bytes that come with a login are not mixed with others while they come: what is fetched under one
// login scope is shared within it. "": nobody of the target has a login for the repository.
std::string login_scope(const Target&);

}  // namespace weir::cache
