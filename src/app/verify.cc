#include "app/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <ostream>

#include "base/failure.h"
#include "config/credentials.h"
#include "config/load.h"
#include "config/mapping.h"
#include "config/routing.h"

namespace weir::app {
namespace {

namespace json = boost::json;

const char* status_name(config::Status status) {
    switch (status) {
        case config::Status::honoured:
            return "honoured";
        case config::Status::no_effect:
            return "no effect";
        case config::Status::unsupported:
            return "not supported yet";
    }
    return "honoured";
}

// What stands in other files is part of what would be loaded at the start.
void check_credentials(config::Report& report) {
    if (!report.ok()) return;
    try {
        const auto credentials = config::Credentials::load(*report.config);
        for (const std::string& warning : credentials.warnings())
            report.problems.push_back({"", warning, 0, false});
    } catch (const Failure& failure) {
        report.problems.push_back({"", failure.what(), 0, true});
        report.config.reset();
    }
}

std::vector<std::string> destinations(const config::Registry& registry) {
    std::vector<std::string> all;
    const config::Mapping mapping(registry.content);
    for (std::string_view destination : mapping.destinations())
        all.push_back("/" + std::string(destination));
    return all;
}

void print_keys(const config::Report& report, std::ostream& out) {
    size_t width = 0;
    for (const config::KeyReport& key : report.keys) width = std::max(width, key.path.size());
    for (const config::KeyReport& key : report.keys) {
        const std::string note = key.note.empty() ? "" : ": " + key.note;
        out << fmt::format("{:<{}}  {}{}\n", key.path, width, status_name(key.status), note);
    }
}

void print_upstreams(const config::Config& config, std::ostream& out) {
    const auto routing = config::Routing::build(std::make_shared<const config::Config>(config));
    out << fmt::format("\nlistens on {}:{}{}, keeps its state in {}\n", config.http.address,
                       config.http.port, config.http.tls ? " with TLS" : "",
                       config.storage.root_directory);
    for (const config::Registry& registry : config.registries) {
        out << fmt::format("upstream {} ({}) at {}{}\n", registry.name,
                           fmt::join(registry.urls, ", "), fmt::join(destinations(registry), ", "),
                           registry.on_demand ? "" : ", not asked on demand");
    }
    out << fmt::format("registry names that are served: {}\n", fmt::join(routing.names(), ", "));
}

void print_text(const config::Report& report, std::ostream& out) {
    print_keys(report, out);
    for (const bool errors : {false, true}) {
        for (const config::Problem& problem : report.problems) {
            if (problem.error != errors) continue;
            out << (errors ? "error: " : "warning: ") << problem.text(report.path) << '\n';
        }
    }
    if (report.ok()) print_upstreams(*report.config, out);
    out << (report.ok() ? "ok\n" : "refused\n");
}

json::array problems_of(const config::Report& report, bool errors) {
    json::array list;
    for (const config::Problem& problem : report.problems) {
        if (problem.error != errors) continue;
        list.push_back({{"path", problem.path}, {"line", problem.line}, {"what", problem.what}});
    }
    return list;
}

json::array texts(const std::vector<std::string>& list) {
    return json::array(list.begin(), list.end());
}

void print_json(const config::Report& report, std::ostream& out) {
    json::array keys;
    for (const config::KeyReport& key : report.keys) {
        keys.push_back(
            {{"path", key.path}, {"status", status_name(key.status)}, {"note", key.note}});
    }
    json::object root{{"file", report.path},
                      {"ok", report.ok()},
                      {"keys", std::move(keys)},
                      {"warnings", problems_of(report, false)},
                      {"errors", problems_of(report, true)}};
    if (report.ok()) {
        const auto config = std::make_shared<const config::Config>(*report.config);
        json::array upstreams;
        for (const config::Registry& registry : config->registries) {
            upstreams.push_back({{"name", registry.name},
                                 {"urls", texts(registry.urls)},
                                 {"onDemand", registry.on_demand},
                                 {"destinations", texts(destinations(registry))}});
        }
        root["names"] = texts(config::Routing::build(config).names());
        root["upstreams"] = std::move(upstreams);
    }
    out << json::serialize(root) << '\n';
}

}  // namespace

int verify(const std::string& path, bool lenient, bool as_json, std::ostream& out) {
    config::Report report =
        config::inspect(path, {.lenient = lenient}, config::Environment::system());
    check_credentials(report);
    if (as_json) {
        print_json(report, out);
    } else {
        print_text(report, out);
    }
    return report.ok() ? 0 : 1;
}

}  // namespace weir::app
