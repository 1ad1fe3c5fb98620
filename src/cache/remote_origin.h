// cache/remote_origin.h: the durable tier as an origin of a Fetch: what is there is never fetched
// from an upstream again.
#pragma once
#include <memory>

#include "async/pool.h"
#include "cache/origin.h"
#include "meta/upkeep.h"
#include "store/remote.h"

namespace weir::cache {

// `repository`: whose request this is; a blob in the durable tier is only read for one that is
// linked to it. When the tier says that it does not have the blob, the metadata is told. All
// references outlive the origin.
std::shared_ptr<Origin> make_remote_origin(store::Remote&, meta::Upkeep&, Pool&,
                                           std::string repository);

}  // namespace weir::cache
