#include "config/routing_names.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace weir::config {
namespace {

bool allowed(const Named& named, Use use) {
    switch (use) {
        case Use::ns:
            return named.ns;
        case Use::prefix:
            return named.prefix;
        case Use::host:
            return named.host;
    }
    return false;
}

bool contains(const auto& list, const auto& item) {
    return std::ranges::find(list, item) != list.end();
}

bool is_hub(std::string_view host) {
    return std::ranges::find(kHubNames, host) != std::end(kHubNames);
}

std::string_view first_component(std::string_view path) {
    return path.substr(0, path.find('/'));
}

}  // namespace

Names::Names(const Config& config, const std::vector<Mapping>& mappings)
    : table_(!config.hosts.empty()), own_names_(config.own_names) {
    if (table_) {
        from_table(config);
    } else {
        from_urls(config, mappings);
    }
}

void Names::from_table(const Config& config) {
    for (const auto& [name, destination] : config.hosts) {
        Named named{.name = name, .destination = destination, .registries = {}};
        if (name == "default") {
            fallback_ = std::move(named);
        } else if (name.starts_with("*.")) {
            wildcards_.emplace_back(name.substr(1), std::move(named));
        } else {
            const HostPort parsed = parse_host_port(name);
            named.name = is_hub(parsed.host) ? std::string(kHub) : parsed.text();
            names_.emplace(parsed.text(), std::move(named));
        }
    }
    std::ranges::sort(wildcards_, [](const auto& a, const auto& b) {
        return std::pair(b.first.size(), a.first) < std::pair(a.first.size(), b.first);
    });
}

void Names::from_urls(const Config& config, const std::vector<Mapping>& mappings) {
    const auto add = [this](std::string name, size_t registry) -> Named& {
        Named& named = names_[name];
        named.name = is_hub(name) ? std::string(kHub) : std::move(name);
        if (!contains(named.registries, registry)) named.registries.push_back(registry);
        return named;
    };
    // Hosts with an unusual port, and the names with it.
    std::map<std::string, std::set<std::string>> unusual;
    for (size_t i = 0; i < config.registries.size(); ++i) {
        if (!config.registries[i].on_demand) continue;
        for (const std::string& text : config.registries[i].urls) {
            auto url = parse_url(text);
            if (!url) continue;
            const std::string bare = HostPort{url->host.host, 0}.text();
            if (url->host_text() != bare) {
                unusual[bare].insert(url->host_text());
                add(url->host_text(), i).host = false;
            } else if (is_hub(bare)) {
                for (std::string_view alias : kHubNames) add(std::string(alias), i);
            } else {
                add(bare, i);
            }
        }
    }
    // Host, SNI and a path can't say a port: there a name without one means the one port that there
    // is. ?ns= can.
    for (const auto& [bare, full] : unusual) {
        if (full.size() != 1 || names_.contains(bare)) continue;
        Named named = names_.at(*full.begin());
        named.name = bare;
        named.ns = false;
        named.host = true;
        names_.emplace(bare, std::move(named));
    }
    for (auto& [name, named] : names_) {
        const std::string host = parse_host_port(name).host;
        // An address in Host is weir's own.
        if (is_ip_address(host) || host == "localhost") named.host = false;
        // zot's destinations keep their meaning: a name that is another registry's destination is
        // no prefix.
        for (size_t i = 0; i < mappings.size(); ++i) {
            if (contains(named.registries, i)) continue;
            for (std::string_view destination : mappings[i].destinations()) {
                if (first_component(destination) == name) named.prefix = false;
            }
        }
    }
}

const Named* Names::exact(std::string_view host, std::string_view with_port, Use use) const {
    for (std::string_view name : {with_port, host}) {
        auto found = names_.find(name);
        if (found != names_.end() && allowed(found->second, use)) return &found->second;
    }
    return nullptr;
}

const Named* Names::wildcard(std::string_view host) const {
    for (const auto& [suffix, named] : wildcards_) {
        if (host.size() > suffix.size() && host.ends_with(suffix)) return &named;
    }
    return nullptr;
}

const Named* Names::find(std::string_view name, Use use) const {
    const HostPort parsed = parse_host_port(name);
    if (parsed.host.empty()) return nullptr;
    const bool usual_port = parsed.port == 0 || parsed.port == 443 || parsed.port == 80;
    const std::string bare = HostPort{parsed.host, 0}.text();
    // A name in the table stands for any port; a URL's only for its own.
    const std::string_view without_port =
        table_ || usual_port || use == Use::host ? std::string_view(bare) : "";
    if (const Named* named = exact(without_port, parsed.text(), use)) return named;
    const bool hub = is_hub(parsed.host) && usual_port;
    if (hub) {
        for (std::string_view alias : kHubNames) {
            if (const Named* named = exact(alias, alias, use)) return named;
        }
    }
    if (const Named* named = wildcard(parsed.host)) return named;
    if (hub) {
        for (std::string_view alias : kHubNames) {
            if (const Named* named = wildcard(alias)) return named;
        }
    }
    return nullptr;
}

const Named* Names::fallback(std::string_view host) const {
    const bool foreign = parse_host_port(host).host.find('.') != std::string::npos && !is_own(host);
    return fallback_ && foreign ? &*fallback_ : nullptr;
}

bool Names::is_itself(std::string_view name) const {
    const HostPort parsed = parse_host_port(name);
    return parsed.host != "localhost" && contains(own_names_, parsed.host);
}

bool Names::is_own(std::string_view host) const {
    const HostPort parsed = parse_host_port(host);
    return is_ip_address(parsed.host) || parsed.host == "localhost" ||
           contains(own_names_, parsed.host);
}

std::vector<std::string> Names::all() const {
    std::vector<std::string> all;
    for (const auto& [name, named] : names_) all.push_back(name);
    for (const auto& [suffix, named] : wildcards_) all.push_back("*" + suffix);
    if (fallback_) all.emplace_back("default");
    return all;
}

}  // namespace weir::config
