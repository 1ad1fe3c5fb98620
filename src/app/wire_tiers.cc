#include "app/wire_tiers.h"

#include <re2/re2.h>

#include <cstdlib>

namespace weir::app {
namespace {

std::chrono::milliseconds in_ms(Duration duration) {
    return std::chrono::ceil<std::chrono::milliseconds>(duration);
}

std::string_view trim_slashes(std::string_view text) {
    while (text.starts_with('/')) text.remove_prefix(1);
    while (text.ends_with('/')) text.remove_suffix(1);
    return text;
}

std::optional<uint32_t> unless_zero(uint32_t count) {
    if (count == 0) return std::nullopt;
    return count;
}

cache::KeepRule keep_rule(const config::KeepRule& given) {
    cache::KeepRule rule;
    re2::RE2::Options options;
    options.set_log_errors(false);
    for (const std::string& pattern : given.patterns)
        rule.patterns.push_back(std::make_shared<const re2::RE2>(pattern, options));
    rule.most_recently_pushed = unless_zero(given.most_recently_pushed);
    rule.most_recently_pulled = unless_zero(given.most_recently_pulled);
    rule.pushed_within = given.pushed_within;
    rule.pulled_within = given.pulled_within;
    return rule;
}

cache::RetentionPolicy retention_policy(const config::RetentionPolicy& given) {
    cache::RetentionPolicy policy;
    for (const std::string& pattern : given.repositories)
        if (auto glob = Glob::parse(pattern)) policy.repositories.push_back(std::move(*glob));
    policy.delete_referrers = given.delete_referrers;
    policy.delete_untagged = given.delete_untagged;
    for (const config::KeepRule& rule : given.keep_tags)
        policy.keep_tags.push_back(keep_rule(rule));
    policy.has_keep_tags = !given.keep_tags.empty();
    if (given.keep_untagged) policy.keep_untagged = keep_rule(*given.keep_untagged);
    return policy;
}

}  // namespace

bool has_s3(const config::Config& config) {
    return config.storage.s3.has_value();
}

s3::BucketOptions bucket_options(const config::Config& config) {
    const config::S3& given = *config.storage.s3;
    const config::S3Tuning& tuning = config.s3;
    s3::BucketOptions options;
    if (!given.region.empty()) options.region = given.region;
    options.bucket = given.bucket;
    options.endpoint = given.endpoint;
    options.path_style = given.path_style();
    options.secure = given.secure;
    options.prefix = trim_slashes(given.root);
    options.storage_class = given.storage_class;
    options.encrypt = given.encrypt;
    options.kms_key_id = given.key_id;
    options.part_bytes = given.chunk_bytes.value_or(tuning.part_bytes);
    options.single_put_bytes = tuning.single_bytes;
    options.parallel_parts = tuning.parallel_parts;
    options.max_attempts = tuning.max_attempts;
    options.tls.verify = !given.skip_verify;
    options.timeouts.connect = in_ms(tuning.connect_timeout);
    options.timeouts.response = in_ms(tuning.response_timeout);
    options.timeouts.stall = std::chrono::ceil<std::chrono::seconds>(tuning.stall_timeout);
    return options;
}

s3::CredentialOptions credential_options(
    const config::Config& config,
    const std::function<std::optional<std::string>(const std::string&)>& environment) {
    const config::S3& given = *config.storage.s3;
    s3::CredentialOptions options;
    if (!given.access_key.empty()) {
        s3::Credentials configured;
        configured.access_key = given.access_key;
        configured.secret_key = given.secret_key;
        configured.session_token = given.session_token;
        options.configured = std::move(configured);
    }
    options.environment = environment;
    options.home = environment("HOME").value_or("");
    options.sts_endpoint =
        "https://sts." + (given.region.empty() ? "us-east-1" : given.region) + ".amazonaws.com";
    return options;
}

std::optional<std::string> process_environment(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
}

cache::EvictionOptions eviction_options(const config::Config& config, const DiskSpace& disk) {
    const config::Cache& given = config.cache;
    cache::EvictionOptions options;
    const uint64_t most = given.max_bytes.of(disk.total_bytes);
    options.max_bytes = most == 0 ? UINT64_MAX : most;
    options.high = given.high_watermark;
    options.low = given.low_watermark;
    options.min_free_bytes = given.min_free.of(disk.total_bytes);
    options.max_age = given.max_age;
    for (const auto& [upstream, size] : given.quotas)
        options.quotas[upstream] = size.of(disk.total_bytes);
    options.durable_tier = has_s3(config);
    constexpr uint64_t kLeastMetadata = 8ull << 20;
    options.metadata_bytes = given.metadata_bytes != 0 ? given.metadata_bytes
                             : most == 0               ? meta::Upkeep::kBytes
                                                       : std::max(most / 4, kLeastMetadata);
    return options;
}

cache::CollectorOptions collector_options(const config::Config& config) {
    const config::Gc& gc = config.storage.gc;
    const config::Retention& retention = config.storage.retention;
    cache::CollectorOptions options;
    options.enabled = gc.enable && gc.interval > Duration{};
    options.interval = gc.interval;
    options.delay = gc.delay;
    options.untagged_age = gc.untagged_age;
    options.window = gc.window;
    options.retention.dry_run = retention.dry_run;
    options.retention.delay = retention.delay.value_or(gc.delay);
    for (const config::RetentionPolicy& policy : retention.policies)
        options.retention.policies.push_back(retention_policy(policy));
    return options;
}

std::vector<meta::Pin> configured_pins(const config::Config& config) {
    std::vector<meta::Pin> pins;
    for (const config::Pin& pin : config.cache.pins) pins.push_back({pin.repositories, pin.tags});
    return pins;
}

}  // namespace weir::app
