// registry/targets.h: from what a client asked for to whom the cache may ask for it.
//
// One Targets is one configuration's view of the world, immutable; a reload makes another one. Any
// thread.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/glob.h"
#include "base/network.h"
#include "cache/types.h"
#include "config/config.h"
#include "config/routing.h"

namespace weir::registry {

// A target, or the reason why there is none, in words for the client.
struct Resolved {
    cache::TargetPtr target;
    cache::TargetPtr otherwise;  // another reading of the path, if the first has no such thing
    std::string unknown;
};

class Targets {
public:
    // `sources`: one for each of config.registries, in the same order, without a repository.
    // Failure{config_invalid} on a pattern or name that the configuration can't mean.
    Targets(std::shared_ptr<const config::Config> config, std::vector<cache::Candidate> sources);

    // `repository` is a valid name. Never asks anybody.
    Resolved resolve(const config::Target&) const;

    // The target of a repository by its local name, for work that no request started. Without
    // candidates when the configuration no longer has an upstream for it.
    cache::TargetPtr stored(const std::string& repository) const;

    // This client fetches blobs from the durable tier itself (storage.redirectBlobURL).
    bool redirects(std::string_view client) const {
        return config_->storage.redirect.enable && networks_.hold(client);
    }

    bool serves(std::string_view before) const { return routing_.serves(before); }

    const config::Config& config() const { return *config_; }
    const config::Routing& routing() const { return routing_; }

private:
    struct Rule {
        Glob repositories;
        cache::Freshness::Rule rule;
    };
    cache::TargetPtr target(std::string repository,
                            std::vector<config::Candidate> candidates) const;
    std::shared_ptr<const cache::Freshness> freshness(size_t registry,
                                                      const std::string& repository) const;

    std::shared_ptr<const config::Config> config_;
    config::Routing routing_;
    Networks networks_;
    std::vector<cache::Candidate> sources_;
    std::vector<std::shared_ptr<const std::string>> names_;           // by registry
    std::vector<std::shared_ptr<const cache::Freshness>> freshness_;  // by registry, without rules
    std::vector<Rule> rules_;
};

}  // namespace weir::registry
