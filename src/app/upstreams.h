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

// apply() in one thread; status() in any.
class Upstreams {
public:
    // All references outlive it.
    Upstreams(client::HttpClient& client, Clock& clock, Random& random, std::string state_root);

    // Makes the upstreams of `config`, or takes the ones there are, reads the credentials, and
    // gives the view of the world that follows. Throws Failure{config_invalid} and changes nothing
    // when something can't be read. Blocks on files.
    std::shared_ptr<const registry::Targets> apply(std::shared_ptr<const config::Config> config);

    std::vector<upstream::Status> status() const;
    // How many were made anew by the last apply().
    size_t made() const { return made_; }

private:
    // What the requests in flight read; replaced as a whole.
    struct Book {
        std::shared_ptr<const config::Credentials> get() const;
        void put(std::shared_ptr<const config::Credentials>);
        mutable std::mutex mutex;
        std::shared_ptr<const config::Credentials> credentials;
    };
    struct Entry {
        config::Registry part;  // of the configuration, as far as it makes the upstream
        uint64_t max_manifest_bytes = 0;
        uint64_t certificates = 0;
        std::shared_ptr<upstream::Upstream> upstream;
    };
    Entry make(const config::Config&, const config::Registry&) const;

    client::HttpClient& client_;
    Clock& clock_;
    Random& random_;
    const std::string state_root_;
    const std::shared_ptr<Book> book_ = std::make_shared<Book>();
    mutable std::mutex mutex_;
    std::vector<Entry> entries_;  // by config.registries; under mutex_
    size_t made_ = 0;
};

}  // namespace weir::app
