#include "app/reload.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "app/certificates.h"
#include "app/wire.h"
#include "base/failure.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "config/credentials.h"
#include "config/load.h"

namespace weir::app {

std::shared_ptr<const config::Config> read_configuration(const ServeArguments& arguments) {
    const auto environment = config::Environment::system();
    if (arguments.config_path.empty())
        return std::make_shared<const config::Config>(config::defaults(environment));
    std::vector<std::string> warnings;
    auto config =
        config::load(arguments.config_path, {.lenient = arguments.lenient}, environment, warnings);
    for (const std::string& warning : warnings) log::warn("config", "{}", warning);
    return config;
}

Reloader::Reloader(ServeArguments arguments, std::shared_ptr<const config::Config> running,
                   Upstreams& upstreams, registry::Registry& registry, store::Space& space,
                   http::Listener& listener, Bounds set_bounds)
    : arguments_(std::move(arguments)),
      running_(std::move(running)),
      upstreams_(upstreams),
      registry_(registry),
      space_(space),
      listener_(listener),
      set_bounds_(std::move(set_bounds)) {
    stamp_ = stamp();
}

uint64_t Reloader::stamp() const {
    uint64_t sum = file_stamp(arguments_.config_path);
    const auto add = [&sum](uint64_t part) { sum = sum * 0x9e3779b97f4a7c15ull + part; };
    add(config::Credentials::stamp(*running_));
    if (const auto& tls = running_->http.tls)
        for (const std::string& path : {tls->cert, tls->key, tls->cacert}) add(file_stamp(path));
    for (const config::Registry& registry : running_->registries)
        add(directory_stamp(registry.cert_dir));
    return sum;
}

bool Reloader::files_changed() const {
    return stamp() != stamp_;
}

void Reloader::apply(std::shared_ptr<const config::Config> fresh) {
    // What can refuse comes first.
    auto targets = upstreams_.apply(fresh);
    if (const auto tls = tls_files(*fresh); tls && running_->http.tls) listener_.reload_tls(*tls);
    registry_.set_targets(std::move(targets));
    listener_.set_limits(http_limits(*fresh));
    space_.set_limits(space_limits(*fresh, posix_files().space(running_->storage.root_directory)));
    set_bounds_(*fresh);
    log::set_level(fresh->log.threshold());
    const auto kept = config::needs_restart(*running_, *fresh);
    if (!kept.empty())
        log::warn("config", "these keys have changed and need a restart: {}",
                  fmt::join(kept, ", "));
    running_ = std::move(fresh);
}

void Reloader::reload(std::string_view why) {
    try {
        apply(read_configuration(arguments_));
        log::info("config", "reloaded ({}); {} of {} upstreams made anew", why, upstreams_.made(),
                  running_->registries.size());
    } catch (const std::exception& error) {
        for (const std::string_view line : split(error.what(), '\n'))
            log::error("config", "{}", line);
        log::error("config", "not reloaded ({}): weir goes on with the configuration it has", why);
    }
    stamp_ = stamp();
}

}  // namespace weir::app
