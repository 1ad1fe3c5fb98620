#include "config/registries.h"

#include <re2/re2.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "config/mapping.h"
#include "config/schema.h"

namespace weir::config {
namespace {

std::string_view trim_slashes(std::string_view text) {
    while (text.starts_with('/')) text.remove_prefix(1);
    while (text.ends_with('/')) text.remove_suffix(1);
    return text;
}

bool good_regex(const std::string& pattern, std::string& why) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    const re2::RE2 regex(pattern, options);
    why = regex.error();
    return regex.ok();
}

// zot's checks of a content, with its words.
void check_content(const Content& content, Reading& reading) {
    if (!Glob::parse(trim_slashes(content.prefix))) {
        reading.error(0, fmt::format("sync prefix could not be compiled: {}", content.prefix));
    }
    for (const std::string* regex : {&content.tags_regex, &content.tags_exclude_regex}) {
        std::string why;
        if (!good_regex(*regex, why)) {
            reading.error(
                0, fmt::format("sync content regex could not be compiled: {} ({})", *regex, why));
        }
    }
    if (content.strip_prefix && content.prefix.find("/*") == std::string::npos &&
        content.destination == "/") {
        reading.error(0,
                      "can not use stripPrefix true and destination '/' without using glob "
                      "patterns in prefix");
    }
}

bool is_self(const Url& url, const Config& config, const Environment& environment) {
    if (url.effective_port() != config.http.port) return false;
    const std::string& host = url.host.host;
    return is_loopback(host) || host == config.http.address ||
           host == ascii_lower(environment.host_name) ||
           std::ranges::find(environment.addresses, host) != environment.addresses.end();
}

void complete_urls(Registry& registry, const Config& config, const Environment& environment,
                   Reading& reading) {
    std::vector<std::string> kept;
    size_t selves = 0;
    for (const std::string& text : registry.urls) {
        auto url = parse_url(text);
        if (!url) {
            // Not shown: what is no URL may hold a password.
            reading.error(0, "urls: not a URL; write it like \"https://ghcr.io\"");
            continue;
        }
        if (url->user_info) {
            reading.warn(
                0,
                fmt::format("urls: user and password in the URL of {} are not used; put them into "
                            "extensions.sync.credentialsFile",
                            url->host_text()));
        }
        if (is_self(*url, config, environment)) {
            ++selves;
            reading.warn(0, fmt::format("urls: {} is weir itself and was left out", url->text()));
            continue;
        }
        kept.push_back(url->text());
        const Quirks quirks = quirks_of(*url);
        if (kept.size() == 1) registry.quirks = quirks;
        registry.quirks.hub = registry.quirks.hub || quirks.hub;
    }
    registry.urls = std::move(kept);
    if (!registry.urls.empty()) {
        auto first = parse_url(registry.urls[0]);
        registry.name = is_hub_name(first->host.text()) ? std::string(kHub) : first->host_text();
    } else if (selves > 0) {
        reading.error(0, "urls: no urls left after removing weir itself");
    } else if (!reading.failed()) {
        reading.error(0, "urls: a registry needs at least one URL");
    }
}

// zot's checks of a registry; what is better here is accepted.
void check_registry(const Registry& registry, Reading& reading) {
    const Duration zero{};
    if (registry.manifest_check_interval.value_or(zero) < zero) {
        reading.error(0, "manifestCheckInterval cannot be negative");
    }
    if (registry.retry_delay < zero) reading.error(0, "retryDelay cannot be negative");
    if (registry.max_retry_delay < registry.retry_delay) {
        reading.error(0,
                      fmt::format("maxRetryDelay must be greater than or equal to retryDelay ({})",
                                  show(registry.retry_delay)));
    }
    if (registry.req_concurrent == 0u) reading.error(0, "reqConcurrent must be greater than 0");
    for (size_t i = 0; i < registry.content.size(); ++i) {
        reading.at(fmt::format("content[{}]", i),
                   [&] { check_content(registry.content[i], reading); });
    }
    if (!registry.on_demand) {
        reading.warn(
            0, "onDemand is not true: as in zot nothing is fetched from here when a client asks");
    }
}

void check_settings(const UpstreamSettings& settings, Reading& reading) {
    if (settings.segments.count == 0 || settings.segments.count > 64) {
        reading.error(0, "segments.count must be between 1 and 64");
    }
    if (settings.segments.bytes == 0) reading.error(0, "segments.size must be greater than 0");
    if (settings.max_concurrent == 0) reading.error(0, "maxConcurrent must be greater than 0");
    for (const Duration* timeout :
         {&settings.connect_timeout, &settings.response_timeout, &settings.stall_timeout}) {
        if (*timeout <= Duration(0))
            reading.error(
                0, "connectTimeout, responseTimeout and stallTimeout must be greater than 0");
    }
    for (size_t i = 0; i < settings.credentials.size(); ++i) {
        const Login& login = settings.credentials[i];
        reading.at(fmt::format("credentials[{}]", i), [&] {
            if (!Glob::parse(login.repositories)) reading.error(0, "repositories: not a pattern");
            const int passwords = !login.password.empty() + !login.password_file.empty() +
                                  !login.password_env.empty();
            const int tokens =
                !login.token.empty() + !login.token_file.empty() + !login.token_env.empty();
            if (passwords + tokens != 1) {
                reading.error(0,
                              "needs exactly one of password, passwordFile, passwordEnv, token, "
                              "tokenFile, tokenEnv");
            }
            if (passwords == 1 && login.username.empty())
                reading.error(0, "a password needs a username");
        });
    }
    if (!settings.proxy.empty() && settings.proxy != "none" &&
        settings.proxy.find("://") == std::string::npos) {
        reading.error(0, "proxy: expected a URL like \"http://proxy.lab:3128\", or \"none\"");
    }
}

bool has_destination(const Registry& registry, std::string_view destination) {
    const Mapping mapping(registry.content);
    const auto all = mapping.destinations();
    return std::ranges::find(all, destination) != all.end();
}

// weir.upstreams.<name>: a host of a URL (Docker Hub by any name), or a destination.
bool is_named(const Registry& registry, const std::string& name) {
    const HostPort wanted = parse_host_port(name);
    for (const std::string& text : registry.urls) {
        auto url = parse_url(text);
        if (url &&
            (url->host_text() == wanted.text() || (!wanted.port && url->host.host == wanted.host)))
            return true;
        if (url && is_hub_name(name) && is_hub_name(url->host.text())) return true;
    }
    const std::string_view destination = trim_slashes(name);
    return !destination.empty() && has_destination(registry, destination);
}

// Docker Hub served from a regional mirror: weir.hosts says which destination that is.
void mark_hub_mirrors(Config& config) {
    for (const auto& [name, destination] : config.hosts) {
        if (!is_hub_name(name)) continue;
        for (Registry& registry : config.registries) {
            if (has_destination(registry, destination)) registry.quirks.hub = true;
        }
    }
}

void apply_settings(Config& config, const std::string& name, const Value& settings,
                    Reading& reading) {
    const bool all = iequals(name, "default");
    bool used = all;
    for (Registry& registry : config.registries) {
        if (!all && !is_named(registry, name)) continue;
        used = true;
        // Its problems were reported when the file was read; this second reading only fills in, and
        // finds what needs a target to be seen.
        Reading again{LoadOptions{.lenient = true}};
        again.object(upstream_shape(), &registry.settings, settings);
        for (Problem& problem : again.problems) {
            if (problem.error)
                reading.add(reading.path() + "." + problem.path, problem.line, problem.what, true);
        }
    }
    if (used) return;
    std::vector<std::string> known;
    for (const Registry& registry : config.registries) known.push_back(registry.name);
    reading.error(settings.line,
                  fmt::format("no registry has this host or destination (there are: {})",
                              fmt::join(known, ", ")));
}

// weir.upstreams.default, then reqConcurrent, then what is said of each by name; the file's order
// doesn't matter.
void layer_settings(Config& config, const Value* upstreams, Reading& reading) {
    for (const bool defaults : {true, false}) {
        for (size_t i = 0; upstreams && i < upstreams->keys.size(); ++i) {
            const std::string& name = upstreams->keys[i];
            if (iequals(name, "default") != defaults) continue;
            reading.at("weir.upstreams." + name,
                       [&] { apply_settings(config, name, upstreams->items[i], reading); });
        }
        for (Registry& registry : config.registries) {
            if (defaults && registry.req_concurrent)
                registry.settings.max_concurrent = *registry.req_concurrent;
        }
    }
}

// Quotas are told by any name of the upstream, and kept by the one that its blobs have.
void name_quotas(Config& config, Reading& reading) {
    std::set<std::string> seen;
    for (auto& [name, size] : config.cache.quotas) {
        const auto known = std::ranges::find_if(
            config.registries, [&](const Registry& registry) { return is_named(registry, name); });
        const std::string path = "weir.cache.quotas." + name;
        if (known == config.registries.end()) {
            reading.add(path, 0, "no registry has this host or destination", true);
            continue;
        }
        name = known->name;
        if (!seen.insert(name).second)
            reading.add(path, 0, fmt::format("{} has two quotas", name), true);
    }
}

}  // namespace

void complete_registries(Config& config, const Value* upstreams, const Environment& environment,
                         Reading& reading) {
    if (config.registries.size() > kMaxRegistries) {
        reading.add("extensions.sync.registries", 0,
                    fmt::format("more than {} registries", kMaxRegistries), true);
        config.registries.clear();
        return;
    }
    for (size_t i = 0; i < config.registries.size(); ++i) {
        Registry& registry = config.registries[i];
        reading.at(fmt::format("extensions.sync.registries[{}]", i), [&] {
            complete_urls(registry, config, environment, reading);
            check_registry(registry, reading);
        });
    }
    mark_hub_mirrors(config);
    layer_settings(config, upstreams, reading);
    name_quotas(config, reading);
    for (const Registry& registry : config.registries) {
        reading.at("weir.upstreams." + registry.name,
                   [&] { check_settings(registry.settings, reading); });
    }
}

}  // namespace weir::config
