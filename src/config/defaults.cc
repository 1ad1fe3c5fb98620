// What holds where the file, or nobody, says anything.
#include <ifaddrs.h>
#include <netdb.h>
#include <unistd.h>

#include <cstdlib>

#include "base/text.h"
#include "config/complete.h"
#include "config/names.h"
#include "config/registries.h"

namespace weir::config {
namespace {

std::vector<std::string> local_addresses() {
    std::vector<std::string> addresses;
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return addresses;
    for (const ifaddrs* each = list; each; each = each->ifa_next) {
        if (!each->ifa_addr) continue;
        const int family = each->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6) continue;
        char text[NI_MAXHOST];
        const socklen_t length = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
        if (getnameinfo(each->ifa_addr, length, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) ==
            0) {
            addresses.emplace_back(text);
        }
    }
    freeifaddrs(list);
    return addresses;
}

std::string variable(const Environment& environment, const char* name) {
    return environment.variable ? environment.variable(name).value_or("") : "";
}

std::string state_directory(const Environment& environment) {
    if (auto state = variable(environment, "XDG_STATE_HOME"); !state.empty())
        return state + "/weir";
    if (environment.root) return "/var/lib/weir";
    if (auto home = variable(environment, "HOME"); !home.empty())
        return home + "/.local/state/weir";
    return "/var/lib/weir";
}

}  // namespace

Environment Environment::system() {
    Environment environment;
    environment.variable = [](const char* name) -> std::optional<std::string> {
        const char* value = std::getenv(name);
        if (!value) return {};
        return std::string(value);
    };
    environment.root = geteuid() == 0;
    char name[256] = {};
    if (gethostname(name, sizeof(name) - 1) == 0) environment.host_name = name;
    environment.addresses = local_addresses();
    return environment;
}

std::vector<std::string> docker_config_files(const Environment& environment) {
    std::vector<std::string> files;
    const std::string home = variable(environment, "HOME");
    const auto add = [&files](const std::string& directory, const char* file) {
        if (!directory.empty()) files.push_back(directory + file);
    };
    add(variable(environment, "REGISTRY_AUTH_FILE"), "");
    const std::string docker = variable(environment, "DOCKER_CONFIG");
    add(docker.empty() && !home.empty() ? home + "/.docker" : docker, "/config.json");
    add(variable(environment, "XDG_RUNTIME_DIR"), "/containers/auth.json");
    const std::string xdg = variable(environment, "XDG_CONFIG_HOME");
    add(xdg.empty() && !home.empty() ? home + "/.config" : xdg, "/containers/auth.json");
    return files;
}

void complete_from_environment(Config& config, const Environment& environment) {
    if (config.storage.root_directory.empty())
        config.storage.root_directory = state_directory(environment);
    config.docker_config_files = docker_config_files(environment);
    for (std::string& name : config.own_names) name = parse_host_port(name).host;
    if (!environment.host_name.empty())
        config.own_names.push_back(ascii_lower(environment.host_name));
    if (auto url = parse_url(config.http.external_url)) config.own_names.push_back(url->host.host);
}

Config defaults(const Environment& environment) {
    Config config;
    config.registries = public_registries();
    complete_from_environment(config, environment);
    Reading reading{LoadOptions{}};
    complete_registries(config, nullptr, environment, reading);
    return config;
}

}  // namespace weir::config
