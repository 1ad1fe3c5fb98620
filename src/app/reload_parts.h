// app/reload_parts.h: the parts of a running server that a reload changes; see Reloader::Part.
#pragma once
#include <functional>

#include "app/reload.h"
#include "app/upstreams.h"
#include "cache/cache.h"
#include "http/listener.h"
#include "meta/engine.h"
#include "registry/registry.h"
#include "store/space.h"

namespace weir::app {

Reloader::Part reload_log();
// The view of the world that requests pick up, and credentials.
Reloader::Part reload_upstreams(Upstreams&, registry::Registry&);
// Certificates and limits.
Reloader::Part reload_http(http::Listener&);
// The disk's bounds, eviction, collection and the configured pins.
Reloader::Part reload_bounds(cache::Cache&, meta::Engine&, store::Space&,
                             std::function<DiskSpace()> disk);

}  // namespace weir::app
