#include "app/server.h"

#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <climits>
#include <functional>
#include <utility>

#include "app/durable_tier.h"
#include "app/process.h"
#include "app/reload_parts.h"
#include "app/signals.h"
#include "app/which_config.h"
#include "app/wire.h"
#include "app/wire_tiers.h"
#include "base/calendar.h"
#include "base/failure.h"
#include "base/log.h"

namespace weir::app {
namespace {

constexpr const char* kRoom = "app";

void open_log(const config::Config& config) {
    log::open(config.log.threshold(), access_format(config), config.log.output);
    log::open_access(config.log.access_output);
}

std::vector<Loop*> all(LoopGroup& loops) {
    std::vector<Loop*> list;
    for (size_t i = 0; i < loops.size(); ++i) list.push_back(&loops[i]);
    return list;
}

// However serve() is left, what was started ends in order: cache, durable tier, transfers, threads.
class Ending {
public:
    Ending(LoopGroup& loops, cache::Cache& cache, DurableTier& durable, client::CurlClient& client)
        : loops_(loops), cache_(cache), durable_(durable), client_(client) {}
    ~Ending() { end(); }
    Ending(const Ending&) = delete;
    Ending& operator=(const Ending&) = delete;

    void start_loops() {
        loops_.start();
        running_ = true;
    }

    // On a loop. Nothing of the cache runs afterwards.
    Task<> stop_work() {
        stopped_ = true;
        co_await cache_.stop();
        co_await durable_.stop();
    }

    // The loops stand still afterwards. May be called again.
    void end() {
        if (!running_ && !stopped_) start_loops();
        if (!stopped_) {
            Scope scope("a start that failed");
            scope.spawn(loops_[0], [this] { return stop_work(); });
            while (scope.running() > 0) std::this_thread::yield();
        }
        client_.shutdown();
        loops_.stop();
        loops_.join();
    }

private:
    LoopGroup& loops_;
    cache::Cache& cache_;
    DurableTier& durable_;
    client::CurlClient& client_;
    bool running_ = false, stopped_ = false;
};

// Runs `work` on a loop and waits for its end; false when a signal to terminate came first.
bool run_on(Loop& loop, Scope& scope, Signals& signals, std::function<Task<>()> work) {
    scope.spawn(loop, [&signals, work = std::move(work)]() -> Task<> {
        co_await work();
        signals.notify_done();
    });
    for (;;) {
        const Wake wake = signals.wait();
        if (wake == Wake::terminate) return false;
        if (wake == Wake::done) break;
    }
    while (scope.running() > 0) std::this_thread::yield();  // its last instructions
    return true;
}

std::string upstream_names(const config::Config& config) {
    std::vector<std::string> names;
    for (const auto& registry : config.registries)
        if (registry.on_demand) names.push_back(registry.name);
    return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

void announce(const config::Config& config, const registry::Targets& targets, uint16_t port) {
    const bool tls = config.http.tls.has_value();
    const bool any = config.http.address == "0.0.0.0" || config.http.address == "::";
    const std::string host = any ? "localhost" : config.http.address;
    log::info(kRoom, "weir {} serves on {}://{}:{}, state in {}, configuration: {}, upstreams: {}",
              kVersion, tls ? "https" : "http", config.http.address, port,
              config.storage.root_directory, config_name(config.path), upstream_names(config));
    const auto names = targets.routing().names();
    if (names.empty()) return;
    const bool hub = std::ranges::find(names, "docker.io") != names.end();
    log::info(kRoom, "to try it: podman pull {}{}:{}/{}/{}", tls ? "" : "--tls-verify=false ", host,
              port, hub ? "docker.io" : names.front(), hub ? "library/alpine" : "<repository>");
}

// Who starts weir without a file has read nothing yet.
void introduce(const config::Config& config, uint16_t port) {
    if (!config.path.empty()) return;
    char name[HOST_NAME_MAX + 1] = "this-machine";
    gethostname(name, sizeof name - 1);
    log::info(kRoom,
              "no configuration: what is fetched is kept in {}; another place is "
              "storage.rootDirectory of a file (weir serve FILE, or {}/weir.yaml)",
              config.storage.root_directory, kConfigDirectory);
    log::info(kRoom,
              "this is plain HTTP, for everybody who reaches port {}: pulls are not "
              "encrypted (http.tls), and nobody is asked who they are",
              port);
    log::info(kRoom,
              "from another machine: podman pull --tls-verify=false "
              "{0}:{1}/docker.io/library/alpine; docker and containerd: {0}:{1} as a mirror "
              "of docker.io (README.md)",
              name, port);
}

void wait_for_the_end(Signals& signals, Reloader& reloader) {
    for (;;) {
        const config::Config& config = reloader.running();
        const Wake wake = signals.wait(config.reload_watch ? config.reload_interval : Duration());
        if (wake == Wake::terminate) return;
        if (wake == Wake::hangup) {
            log::reopen();
            reloader.reload("SIGHUP");
        } else if (wake == Wake::timeout && reloader.files_changed()) {
            reloader.reload("a file has changed");
        }
    }
}

}  // namespace

int serve(const ServeArguments& arguments) {
    Signals signals;
    const Configuration read = read_configuration(arguments);
    const auto& config = read.config;
    open_log(*config);
    const size_t file_limit = prepare_process();
    require_files(file_limit, loop_count(*config) + config->threads.transfers);
    const StateRoot root(config->storage.root_directory);

    LoopGroup loops(loop_count(*config));
    ThreadPool pool("pool", config->threads.pool);
    SteadyCalendar calendar(system_clock());
    auto for_metadata = metadata_options(*config);
    for_metadata.clock = &calendar;
    const auto metadata = meta::open_sqlite(std::move(for_metadata));
    const auto store = store::open_disk_store(store_options(*config), posix_files(), pool);
    const auto disk = [&root] { return posix_files().space(root.path()); };
    const auto usage = metadata->usage();
    const auto tiers = metadata->tier_usage();
    store::Space space(space_limits(*config, disk()), tiers.disk_bytes + usage.staging_bytes, disk);
    client::CurlClient client(client_options(*config));
    DurableTier durable(*config, client, pool);
    Upstreams upstreams(client, system_clock(), system_random(), root.path());
    const auto targets = upstreams.apply(config);
    cache::Cache cache(cache_options(*config), &loops, *metadata, *store, space, pool, calendar,
                       system_random());
    Ending ending(loops, cache, durable, client);
    metadata->set_configured_pins(configured_pins(*config));
    const auto options = cache_options(*config);
    registry::Registry registry(
        access_format(*config), all(loops), cache, targets,
        cache::split_memory(options.memory_bytes, options.manifest_memory_bytes).memos);
    status::Status front(status_options(*config), registry, pool);
    http::Listener listener(listener_options(*config), loops, pool, front);
    front.set_sources({.cache = &cache,
                       .upstreams = [&] { return upstreams.status(); },
                       .used_bytes = [&] { return space.used() + space.reserved(); },
                       .degraded =
                           [&] {
                               const bool silent = durable.remote() && !durable.remote()->usable();
                               return std::string(silent ? "s3 gives no answer" : "");
                           }});

    cache.start_tiers({.upkeep = metadata.get(),
                       .remote = durable.remote(),
                       .eviction = eviction_options(*config, disk()),
                       .collector = collector_options(*config),
                       .upload_slots = config->s3.uploads,
                       .admit_min_bytes = config->cache.admission_min_bytes,
                       .file_system = disk});
    ending.start_loops();
    listener.start();
    front.set_phase(status::Phase::ready);
    log::debug(kRoom, "{} loops, {} open files at most", loops.size(), file_limit);
    announce(*config, *targets, listener.port());
    introduce(*config, listener.port());
    write_ready_file(listener.port());

    Reloader reloader(arguments, read,
                      {reload_log(), reload_upstreams(upstreams, registry), reload_http(listener),
                       reload_bounds(cache, *metadata, space, disk)});
    wait_for_the_end(signals, reloader);

    front.set_phase(status::Phase::draining);
    const Duration patience = reloader.running().timeouts.drain;
    log::info(kRoom, "ending: running transfers have {} s; a second signal ends at once",
              std::chrono::duration_cast<std::chrono::seconds>(patience).count());
    Scope last("the end");
    const bool orderly = run_on(loops[0], last, signals, [&]() -> Task<> {
        const size_t cut = co_await listener.drain(loops[0].now() + patience);
        if (cut > 0) log::warn(kRoom, "{} connections were cut", cut);
        co_await ending.stop_work();
    });
    if (!orderly) {
        // What is stored is safe at any moment; that is what crashes are tested for.
        log::warn(kRoom, "ended at once by a second signal");
        registry.flush();
        log::flush();
        std::_Exit(1);
    }
    ending.end();
    registry.flush();
    log::info(kRoom, "ended");
    log::flush();
    return 0;
}

}  // namespace weir::app
