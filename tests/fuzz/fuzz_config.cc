// A configuration file: whatever it holds, it is a Config that routes, or problems in words;
// nothing is thrown.
#include <algorithm>

#include "base/failure.h"
#include "base/glob.h"
#include "config/credentials.h"
#include "config/load.h"
#include "config/mapping.h"
#include "config/routing.h"
#include "fuzz/input.h"

using weir::check;
using namespace weir::config;

namespace {

// Nothing of this machine, so that an input always does the same.
const Environment& nowhere() {
    static const Environment environment{
        .variable = [](const char*) { return std::optional<std::string>(); },
        .root = false,
        .host_name = "cache1",
        .addresses = {"192.0.2.7"}};
    return environment;
}

void routes(const Config& config) {
    const auto routing = Routing::build(std::make_shared<const Config>(config));
    std::vector<std::string> hosts = routing.names();
    hosts.insert(hosts.end(), {"", "docker.io", "169.254.169.254", "cache1:5000"});
    for (const std::string& name : hosts) {
        for (const char* repository : {"debian", "library/debian", "ghcr.io/acme/x", "a/b/c"}) {
            for (const auto& [host, ns] : {std::pair(name, std::string()), {"cache1", name}}) {
                const auto resolution = routing.resolve({host, ns, repository});
                check(resolution.route.has_value() == resolution.unknown.empty(),
                      "a route, or a reason");
                if (!resolution) continue;
                check(!resolution.route->candidates.empty(), "a route leads somewhere");
                for (const Candidate& candidate : resolution.route->candidates) {
                    check(candidate.registry < config.registries.size(), "to a registry");
                    check(config.registries[candidate.registry].on_demand, "that is asked");
                    check(!candidate.repository.empty(), "for a repository");
                }
            }
        }
    }
}

void patterns(std::string_view text) {
    const auto [literal, special] = weir::split_glob(text);
    check(literal.size() + special.size() <= text.size(), "a pattern is split, not grown");
    if (auto glob = weir::Glob::parse(text)) (void)glob->matches("acme/tools/ctl");
    Content content;
    content.prefix = text.substr(0, 200);
    content.destination = "/d";
    for (const bool strip : {false, true}) {
        content.strip_prefix = strip;
        const Mapping mapping({content});
        (void)mapping.upstream("d/acme/tools");
        (void)mapping.local("acme/tools");
    }
}

template <class F>
void refuses_or_reads(F read) {
    try {
        read();
    } catch (const weir::Failure& failure) {
        check(failure.kind() == weir::Kind::config_invalid, "what is refused is the file");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto text = weir::fuzz::text_of(data, size);
    patterns(text.substr(0, 2048));
    for (const char* name : {"c.json", "c.yaml"}) {
        for (const bool lenient : {false, true}) {
            const Report report = inspect_text(name, text, {.lenient = lenient}, nowhere());
            check(report.ok() != std::ranges::any_of(report.problems, &Problem::error),
                  "a configuration, or what is wrong with it");
            if (report.ok()) routes(*report.config);
        }
    }
    refuses_or_reads([&] { (void)parse_zot_credentials(text, "auth.json"); });
    refuses_or_reads([&] { (void)parse_docker_config(text, "config.json"); });
    return 0;
}
