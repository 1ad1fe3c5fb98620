#include "config/load.h"

#include <algorithm>

#include "base/failure.h"
#include "base/named_file.h"
#include "base/text.h"
#include "config/complete.h"
#include "config/registries.h"
#include "config/routing.h"
#include "config/schema.h"

namespace weir::config {
namespace {

const Value* find_path(const Value& root, std::initializer_list<std::string_view> path) {
    const Value* at = &root;
    for (std::string_view name : path) {
        at = at->is(Value::Type::map) ? at->find(name) : nullptr;
        if (!at || at->is(Value::Type::null)) return nullptr;
    }
    return at;
}

// Where the file has an "http" section zot's defaults hold for it, so that a zot file means what it
// meant.
void zot_defaults(Config& config, const Value& root, Reading& reading) {
    if (!find_path(root, {"http"})) return;
    if (!find_path(root, {"http", "address"})) {
        config.http.address = "127.0.0.1";
        reading.add("http.address", 0, "not given: 127.0.0.1, as in zot", false);
    }
    if (!find_path(root, {"http", "port"})) {
        config.http.port = 8080;
        reading.add("http.port", 0, "not given: 8080, as in zot", false);
    }
}

// Whose upstreams: the file's, none, or the public ones where nothing is said of sync.
void choose_registries(Config& config, const Value& root) {
    const Value* sync = find_path(root, {"extensions", "sync"});
    const Value* enable = find_path(root, {"extensions", "sync", "enable"});
    if (!sync) {
        config.registries = public_registries();
    } else if (enable && !weak_flag(*enable).value_or(true)) {
        config.registries.clear();
    }
}

void check_routing(const Config& config, Reading& reading) {
    for (const auto& [name, destination] : config.hosts) {
        const std::string_view bare = std::string_view(name).substr(name.starts_with("*.") ? 2 : 0);
        if (bare.find_first_of("*/ ") == std::string_view::npos && !bare.empty()) continue;
        reading.add("weir.hosts." + name, 0,
                    "expected a host name, \"*.\" and a host name, or \"default\"", true);
    }
    if (reading.failed()) return;
    try {
        (void)Routing::build(std::make_shared<const Config>(config));
    } catch (const Failure& failure) {
        const std::string what = failure.what();
        const size_t colon = what.find(": ");
        reading.add(what.substr(0, colon), 0, what.substr(std::min(colon + 2, what.size())), true);
    }
}

void read_tree(Report& report, const Value& root, LoadOptions options,
               const Environment& environment) {
    Reading reading(options);
    Config config;
    config.path = report.path;
    zot_defaults(config, root, reading);
    if (root.is(Value::Type::map)) reading.object(file_shape(), &config, root);
    if (!root.is(Value::Type::map)) {
        reading.error(root.line, fmt::format("expected an object, got {}", describe(root)));
    } else if (reading.recognised == 0) {
        reading.add("", 0, "failed to load config due to the absence of any key:value pair", true);
    }
    choose_registries(config, root);
    complete_from_environment(config, environment);
    complete_registries(config, find_path(root, {"weir", "upstreams"}), environment, reading);
    check_values(config, reading);
    check_routing(config, reading);
    const bool failed = reading.failed();
    report.keys = std::move(reading.keys);
    report.problems = std::move(reading.problems);
    if (!failed) report.config = std::move(config);
}

}  // namespace

std::string Problem::text(std::string_view file) const {
    std::string out(file);
    if (line) out += fmt::format(":{}", line);
    if (!path.empty()) out += (out.empty() ? "" : ": ") + path;
    if (!out.empty()) out += ": ";
    return out + what;
}

Report inspect_text(const std::string& path, std::string_view text, LoadOptions options,
                    const Environment& environment) {
    Report report;
    report.path = path;
    if (text.size() > kMaxFileBytes) {
        report.problems.push_back(
            {"", fmt::format("larger than {}", show_bytes(kMaxFileBytes)), 0, true});
        return report;
    }
    auto root = parse_file(path, text);
    if (!root) {
        const ParseError& error = root.error();
        std::string what = error.what;
        if (error.column) what += fmt::format(" (column {})", error.column);
        report.problems.push_back({"", std::move(what), error.line, true});
        return report;
    }
    mark_secrets(*root);
    read_tree(report, *root, options, environment);
    return report;
}

Report inspect(const std::string& path, LoadOptions options, const Environment& environment) {
    Report report;
    report.path = path;
    try {
        auto text = read_named_file(path, kMaxFileBytes);
        if (text) return inspect_text(path, *text, options, environment);
        report.problems.push_back({"", "there is no such file", 0, true});
    } catch (const Failure& failure) {
        report.problems.push_back({"", failure.what(), 0, true});
    }
    return report;
}

std::shared_ptr<const Config> load(const std::string& path, LoadOptions options,
                                   const Environment& environment,
                                   std::vector<std::string>& warnings) {
    Report report = inspect(path, options, environment);
    std::string errors;
    for (const Problem& problem : report.problems) {
        if (!problem.error) {
            warnings.push_back(problem.text(path));
            continue;
        }
        if (!errors.empty()) errors += '\n';
        errors += problem.text(path);
    }
    if (!report.ok()) throw Failure(Kind::config_invalid, errors);
    return std::make_shared<const Config>(std::move(*report.config));
}

}  // namespace weir::config
