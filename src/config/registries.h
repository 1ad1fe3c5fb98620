// config/registries.h: from what the file says of upstreams to registries that can be used; a part
// of loading.
#pragma once
#include <string_view>

#include "config/load.h"
#include "config/names.h"
#include "config/shape.h"

namespace weir::config {

// What is known of the registry behind this URL (features.md 4.6).
Quirks quirks_of(const Url&);

// The public registries that are there without a file, each at its own name: /docker.io, /ghcr.io,
// ...
std::vector<Registry> public_registries();

// Checks and completes Config::registries: URLs made uniform and without weir itself, names,
// quirks, patterns, and the settings of weir.upstreams (`upstreams`, null when the file has none)
// laid over the defaults.
void complete_registries(Config&, const Value* upstreams, const Environment&, Reading&);

}  // namespace weir::config
