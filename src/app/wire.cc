#include "app/wire.h"

#include <unistd.h>

#include <chrono>

#include "app/process.h"

namespace weir::app {
namespace {

using std::chrono::milliseconds;

milliseconds in_ms(Duration duration) {
    return std::chrono::ceil<milliseconds>(duration);
}

// zot: a timeout of zero or less is none.
milliseconds idle_ms(Duration duration) {
    constexpr milliseconds kNone = std::chrono::hours(24 * 365);
    return duration <= Duration::zero() ? kNone : in_ms(duration);
}

}  // namespace

const char* const kVersion = WEIR_VERSION;

size_t loop_count(const config::Config& config) {
    return config.threads.loops != 0 ? config.threads.loops : usable_cores();
}

meta::SqliteOptions metadata_options(const config::Config& config) {
    meta::SqliteOptions options;
    options.path = join_path(config.storage.root_directory, "weir.db");
    options.durable = config.storage.commit;
    return options;
}

store::DiskOptions store_options(const config::Config& config) {
    return {.root = config.storage.root_directory, .durable = config.storage.commit};
}

store::Space::Limits space_limits(const config::Config& config, const DiskSpace& disk) {
    store::Space::Limits limits;
    const uint64_t most = config.cache.max_bytes.of(disk.total_bytes);
    limits.max_bytes = most == 0 ? UINT64_MAX : most;
    limits.min_free_bytes = config.cache.min_free.of(disk.total_bytes);
    return limits;
}

client::CurlOptions client_options(const config::Config& config) {
    client::CurlOptions options;
    options.bulk_threads = config.threads.transfers;
    options.user_agent = std::string("weir/") + kVersion;
    return options;
}

upstream::Options upstream_options(const config::Config& config, const config::Registry& registry,
                                   const client::Tls& tls) {
    const config::UpstreamSettings& settings = registry.settings;
    upstream::Options options;
    options.name = registry.name;
    for (const std::string& url : registry.urls)
        options.mirrors.push_back({.url = url, .tls = tls});
    options.offline = settings.offline;
    options.use_head = settings.head && !registry.quirks.head_lacks_digest;
    options.max_retries = registry.max_retries;
    options.retry_delay = in_ms(registry.retry_delay);
    options.max_retry_delay = in_ms(registry.max_retry_delay);
    options.max_concurrent = settings.max_concurrent;
    options.timeouts.connect = in_ms(settings.connect_timeout);
    options.timeouts.response = in_ms(settings.response_timeout);
    options.timeouts.stall = std::chrono::ceil<std::chrono::seconds>(settings.stall_timeout);
    options.timeouts.stall_bytes_per_second = settings.stall_bytes_per_second;
    options.max_manifest_bytes = config.limits.max_manifest_bytes;
    options.trusted_hosts = settings.trusted_hosts;
    options.proxy = settings.proxy;
    return options;
}

cache::FetchPolicy fetch_policy(const config::Config& config, const config::Registry& registry) {
    const auto& segments = registry.settings.segments;
    cache::FetchPolicy policy;
    policy.segments = segments.count;
    policy.segment_bytes = segments.bytes;
    policy.segment_min_bytes = segments.min_bytes;
    policy.rest = config.fetch.whole_after_range;
    return policy;
}

cache::Options cache_options(const config::Config& config) {
    cache::Options options;
    options.miss_timeout = config.timeouts.miss;
    options.max_fetches = config.fetch.max_concurrent;
    options.max_queued_fetches = config.fetch.max_queued;
    options.chunk_bytes = config.fetch.chunk_bytes;
    options.range_ahead_bytes = config.fetch.range_ahead_bytes;
    options.record_bytes = config.fetch.record_interval_bytes;
    options.memory_bytes = config.memory.bytes;
    options.manifest_memory_bytes = config.memory.manifest_bytes;
    options.open_files = config.memory.open_files;
    options.relay_buffer_bytes = config.relay.buffer_bytes;
    options.max_relays = config.relay.max_concurrent;
    return options;
}

log::Format access_format(const config::Config& config) {
    const bool for_people =
        config.log.format == "text" ||
        (config.log.format == "auto" && config.log.output.empty() && isatty(STDOUT_FILENO) == 1);
    return for_people ? log::Format::text : log::Format::json;
}

status::Status::Options status_options(const config::Config& config) {
    return {
        .metrics = config.metrics.enable, .metrics_path = config.metrics.path, .version = kVersion};
}

http::Limits http_limits(const config::Config& config) {
    http::Limits limits;
    limits.max_connections = config.limits.max_connections;
    limits.max_head_bytes = config.limits.max_header_bytes;
    limits.max_url_bytes = config.limits.max_url_bytes;
    limits.max_fields = config.limits.max_header_fields;
    limits.max_request_body_bytes = config.limits.max_request_body_bytes;
    limits.head_timeout = in_ms(config.timeouts.header);
    limits.idle_timeout = in_ms(config.timeouts.idle);
    limits.handshake_timeout = in_ms(config.timeouts.handshake);
    limits.write_timeout = idle_ms(config.http.write_timeout);
    limits.read_timeout = idle_ms(config.http.read_timeout);
    return limits;
}

std::optional<http::TlsFiles> tls_files(const config::Config& config) {
    if (!config.http.tls) return std::nullopt;
    return http::TlsFiles{.certificate = config.http.tls->cert,
                          .key = config.http.tls->key,
                          .client_ca = config.http.tls->cacert};
}

http::Listener::Options listener_options(const config::Config& config) {
    http::Listener::Options options;
    options.address = config.http.address;
    options.port = config.http.port;
    options.tls = tls_files(config);
    options.limits = http_limits(config);
    return options;
}

}  // namespace weir::app
