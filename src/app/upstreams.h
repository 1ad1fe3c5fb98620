// app/upstreams.h: the upstreams of the running configuration, kept over reloads as far as they
// haven't changed.
//
// An upstream holds tokens, a breaker's memory and a budget; a reload that changes something else
// must not lose them.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "client/http_client.h"
#include "config/config.h"
#include "config/credentials.h"
#include "registry/targets.h"
#include "upstream/upstream.h"

namespace weir::app {

// prepare(), commit() and apply() in one thread; status() in any.
class Upstreams {
    struct Entry {
        config::Registry part;  // of the configuration, as far as it makes the upstream
        uint64_t max_manifest_bytes = 0;
        uint64_t certificates = 0;
        std::string bundle;  // the file of its authorities, if it has its own
        std::shared_ptr<upstream::Upstream> upstream;
    };

public:
    // All references outlive it.
    Upstreams(client::HttpClient& client, Clock& clock, Random& random, std::string state_root);

    // A configuration's upstreams, made or taken from the ones there are, with its credentials, and
    // the view of the world that follows.
    struct Prepared {
        std::shared_ptr<const registry::Targets> targets;
        std::shared_ptr<const config::Credentials> credentials;
        std::vector<Entry> entries;
        size_t made = 0;  // anew
    };
    // Failure{config_invalid} when something can't be read. What runs is not touched. Blocks on
    // files.
    Prepared prepare(std::shared_ptr<const config::Config> config);
    // Can't fail. What was learnt of the upstreams that are kept (challenges, hold-offs) is
    // forgotten.
    void commit(Prepared prepared);
    // Both.
    std::shared_ptr<const registry::Targets> apply(std::shared_ptr<const config::Config> config);

    std::vector<upstream::Status> status() const;

private:
    // What the requests in flight read; replaced as a whole.
    struct Book {
        std::shared_ptr<const config::Credentials> get() const;
        void put(std::shared_ptr<const config::Credentials>);
        mutable std::mutex mutex;
        std::shared_ptr<const config::Credentials> credentials;
    };
    Entry make(const config::Config&, const config::Registry&) const;

    client::HttpClient& client_;
    Clock& clock_;
    Random& random_;
    const std::string state_root_;
    const std::shared_ptr<Book> book_ = std::make_shared<Book>();
    mutable std::mutex mutex_;
    std::vector<Entry> entries_;  // by config.registries; under mutex_
    // Bundles that nobody was told of by the last commit; what ran then may still read them.
    std::vector<std::string> retired_;
};

}  // namespace weir::app
