#include "config/config.h"

#include <utility>

#include "base/text.h"

namespace weir::config {

log::Level Log::threshold() const {
    const std::string lower = ascii_lower(level);
    if (lower == "trace" || lower == "debug") return log::Level::debug;
    if (lower == "warn" || lower == "warning") return log::Level::warn;
    if (lower == "error" || lower == "fatal" || lower == "panic") return log::Level::error;
    return log::Level::info;
}

const Registry* Config::registry(std::string_view name) const {
    for (const Registry& each : registries) {
        if (each.name == name) return &each;
    }
    return nullptr;
}

// Whatever is read at the start only stands here, and nowhere else: a key that is missing would
// seem to have changed at once.
Reloaded keep_until_restart(const Config& running, Config fresh) {
    std::vector<std::string> kept;
    const auto keep = [&](const char* key, const auto& member) {
        auto& wanted = member(fresh);
        const auto& has = member(running);
        if (wanted == has) return;
        kept.emplace_back(key);
        wanted = has;
    };
    keep("http.address", [](auto& c) -> auto& { return c.http.address; });
    keep("http.port", [](auto& c) -> auto& { return c.http.port; });
    // On or off; other files are read at once.
    if (running.http.tls.has_value() != fresh.http.tls.has_value())
        keep("http.tls", [](auto& c) -> auto& { return c.http.tls; });
    keep("log.output", [](auto& c) -> auto& { return c.log.output; });
    keep("weir.log.format", [](auto& c) -> auto& { return c.log.format; });
    keep("weir.log.access", [](auto& c) -> auto& { return c.log.access_output; });
    keep("storage.rootDirectory", [](auto& c) -> auto& { return c.storage.root_directory; });
    keep("storage.commit", [](auto& c) -> auto& { return c.storage.commit; });
    keep("storage.storageDriver", [](auto& c) -> auto& { return c.storage.s3; });
    keep("weir.s3", [](auto& c) -> auto& { return c.s3; });
    keep("weir.cache.admission", [](auto& c) -> auto& { return c.cache.admission_min_bytes; });
    keep("extensions.metrics", [](auto& c) -> auto& { return c.metrics; });
    keep("weir.missTimeout", [](auto& c) -> auto& { return c.timeouts.miss; });
    const bool whole_after_range =
        std::exchange(fresh.fetch.whole_after_range, running.fetch.whole_after_range);
    keep("weir.fetch", [](auto& c) -> auto& { return c.fetch; });
    fresh.fetch.whole_after_range = whole_after_range;  // "rest" is an upstream's policy
    keep("weir.memory", [](auto& c) -> auto& { return c.memory; });
    keep("weir.relay", [](auto& c) -> auto& { return c.relay; });
    keep("weir.threads", [](auto& c) -> auto& { return c.threads; });
    return {.config = std::move(fresh), .kept = std::move(kept)};
}

}  // namespace weir::config
