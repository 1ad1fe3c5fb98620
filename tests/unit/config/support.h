// tests/unit/config/support.h: a machine that is always the same, and short ways to a Config.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "config/load.h"
#include "config/routing.h"

namespace weir::config {

inline Environment quiet_machine(std::map<std::string, std::string> variables = {
                                     {"HOME", "/home/u"}}) {
    Environment environment;
    environment.variable = [variables](const char* name) -> std::optional<std::string> {
        auto found = variables.find(name);
        if (found == variables.end()) return {};
        return found->second;
    };
    environment.host_name = "Cache1";
    environment.addresses = {"192.0.2.7"};
    return environment;
}

inline Report read(const std::string& text, const std::string& name = "c.json",
                   bool lenient = false) {
    return inspect_text(name, text, {.lenient = lenient}, quiet_machine());
}

// All problems of a kind, one a line.
inline std::string problems(const Report& report, bool errors = true) {
    std::string out;
    for (const Problem& problem : report.problems) {
        if (problem.error == errors) out += problem.text("") + "\n";
    }
    return out;
}

inline Config read_good(const std::string& text, const std::string& name = "c.json") {
    Report report = read(text, name);
    EXPECT_TRUE(report.ok()) << problems(report);
    return report.config.value_or(Config());
}

inline std::string only_error(const std::string& text, const std::string& name = "c.json") {
    Report report = read(text, name);
    EXPECT_FALSE(report.ok());
    return problems(report);
}

// {"extensions": {"sync": {"registries": [...]}}} and, if given, more top-level keys.
inline std::string with_registries(const std::string& registries, const std::string& more = "") {
    return R"({"extensions": {"sync": {"registries": [)" + registries + "]}}" +
           (more.empty() ? "" : ", " + more) + "}";
}

// One on-demand registry.
inline std::string registry_of(const std::string& url, const std::string& content = "") {
    return R"({"urls": [")" + url + R"("], "onDemand": true)" +
           (content.empty() ? "" : R"(, "content": [)" + content + "]") + "}";
}

// "repository <- name:upstream name[, ...] by via", or "not found".
inline std::string outcome(const Config& config, const Resolution& resolution) {
    if (!resolution) return "not found";
    std::string out = resolution.route->repository + " <-";
    for (const Candidate& candidate : resolution.route->candidates) {
        out += " " + config.registries[candidate.registry].name + ":" + candidate.repository;
    }
    return out + " by " + via_name(resolution.route->via);
}

// The tree of seed.txt: two upstreams with destinations, Docker Hub from a regional mirror.
inline const char* const kSeed = R"({
    "http": {"address": "0.0.0.0", "port": "8187", "compat": ["docker2s2"]},
    "log": {"level": "debug"},
    "extensions": {
        "sync": {
            "enable": true,
            "credentialsFile": "/etc/zot/config/sync-auth.json",
            "registries": [
                {"urls": ["https://mirror.ccs.tencentyun.com"],
                 "content": [{"prefix": "**", "destination": "/docker-images"}],
                 "onDemand": true, "tlsVerify": true, "maxRetries": 3, "retryDelay": "30s", "preserveDigest": true},
                {"urls": ["https://ghcr.io"],
                 "content": [{"prefix": "**", "destination": "/ghcr-images"}],
                 "onDemand": true, "tlsVerify": true, "maxRetries": 6, "retryDelay": "1m", "preserveDigest": true}
            ],
            "downloadDir": "/var/lib/zot/download/"
        }
    }%s
})";
inline std::string seed(const std::string& weir = "") {
    std::string text = kSeed;
    return text.replace(text.find("%s"), 2, weir.empty() ? "" : R"(, "weir": )" + weir);
}

}  // namespace weir::config
