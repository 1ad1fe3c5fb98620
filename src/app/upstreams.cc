#include "app/upstreams.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "app/certificates.h"
#include "app/wire.h"
#include "base/log.h"

namespace weir::app {
namespace {

// Without what only says which repositories an upstream serves and how long its answers are
// believed.
config::Registry upstream_part(config::Registry registry) {
    registry.content.clear();
    registry.on_demand = true;
    registry.manifest_check_interval.reset();
    registry.poll_interval = {};
    registry.settings.ttl.reset();
    registry.settings.segments = {};
    registry.settings.credentials.clear();
    return registry;
}

upstream::Credential to_upstream(config::Credential found) {
    return {.username = std::move(found.username),
            .password = std::move(found.password),
            .token = std::move(found.token)};
}

}  // namespace

std::shared_ptr<const config::Credentials> Upstreams::Book::get() const {
    std::lock_guard lock(mutex);
    return credentials;
}

void Upstreams::Book::put(std::shared_ptr<const config::Credentials> fresh) {
    std::lock_guard lock(mutex);
    credentials.swap(fresh);
}

Upstreams::Upstreams(client::HttpClient& client, Clock& clock, Random& random,
                     std::string state_root)
    : client_(client), clock_(clock), random_(random), state_root_(std::move(state_root)) {}

Upstreams::Entry Upstreams::make(const config::Config& config,
                                 const config::Registry& registry) const {
    Entry entry;
    entry.part = upstream_part(registry);
    entry.max_manifest_bytes = config.limits.max_manifest_bytes;
    entry.certificates = directory_stamp(registry.cert_dir);
    upstream::Credentials who;
    if (registry.settings.anonymous) {
        who = [](std::string_view, std::string_view) { return std::nullopt; };
    } else {
        who = [book = book_](std::string_view host_port,
                             std::string_view repository) -> std::optional<upstream::Credential> {
            const auto credentials = book->get();
            auto found = credentials ? credentials->find(host_port, repository) : std::nullopt;
            if (!found) return std::nullopt;
            return to_upstream(std::move(*found));
        };
    }
    const client::Tls tls = upstream_tls(registry, state_root_);
    entry.bundle = tls.ca_file;
    auto options = upstream_options(config, registry, tls);
    options.is_upstream = [book = book_](std::string_view host_port) {
        const auto credentials = book->get();
        return credentials && credentials->is_upstream(host_port);
    };
    entry.upstream = std::make_shared<upstream::Upstream>(std::move(options), client_, clock_,
                                                          random_, std::move(who));
    return entry;
}

Upstreams::Prepared Upstreams::prepare(std::shared_ptr<const config::Config> config) {
    Prepared prepared;
    prepared.credentials =
        std::make_shared<const config::Credentials>(config::Credentials::load(*config));
    for (const auto& warning : prepared.credentials->warnings()) log::warn("config", "{}", warning);

    std::vector<Entry> before;
    {
        std::lock_guard lock(mutex_);
        before = entries_;
    }
    std::vector<cache::Candidate> sources;
    for (const config::Registry& registry : config->registries) {
        const auto part = upstream_part(registry);
        const auto certificates = directory_stamp(registry.cert_dir);
        const auto known = std::find_if(before.begin(), before.end(), [&](const Entry& entry) {
            return entry.part == part && entry.certificates == certificates &&
                   entry.max_manifest_bytes == config->limits.max_manifest_bytes;
        });
        if (known == before.end()) ++prepared.made;
        prepared.entries.push_back(known == before.end() ? make(*config, registry) : *known);
        sources.push_back({.upstream = prepared.entries.back().upstream,
                           .repository = {},
                           .fetch = fetch_policy(*config, registry)});
    }
    prepared.targets = std::make_shared<const registry::Targets>(config, std::move(sources));
    return prepared;
}

void Upstreams::commit(Prepared prepared) {
    book_->put(std::move(prepared.credentials));
    std::vector<Entry> before;
    {
        std::lock_guard lock(mutex_);
        before = std::exchange(entries_, std::move(prepared.entries));
    }
    // Only this thread writes entries_. A kept upstream keeps its tokens and its places; what it
    // took hosts to want, and whom it set aside, ends with a reload.
    for (const Entry& entry : before) entry.upstream->forget();
    const auto in_use = [this](const std::string& bundle) {
        return std::ranges::find(entries_, bundle, &Entry::bundle) != entries_.end();
    };
    std::error_code ignored;
    for (const std::string& bundle : std::exchange(retired_, {}))
        if (!in_use(bundle)) std::filesystem::remove(bundle, ignored);
    for (const Entry& entry : before)
        if (!entry.bundle.empty() && !in_use(entry.bundle)) retired_.push_back(entry.bundle);
}

std::shared_ptr<const registry::Targets> Upstreams::apply(
    std::shared_ptr<const config::Config> config) {
    auto prepared = prepare(std::move(config));
    auto targets = prepared.targets;
    commit(std::move(prepared));
    return targets;
}

std::vector<upstream::Status> Upstreams::status() const {
    std::vector<Entry> entries;
    {
        std::lock_guard lock(mutex_);
        entries = entries_;
    }
    std::vector<upstream::Status> all;
    for (const Entry& entry : entries) all.push_back(entry.upstream->status());
    return all;
}

}  // namespace weir::app
