// app/reload.h: a changed configuration, while weir runs.
//
// What can change without a restart changes: upstreams, hosts and routing, freshness, limits, the
// log's level, credentials, certificates. The rest keeps the value that it has, and is told in the
// log. A configuration that is wrong changes nothing, and one that is right always takes.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

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

// What is to be in force, and of which keys it has the values of the start all the same, because
// only a restart changes them.
struct Fresh {
    std::shared_ptr<const config::Config> config;
    std::vector<std::string> kept;
    bool keeps(std::string_view key) const;
};

// Main thread only.
class Reloader {
public:
    // One part of what runs. It makes ready what a configuration means for it, touching nothing,
    // and may refuse (by throwing); what it returns puts it in force and does not fail, and tells
    // what is worth a word, or nothing. References in it outlive the Reloader.
    using Commit = std::function<std::string()>;
    using Part = std::function<Commit(const Fresh&)>;

    Reloader(ServeArguments arguments, Configuration running, std::vector<Part> parts);

    // A file that matters has changed since the last reload: the configuration, credentials,
    // certificates. Also one that the reload refused.
    bool files_changed() const { return app::files_changed(arguments_, watched_); }
    // All parts make ready, then all are put in force; when one refuses, or the file is wrong,
    // nothing changes. Never throws; the log tells what became of it. `why`: "SIGHUP".
    void reload(std::string_view why);

    // What is in force: of what only a restart changes, the values of the start.
    const config::Config& running() const { return *running_; }

private:
    void apply(const config::Config& read, std::string_view why);

    const ServeArguments arguments_;
    std::shared_ptr<const config::Config> running_;
    Configuration watched_;  // the last that could be read, in force or not
    std::vector<Part> parts_;
};

}  // namespace weir::app
