#include "config/load.h"

#include <re2/re2.h>

#include <algorithm>

#include "base/failure.h"
#include "base/file.h"
#include "base/glob.h"
#include "base/text.h"
#include "config/complete.h"
#include "config/registries.h"
#include "config/routing.h"
#include "config/schema.h"

namespace weir::config {
namespace {

constexpr std::string_view kLevels[] = {"trace", "debug", "info", "warn",
                                        "error", "fatal", "panic"};

const Value* find_path(const Value& root, std::initializer_list<std::string_view> path) {
    const Value* at = &root;
    for (std::string_view name : path) {
        at = at->is(Value::Type::map) ? at->find(name) : nullptr;
        if (!at || at->is(Value::Type::null)) return nullptr;
    }
    return at;
}

// Where the file has an "http" section zot's defaults hold for it, so that a zot file means what it
// meant.
void zot_defaults(Config& config, const Value& root, Reading& reading) {
    if (!find_path(root, {"http"})) return;
    if (!find_path(root, {"http", "address"})) {
        config.http.address = "127.0.0.1";
        reading.add("http.address", 0, "not given: 127.0.0.1, as in zot", false);
    }
    if (!find_path(root, {"http", "port"})) {
        config.http.port = 8080;
        reading.add("http.port", 0, "not given: 8080, as in zot", false);
    }
}

// Whose upstreams: the file's, none, or the public ones where nothing is said of sync.
void choose_registries(Config& config, const Value& root) {
    const Value* sync = find_path(root, {"extensions", "sync"});
    const Value* enable = find_path(root, {"extensions", "sync", "enable"});
    if (!sync) {
        config.registries = public_registries();
    } else if (enable && !weak_flag(*enable).value_or(true)) {
        config.registries.clear();
    }
}

void check_regex(const std::string& pattern, std::string path, Reading& reading) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    const re2::RE2 regex(pattern, options);
    if (regex.ok()) return;
    reading.add(std::move(path), 0,
                fmt::format("\"{}\" is not a regular expression: {}", pattern, regex.error()),
                true);
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
        if (!Glob::parse(rule.repositories)) {
            reading.add(path + ".repositories", 0,
                        fmt::format("\"{}\" is not a pattern", rule.repositories), true);
        }
    }
}

// Values that have the right type and still can't be meant.
void check_values(const Config& config, Reading& reading) {
    const auto need = [&reading](bool good, const char* path, const char* what) {
        if (!good) reading.add(path, 0, what, true);
    };
    need(std::ranges::find(kLevels, ascii_lower(config.log.level)) != std::end(kLevels) ||
             config.log.level.empty(),
         "log.level", "expected trace, debug, info, warn, error, fatal or panic");
    need(config.log.format == "json" || config.log.format == "text", "weir.log.format",
         "expected \"json\" or \"text\"");
    if (config.http.tls) {
        need(!config.http.tls->cert.empty() && !config.http.tls->key.empty(), "http.tls",
             "cert and key are both needed");
    }
    need(config.metrics.path.starts_with('/'), "extensions.metrics.prometheus.path",
         "must begin with \"/\"");
    const Duration zero{};
    need(config.freshness.ttl >= zero && config.freshness.negative_ttl >= zero &&
             config.freshness.signature_negative_ttl >= zero && config.freshness.list_ttl >= zero,
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
    need(config.memory.open_files > 0, "weir.memory.openFiles", "must be greater than 0");
    check_freshness(config.freshness, reading);
}

void check_routing(const Config& config, Reading& reading) {
    for (const auto& [name, destination] : config.hosts) {
        const std::string_view bare = std::string_view(name).substr(name.starts_with("*.") ? 2 : 0);
        if (bare.find_first_of("*/ ") == std::string_view::npos && !bare.empty()) continue;
        reading.add("weir.hosts." + name, 0,
                    "expected a host name, \"*.\" and a host name, or \"default\"", true);
    }
    if (reading.failed()) return;
    try {
        (void)Routing::build(std::make_shared<const Config>(config));
    } catch (const Failure& failure) {
        const std::string what = failure.what();
        const size_t colon = what.find(": ");
        reading.add(what.substr(0, colon), 0, what.substr(std::min(colon + 2, what.size())), true);
    }
}

void read_tree(Report& report, const Value& root, LoadOptions options,
               const Environment& environment) {
    Reading reading(options);
    Config config;
    config.path = report.path;
    zot_defaults(config, root, reading);
    if (root.is(Value::Type::map)) reading.object(file_shape(), &config, root);
    if (!root.is(Value::Type::map)) {
        reading.error(root.line, fmt::format("expected an object, got {}", describe(root)));
    } else if (reading.recognised == 0) {
        reading.add("", 0, "failed to load config due to the absence of any key:value pair", true);
    }
    choose_registries(config, root);
    complete_from_environment(config, environment);
    complete_registries(config, find_path(root, {"weir", "upstreams"}), environment, reading);
    check_values(config, reading);
    check_routing(config, reading);
    const bool failed = reading.failed();
    report.keys = std::move(reading.keys);
    report.problems = std::move(reading.problems);
    if (!failed) report.config = std::move(config);
}

}  // namespace

std::string Problem::text(std::string_view file) const {
    std::string out(file);
    if (line) out += fmt::format(":{}", line);
    if (!path.empty()) out += (out.empty() ? "" : ": ") + path;
    if (!out.empty()) out += ": ";
    return out + what;
}

Report inspect_text(const std::string& path, std::string_view text, LoadOptions options,
                    const Environment& environment) {
    Report report;
    report.path = path;
    if (text.size() > kMaxFileBytes) {
        report.problems.push_back(
            {"", fmt::format("larger than {}", show_bytes(kMaxFileBytes)), 0, true});
        return report;
    }
    auto root = parse_file(path, text);
    if (!root) {
        const ParseError& error = root.error();
        std::string what = error.what;
        if (error.column) what += fmt::format(" (column {})", error.column);
        report.problems.push_back({"", std::move(what), error.line, true});
        return report;
    }
    read_tree(report, *root, options, environment);
    return report;
}

Report inspect(const std::string& path, LoadOptions options, const Environment& environment) {
    Report report;
    report.path = path;
    try {
        auto text = read_file(posix_files(), path, kMaxFileBytes);
        if (text) return inspect_text(path, *text, options, environment);
        report.problems.push_back({"", "there is no such file", 0, true});
    } catch (const Failure& failure) {
        report.problems.push_back({"", failure.what(), 0, true});
    }
    return report;
}

std::shared_ptr<const Config> load(const std::string& path, LoadOptions options,
                                   const Environment& environment,
                                   std::vector<std::string>& warnings) {
    Report report = inspect(path, options, environment);
    std::string errors;
    for (const Problem& problem : report.problems) {
        if (!problem.error) {
            warnings.push_back(problem.text(path));
            continue;
        }
        if (!errors.empty()) errors += '\n';
        errors += problem.text(path);
    }
    if (!report.ok()) throw Failure(Kind::config_invalid, errors);
    return std::make_shared<const Config>(std::move(*report.config));
}

}  // namespace weir::config
