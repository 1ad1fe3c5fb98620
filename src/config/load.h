// config/load.h: from a file, or from nothing, to a Config.
//
// Reads what zot reads, as zot reads it: keys without regard to case, weak types, Go durations,
// JSON or YAML by the file's extension. Everything that is wrong is found in one go and reported
// with its path in the tree. Touches nothing but the file itself, so that `weir verify` can be run
// anywhere. Any thread; blocks on the file.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace weir::config {

// What the process's surroundings say; injected so that tests need none.
struct Environment {
    std::function<std::optional<std::string>(const char*)> variable;
    bool root = false;
    std::string host_name;
    std::vector<std::string> addresses;  // of this machine, for finding URLs that are weir itself
    static Environment system();
};

enum class Status {
    honoured,
    no_effect,    // nothing to do here, and why
    unsupported,  // not yet
};

// One key that the file has, and what weir makes of it.
struct KeyReport {
    std::string path;  // "extensions.sync.registries[0].urls", as the schema spells it
    Status status = Status::honoured;
    std::string note;
};

struct Problem {
    std::string path;   // may be empty: the whole file
    std::string what;   // with a hint
    uint32_t line = 0;  // 0: not known
    bool error = true;  // false: a warning
    // "config.json:12: extensions.sync.registries[0].urlz: unknown key; did you mean \"urls\"?"
    std::string text(std::string_view file) const;
};

struct Report {
    std::string path;
    std::optional<Config> config;  // absent when there are errors
    std::vector<KeyReport> keys;
    std::vector<Problem> problems;
    bool ok() const { return config.has_value(); }
};

// `lenient`: what can be passed over (unknown keys, keys whose missing support is not safe to
// ignore) is a warning.
struct LoadOptions {
    bool lenient = false;
};

// No file: port 5000, the public registries, state under $XDG_STATE_HOME/weir, or /var/lib/weir as
// root.
Config defaults(const Environment&);

// Never throws for what the file holds.
Report inspect(const std::string& path, LoadOptions, const Environment&);
// The same of text; `path` names it in messages and its extension gives the format.
Report inspect_text(const std::string& path, std::string_view text, LoadOptions,
                    const Environment&);

// As inspect(); Failure{config_invalid} with the errors, one a line, if there are any. Warnings go
// to `warnings`.
std::shared_ptr<const Config> load(const std::string& path, LoadOptions, const Environment&,
                                   std::vector<std::string>& warnings);

}  // namespace weir::config
