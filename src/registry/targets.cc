#include "registry/targets.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include "base/check.h"
#include "base/failure.h"

namespace weir::registry {
namespace {

std::shared_ptr<const re2::RE2> compile(const std::string& pattern) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    auto compiled = std::make_shared<const re2::RE2>(pattern, options);
    if (!compiled->ok())
        throw Failure(Kind::config_invalid, fmt::format("weir.freshness: pattern \"{}\": {}",
                                                        pattern, compiled->error()));
    return compiled;
}

Networks networks_of(const std::vector<std::string>& list) {
    auto networks = Networks::parse(list);
    if (!networks)
        throw Failure(
            Kind::config_invalid,
            fmt::format("weir.redirect.networks: \"{}\" is no network", networks.error()));
    return std::move(*networks);
}

}  // namespace

Targets::Targets(std::shared_ptr<const config::Config> config,
                 std::vector<cache::Candidate> sources)
    : config_(std::move(config)),
      routing_(config::Routing::build(config_)),
      networks_(networks_of(config_->storage.redirect.networks)),
      sources_(std::move(sources)) {
    check(sources_.size() == config_->registries.size(), "each registry has a source");
    const config::Freshness& given = config_->freshness;
    cache::Freshness base;
    base.negative_ttl = given.negative_ttl;
    base.signature_negative_ttl = given.signature_negative_ttl;
    base.list_ttl = given.list_ttl;
    base.max_stale = given.max_stale;
    for (const std::string& pattern : given.immutable) base.immutable.push_back(compile(pattern));
    for (const config::Registry& registry : config_->registries) {
        base.ttl = registry.tag_ttl(given.ttl);
        freshness_.push_back(std::make_shared<const cache::Freshness>(base));
        names_.push_back(std::make_shared<const std::string>(registry.name));
    }
    for (const config::FreshnessRule& rule : given.rules) {
        auto glob = Glob::parse(rule.repositories);
        if (!glob)
            throw Failure(
                Kind::config_invalid,
                fmt::format("weir.freshness.rules: \"{}\" is not a pattern", rule.repositories));
        rules_.push_back(
            {.repositories = std::move(*glob),
             .rule = {.tags = rule.tags.empty() ? nullptr : compile(rule.tags), .ttl = rule.ttl}});
    }
}

std::shared_ptr<const cache::Freshness> Targets::freshness(size_t registry,
                                                           const std::string& repository) const {
    std::shared_ptr<cache::Freshness> own;
    for (const Rule& rule : rules_) {
        if (!rule.repositories.matches(repository)) continue;
        if (!own) own = std::make_shared<cache::Freshness>(*freshness_[registry]);
        own->rules.push_back(rule.rule);
    }
    if (own) return own;
    return freshness_[registry];
}

Resolved Targets::resolve(const config::Target& asked) const {
    config::Resolution resolution = routing_.resolve(asked);
    if (!resolution)
        return {.target = nullptr, .otherwise = nullptr, .unknown = std::move(resolution.unknown)};
    const auto target_of = [this](config::Route& route) {
        check(!route.candidates.empty(), "a route has a candidate");
        return target(std::move(route.repository), std::move(route.candidates));
    };
    Resolved resolved{.target = target_of(*resolution.route), .otherwise = nullptr, .unknown = {}};
    if (resolution.otherwise) resolved.otherwise = target_of(*resolution.otherwise);
    return resolved;
}

cache::TargetPtr Targets::stored(const std::string& repository) const {
    return target(repository, routing_.candidates(repository));
}

cache::TargetPtr Targets::target(std::string repository,
                                 std::vector<config::Candidate> candidates) const {
    auto target = std::make_shared<cache::Target>();
    target->repository = std::move(repository);
    if (!candidates.empty()) {
        const size_t first = candidates.front().registry;
        target->freshness = freshness(first, target->repository);
        target->upstream_name = names_[first];
    }
    for (config::Candidate& candidate : candidates) {
        cache::Candidate source = sources_[candidate.registry];
        source.repository = std::move(candidate.repository);
        target->candidates.push_back(std::move(source));
    }
    return target;
}

}  // namespace weir::registry
