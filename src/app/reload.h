// app/reload.h: a changed configuration, while weir runs.
//
// What can change without a restart changes: upstreams, hosts and routing, freshness, limits, the
// log's level, credentials, certificates. The rest is told in the log. A configuration that is
// wrong changes nothing.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "app/upstreams.h"
#include "config/config.h"
#include "http/listener.h"
#include "registry/registry.h"
#include "store/space.h"

namespace weir::app {

struct ServeArguments {
    std::string config_path;  // empty: the defaults
    bool lenient = false;
};

// The configuration, with its warnings in the log. Failure{config_invalid}.
std::shared_ptr<const config::Config> read_configuration(const ServeArguments&);

// Main thread only. References outlive it.
class Reloader {
public:
    // What a changed configuration says of the disk's bounds, collection and pins.
    using Bounds = std::function<void(const config::Config&)>;

    Reloader(ServeArguments arguments, std::shared_ptr<const config::Config> running,
             Upstreams& upstreams, registry::Registry& registry, store::Space& space,
             http::Listener& listener, Bounds set_bounds);

    // A file that matters has changed since the last reload: the configuration, credentials,
    // certificates.
    bool files_changed() const;
    // Never throws; the log tells what became of it. `why`: "SIGHUP".
    void reload(std::string_view why);

    const config::Config& running() const { return *running_; }

private:
    void apply(std::shared_ptr<const config::Config> fresh);
    uint64_t stamp() const;

    const ServeArguments arguments_;
    std::shared_ptr<const config::Config> running_;
    Upstreams& upstreams_;
    registry::Registry& registry_;
    store::Space& space_;
    http::Listener& listener_;
    Bounds set_bounds_;
    uint64_t stamp_ = 0;
};

}  // namespace weir::app
