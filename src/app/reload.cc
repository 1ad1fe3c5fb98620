#include "app/reload.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "app/certificates.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "config/credentials.h"
#include "config/load.h"

namespace weir::app {

namespace {

uint64_t stamp_of_files(const config::Config& config) {
    uint64_t sum = 0;
    const auto add = [&sum](uint64_t part) { sum = sum * 0x9e3779b97f4a7c15ull + part; };
    add(config::Credentials::stamp(config));
    if (const auto& tls = config.http.tls)
        for (const std::string& path : {tls->cert, tls->key, tls->cacert}) add(file_stamp(path));
    for (const config::Registry& registry : config.registries)
        add(directory_stamp(registry.cert_dir));
    return sum;
}

}  // namespace

Configuration read_configuration(const ServeArguments& arguments) {
    const auto environment = config::Environment::system();
    Configuration read;
    if (arguments.config_path.empty()) {
        read.config = std::make_shared<const config::Config>(config::defaults(environment));
    } else {
        read.own_stamp = file_stamp(arguments.config_path);
        std::vector<std::string> warnings;
        read.config = config::load(arguments.config_path, {.lenient = arguments.lenient},
                                   environment, warnings);
        for (const std::string& warning : warnings) log::warn("config", "{}", warning);
    }
    read.files_stamp = stamp_of_files(*read.config);
    return read;
}

bool files_changed(const ServeArguments& arguments, const Configuration& read) {
    return file_stamp(arguments.config_path) != read.own_stamp ||
           stamp_of_files(*read.config) != read.files_stamp;
}

bool Fresh::keeps(std::string_view key) const {
    return std::ranges::find(kept, key) != kept.end();
}

Reloader::Reloader(ServeArguments arguments, Configuration running, std::vector<Part> parts)
    : arguments_(std::move(arguments)),
      running_(running.config),
      watched_(std::move(running)),
      parts_(std::move(parts)) {}

void Reloader::apply(const config::Config& read, std::string_view why) {
    auto reloaded = config::keep_until_restart(*running_, read);
    const Fresh fresh{std::make_shared<const config::Config>(std::move(reloaded.config)),
                      std::move(reloaded.kept)};
    std::vector<Commit> commits;
    for (const Part& part : parts_) commits.push_back(part(fresh));

    // From here on nothing fails.
    std::string told;
    for (const Commit& commit : commits)
        if (const std::string text = commit(); !text.empty()) told += "; " + text;
    running_ = fresh.config;
    if (!fresh.kept.empty())
        log::warn("config", "these keys have changed and need a restart: {}",
                  fmt::join(fresh.kept, ", "));
    log::info("config", "reloaded ({}){}", why, told);
}

void Reloader::reload(std::string_view why) {
    Configuration seen{watched_.config, file_stamp(arguments_.config_path),
                       stamp_of_files(*watched_.config)};
    try {
        seen = read_configuration(arguments_);
        apply(*seen.config, why);
    } catch (const std::exception& error) {
        for (const std::string_view line : split(error.what(), '\n'))
            log::error("config", "{}", line);
        log::error("config", "not reloaded ({}): weir goes on with the configuration it has", why);
    }
    watched_ = std::move(seen);
}

}  // namespace weir::app
