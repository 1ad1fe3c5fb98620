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

// A configuration, and what its files looked like before they were read: what changes while they
// are being read is seen as a change.
struct Configuration {
    std::shared_ptr<const config::Config> config;
    uint64_t own_stamp = 0;    // of its own file
    uint64_t files_stamp = 0;  // of the files that it names: credentials, certificates
};

// With its warnings in the log. What it names is not read yet. Failure{config_invalid}.
Configuration read_configuration(const ServeArguments&);

// Whether its file or one of those that it names is another than when it was read.
bool files_changed(const ServeArguments&, const Configuration&);

// Main thread only. References outlive it.
class Reloader {
public:
    // What a changed configuration says of the disk's bounds, collection and pins.
    using Bounds = std::function<void(const config::Config&)>;

    Reloader(ServeArguments arguments, Configuration running, Upstreams& upstreams,
             registry::Registry& registry, store::Space& space, http::Listener& listener,
             Bounds set_bounds);

    // A file that matters has changed since the last reload: the configuration, credentials,
    // certificates. Also one that the reload refused.
    bool files_changed() const { return app::files_changed(arguments_, watched_); }
    // Never throws; the log tells what became of it. `why`: "SIGHUP".
    void reload(std::string_view why);

    const config::Config& running() const { return *running_; }

private:
    void apply(std::shared_ptr<const config::Config> fresh);

    const ServeArguments arguments_;
    std::shared_ptr<const config::Config> running_;
    Configuration watched_;  // the last that could be read, in force or not
    Upstreams& upstreams_;
    registry::Registry& registry_;
    store::Space& space_;
    http::Listener& listener_;
    Bounds set_bounds_;
};

}  // namespace weir::app
