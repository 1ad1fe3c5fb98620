#include "config/config.h"

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

std::vector<std::string> needs_restart(const Config& before, const Config& after) {
    std::vector<std::string> keys;
    const auto differ = [&keys](const char* key, const auto& a, const auto& b) {
        if (!(a == b)) keys.emplace_back(key);
    };
    differ("http.address", before.http.address, after.http.address);
    differ("http.port", before.http.port, after.http.port);
    differ("http.tls", before.http.tls.has_value(), after.http.tls.has_value());
    differ("log.output", before.log.output, after.log.output);
    differ("weir.log.format", before.log.format, after.log.format);
    differ("weir.log.access", before.log.access_output, after.log.access_output);
    differ("storage.rootDirectory", before.storage.root_directory, after.storage.root_directory);
    differ("storage.commit", before.storage.commit, after.storage.commit);
    differ("storage.storageDriver", before.storage.s3, after.storage.s3);
    differ("weir.s3", before.s3, after.s3);
    differ("weir.cache.admission", before.cache.admission_min_bytes,
           after.cache.admission_min_bytes);
    differ("extensions.metrics", before.metrics, after.metrics);
    differ("weir.missTimeout", before.timeouts.miss, after.timeouts.miss);
    differ("weir.fetch", before.fetch, after.fetch);
    differ("weir.memory", before.memory, after.memory);
    differ("weir.relay", before.relay, after.relay);
    differ("weir.threads", before.threads, after.threads);
    return keys;
}

}  // namespace weir::config
