// upstream/hosts.h: what an upstream has learnt of each host that it deals with: its mirrors, and
// those that they send us to (redirects, token servers).
#pragma once
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "client/url.h"
#include "upstream/challenges.h"
#include "upstream/health.h"

namespace weir::upstream {

inline constexpr size_t kMaxHosts = 32;  // beside the mirrors; the one asked longest ago goes

struct Host {
    Host(const Options& options, Random& random)
        : health(options.breaker_failures, options.breaker_open, random) {}
    Health health;
    Challenges challenges;
    void forget() {
        health.forget();
        challenges.forget();
    }
};

// Any thread.
class Hosts {
public:
    Hosts(const Options& options, Random& random) : options_(options), random_(random) {}

    // Of its scheme, host and port.
    std::shared_ptr<Host> of(const client::Url& url) {
        const std::string origin = url.scheme + "://" + url.authority();
        std::lock_guard lock(mutex_);
        for (auto at = hosts_.begin(); at != hosts_.end(); ++at) {
            if (at->first != origin) continue;
            hosts_.splice(hosts_.begin(), hosts_, at);
            return at->second;
        }
        hosts_.emplace_front(origin, std::make_shared<Host>(options_, random_));
        if (hosts_.size() > kMaxHosts) hosts_.pop_back();
        return hosts_.front().second;
    }
    void forget() {
        std::lock_guard lock(mutex_);
        hosts_.clear();
    }
    size_t size() const {
        std::lock_guard lock(mutex_);
        return hosts_.size();
    }

private:
    const Options& options_;
    Random& random_;
    mutable std::mutex mutex_;
    std::list<std::pair<std::string, std::shared_ptr<Host>>> hosts_;
};

}  // namespace weir::upstream
