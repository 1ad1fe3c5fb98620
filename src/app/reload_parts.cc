#include "app/reload_parts.h"

#include <fmt/format.h>

#include <utility>

#include "app/wire.h"
#include "app/wire_tiers.h"
#include "base/failure.h"
#include "base/log.h"

namespace weir::app {
Reloader::Part reload_log() {
    return [](const Fresh& fresh) -> Reloader::Commit {
        return [level = fresh.config->log.threshold()] {
            log::set_level(level);
            return "";
        };
    };
}

Reloader::Part reload_upstreams(Upstreams& upstreams, registry::Registry& registry) {
    return [&](const Fresh& fresh) -> Reloader::Commit {
        auto prepared = std::make_shared<Upstreams::Prepared>(upstreams.prepare(fresh.config));
        return [&upstreams, &registry, prepared] {
            auto told = fmt::format("{} of {} upstreams made anew", prepared->made,
                                    prepared->entries.size());
            registry.set_targets(prepared->targets);
            upstreams.commit(std::move(*prepared));
            return told;
        };
    };
}

Reloader::Part reload_http(http::Listener& listener) {
    return [&](const Fresh& fresh) -> Reloader::Commit {
        std::shared_ptr<const http::TlsContext> tls;
        // TLS that the file no longer asks for goes on until the restart, with what was read.
        const auto files = fresh.keeps("http.tls") ? std::nullopt : tls_files(*fresh.config);
        if (files) tls = listener.prepare_tls(*files);
        return [&listener, tls, limits = http_limits(*fresh.config)] {
            if (tls) listener.set_tls(tls);
            listener.set_limits(limits);
            return "";
        };
    };
}

Reloader::Part reload_bounds(cache::Cache& cache, meta::Engine& metadata, store::Space& space,
                             std::function<DiskSpace()> disk) {
    return [&, disk = std::move(disk)](const Fresh& fresh) -> Reloader::Commit {
        const DiskSpace now = disk();
        return [&cache, &metadata, &space, pins = configured_pins(*fresh.config),
                limits = space_limits(*fresh.config, now),
                eviction = eviction_options(*fresh.config, now),
                collector = collector_options(*fresh.config)] {
            space.set_limits(limits);
            cache.set_bounds(eviction, collector);
            try {
                metadata.set_configured_pins(pins);
            } catch (const Failure& failure) {
                log::error("config",
                           "weir.cache.pins are not stored, the next reload tries again: {}",
                           failure.what());
            }
            return "";
        };
    };
}

}  // namespace weir::app
