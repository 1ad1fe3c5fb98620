// Values that have the right type and still can't be meant.
#include <re2/re2.h>

#include <algorithm>

#include "base/glob.h"
#include "base/network.h"
#include "base/text.h"
#include "config/complete.h"

namespace weir::config {
namespace {

constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warn",
                                        "error", "fatal", "panic"};

constexpr uint64_t kMinPartBytes = 5 * kMiB, kMaxPartBytes = 5 * kGiB;  // S3's own
constexpr Duration kMaxValidity = std::chrono::hours(7 * 24);           // of a presigned URL

struct Need {
    Reading& reading;
    void operator()(bool good, std::string path, std::string what) const {
        if (!good) reading.add(std::move(path), 0, std::move(what), true);
    }
};

void check_regex(const std::string& pattern, std::string path, Reading& reading) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    const re2::RE2 regex(pattern, options);
    if (regex.ok()) return;
    reading.add(std::move(path), 0,
                fmt::format("\"{}\" is not a regular expression: {}", pattern, regex.error()),
                true);
}

void check_glob(const std::string& pattern, std::string path, Reading& reading) {
    if (Glob::parse(pattern)) return;
    reading.add(std::move(path), 0, fmt::format("\"{}\" is not a pattern", pattern), true);
}

void check_freshness(const Freshness& freshness, Reading& reading) {
    for (size_t i = 0; i < freshness.immutable.size(); ++i) {
        check_regex(freshness.immutable[i], fmt::format("weir.freshness.immutable[{}]", i),
                    reading);
    }
    for (size_t i = 0; i < freshness.rules.size(); ++i) {
        const FreshnessRule& rule = freshness.rules[i];
        const std::string path = fmt::format("weir.freshness.rules[{}]", i);
        check_regex(rule.tags, path + ".tags", reading);
        check_glob(rule.repositories, path + ".repositories", reading);
    }
}

void check_rule(const KeepRule& rule, const std::string& path, Reading& reading) {
    const Duration zero{};
    for (size_t i = 0; i < rule.patterns.size(); ++i)
        check_regex(rule.patterns[i], fmt::format("{}.patterns[{}]", path, i), reading);
    const Need need{reading};
    need(rule.pulled_within.value_or(zero) >= zero, path + ".pulledWithin", "can't be negative");
    need(rule.pushed_within.value_or(zero) >= zero, path + ".pushedWithin", "can't be negative");
}

void check_retention(const Retention& retention, Reading& reading) {
    const Need need{reading};
    need(retention.delay.value_or(Duration{}) >= Duration{}, "storage.retention.delay",
         "can't be negative");
    for (size_t i = 0; i < retention.policies.size(); ++i) {
        const RetentionPolicy& policy = retention.policies[i];
        const std::string path = fmt::format("storage.retention.policies[{}]", i);
        for (size_t k = 0; k < policy.repositories.size(); ++k)
            check_glob(policy.repositories[k], fmt::format("{}.repositories[{}]", path, k),
                       reading);
        for (size_t k = 0; k < policy.keep_tags.size(); ++k)
            check_rule(policy.keep_tags[k], fmt::format("{}.keepTags[{}]", path, k), reading);
        if (policy.keep_untagged)
            check_rule(*policy.keep_untagged, path + ".keepUntagged", reading);
        if (policy.repositories.empty())
            reading.add(path + ".repositories", 0, "none are given: the policy is never used",
                        false);
    }
}

void check_storage(const Storage& storage, Reading& reading) {
    const Need need{reading};
    const Duration zero{};
    need(storage.gc.delay >= zero, "storage.gcDelay", "can't be negative");
    need(storage.gc.interval >= zero, "storage.gcInterval", "can't be negative");
    need(storage.gc.untagged_age >= zero, "weir.gc.untaggedAge", "can't be negative");
    check_retention(storage.retention, reading);
    const Redirect& redirect = storage.redirect;
    for (size_t i = 0; i < redirect.networks.size(); ++i)
        need(Network::parse(redirect.networks[i]).has_value(),
             fmt::format("weir.redirect.networks[{}]", i),
             fmt::format("\"{}\" is no network; write it like \"10.0.0.0/8\"",
                         redirect.networks[i]));
    need(redirect.validity >= std::chrono::seconds(1) && redirect.validity <= kMaxValidity,
         "weir.redirect.validity", "must be between 1s and 168h");
    if (!storage.s3) {
        if (redirect.enable)
            reading.add("storage.redirectBlobURL", 0,
                        "has no effect without a storageDriver \"s3\"", false);
        return;
    }
    const S3& s3 = *storage.s3;
    need(!s3.bucket.empty(), "storage.storageDriver.bucket", "must be given");
    need(s3.access_key.empty() == s3.secret_key.empty(), "storage.storageDriver.secretkey",
         "accesskey and secretkey are both needed; without both they are looked for in the "
         "environment");
    const uint64_t chunk = s3.chunk_bytes.value_or(kMinPartBytes);
    need(chunk >= kMinPartBytes && chunk <= kMaxPartBytes, "storage.storageDriver.chunksize",
         "must be between 5MiB and 5GiB");
}

void check_cache(const Cache& cache, Reading& reading) {
    const Need need{reading};
    need(cache.low_watermark > 0 && cache.low_watermark <= cache.high_watermark,
         "weir.cache.lowWatermark", "must be greater than 0 and at most highWatermark");
    need(cache.max_age >= Duration{}, "weir.cache.maxAge", "can't be negative");
    need(cache.metadata_bytes == 0 || cache.metadata_bytes >= kMiB, "weir.cache.metadataBytes",
         "must be 0, or at least 1MiB");
    for (size_t i = 0; i < cache.pins.size(); ++i) {
        const std::string path = fmt::format("weir.cache.pins[{}]", i);
        check_glob(cache.pins[i].repositories, path + ".repositories", reading);
        check_glob(cache.pins[i].tags, path + ".tags", reading);
    }
}

void check_s3(const S3Tuning& s3, Reading& reading) {
    const Need need{reading};
    need(s3.uploads > 0 && s3.uploads <= 256, "weir.s3.uploads", "must be between 1 and 256");
    need(s3.parallel_parts > 0 && s3.parallel_parts <= 64, "weir.s3.parallelParts",
         "must be between 1 and 64");
    need(s3.part_bytes >= kMinPartBytes && s3.part_bytes <= kMaxPartBytes, "weir.s3.partSize",
         "must be between 5MiB and 5GiB");
    need(s3.single_bytes >= kMinPartBytes && s3.single_bytes <= kMaxPartBytes,
         "weir.s3.singlePutSize", "must be between 5MiB and 5GiB");
    need(s3.max_attempts > 0 && s3.max_attempts <= 20, "weir.s3.maxAttempts",
         "must be between 1 and 20");
    need(s3.connect_timeout > Duration{} && s3.response_timeout > Duration{} &&
             s3.stall_timeout > Duration{},
         "weir.s3", "times must be greater than 0");
}

}  // namespace

void check_values(const Config& config, Reading& reading) {
    const Need need{reading};
    need(std::ranges::find(kLevels, ascii_lower(config.log.level)) != std::end(kLevels) ||
             config.log.level.empty(),
         "log.level", "expected trace, debug, info, warn, error, fatal or panic");
    need(config.log.format == "json" || config.log.format == "text" || config.log.format == "auto",
         "weir.log.format", "expected \"json\" or \"text\"");
    if (config.http.tls) {
        need(!config.http.tls->cert.empty() && !config.http.tls->key.empty(), "http.tls",
             "cert and key are both needed");
    }
    need(config.metrics.path.starts_with('/'), "extensions.metrics.prometheus.path",
         "must begin with \"/\"");
    const Duration zero{};
    need(config.freshness.ttl >= zero && config.freshness.negative_ttl >= zero &&
             config.freshness.signature_negative_ttl >= zero && config.freshness.list_ttl >= zero &&
             config.freshness.max_stale >= zero,
         "weir.freshness", "times can't be negative");
    need(config.timeouts.miss > zero, "weir.missTimeout", "must be greater than 0");
    need(config.timeouts.drain >= zero, "weir.drainTimeout", "can't be negative");
    need(config.timeouts.header > zero && config.timeouts.idle > zero &&
             config.timeouts.handshake > zero,
         "weir.timeouts", "must be greater than 0");
    need(config.fetch.max_concurrent > 0, "weir.fetch.maxConcurrent", "must be greater than 0");
    need(config.fetch.chunk_bytes >= 64 * kKiB && config.fetch.chunk_bytes <= kGiB,
         "weir.fetch.chunkSize", "must be between 64KiB and 1GiB");
    need(config.fetch.record_interval_bytes >= kMiB, "weir.fetch.recordInterval",
         "must be at least 1MiB");
    need(config.relay.buffer_bytes >= 64 * kKiB, "weir.relay.bufferBytes",
         "must be at least 64KiB");
    need(config.threads.loops <= 1024, "weir.threads.loops", "must be at most 1024");
    need(config.threads.pool > 0 && config.threads.pool <= 1024, "weir.threads.pool",
         "must be between 1 and 1024");
    need(config.threads.transfers > 0 && config.threads.transfers <= 256, "weir.threads.transfers",
         "must be between 1 and 256");
    need(config.limits.max_connections > 0, "weir.limits.connections", "must be greater than 0");
    need(config.limits.max_header_bytes >= 4 * kKiB && config.limits.max_header_bytes <= kMiB,
         "weir.limits.headerBytes", "must be between 4KiB and 1MiB");
    need(config.limits.max_url_bytes >= kKiB &&
             config.limits.max_url_bytes <= config.limits.max_header_bytes,
         "weir.limits.urlBytes", "must be between 1KiB and headerBytes");
    need(config.limits.max_header_fields >= 16, "weir.limits.headerFields", "must be at least 16");
    need(config.limits.max_manifest_bytes >= 64 * kKiB, "weir.limits.manifestBytes",
         "must be at least 64KiB");
    need(config.reload_interval >= std::chrono::milliseconds(100), "weir.reload.interval",
         "must be at least 100ms");
    need(config.memory.bytes >= 8 * kMiB &&
             config.memory.bytes / 4 >= config.limits.max_manifest_bytes,
         "weir.memory.bytes", "must be at least 8MiB, and four times limits.manifestBytes");
    need(config.memory.open_files > 0, "weir.memory.openFiles", "must be greater than 0");
    check_freshness(config.freshness, reading);
    check_storage(config.storage, reading);
    check_cache(config.cache, reading);
    check_s3(config.s3, reading);
}

}  // namespace weir::config
