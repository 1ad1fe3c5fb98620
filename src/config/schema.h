// config/schema.h: every key that weir knows: zot's, with what becomes of each here, and our own.
#pragma once
#include <string>
#include <vector>

#include "config/shape.h"

namespace weir::config {

// The whole file; its target is a Config.
const Shape& file_shape();
// storage; its target is a Storage.
const Shape& storage_shape();
// extensions.sync.registries[]; its target is a Registry.
const Shape& registry_shape();
// weir; its target is a Config.
const Shape& weir_shape();
// weir.upstreams.<name>; its target is an UpstreamSettings.
const Shape& upstream_shape();

// An own key as docs/configuration.md must show it.
struct OwnKey {
    std::string
        path;  // "fetch.chunkSize", "upstreams.<name>.segments.count", "freshness.rules[].ttl"
    std::string default_value;  // "4MiB"; empty: none, or told in words
};
// All of them, in order.
std::vector<OwnKey> own_keys();

}  // namespace weir::config
