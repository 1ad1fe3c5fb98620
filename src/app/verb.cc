#include "app/verb.h"

#include <fmt/format.h>
#include <unistd.h>

#include <future>

#include "app/durable_tier.h"
#include "app/reload.h"
#include "app/upstreams.h"
#include "app/which_config.h"
#include "app/wire.h"
#include "app/wire_tiers.h"
#include "base/failure.h"
#include "base/log.h"
#include "client/curl_client.h"

namespace weir::app {
namespace {

constexpr size_t kPoolThreads = 4;

std::shared_ptr<const config::Config> read(const VerbArguments& arguments) {
    // The verb's answer goes to standard output, what it has to say besides to standard error.
    log::open(log::Level::warn, log::Format::text, "");
    auto config =
        read_configuration({.config_path = arguments.config_path, .lenient = arguments.lenient})
            .config;
    // Which one is easily another than was meant: the user's own instead of the server's.
    if (!arguments.json)
        fmt::print(stderr, "store: {}, configuration: {}\n", config->storage.root_directory,
                   config_name(arguments.config_path));
    return config;
}

}  // namespace

struct Workbench::Parts {
    explicit Parts(const VerbArguments& arguments)
        : config(read(arguments)), loops(1), pool("pool", kPoolThreads) {
        loops.start();
    }

    ~Parts() {
        // Renewals of credentials end once their requests are cancelled.
        if (client) client->shutdown();
        if (durable) run([this] { return durable->stop(); });
        while (scope.running() > 0) std::this_thread::yield();
        loops.stop();
        loops.join();
    }

    client::CurlClient& http() {
        if (!client) client = std::make_unique<client::CurlClient>(client_options(*config));
        return *client;
    }

    void run(std::function<Task<>()> work) {
        auto promise = std::make_shared<std::promise<void>>();
        auto done = promise->get_future();
        scope.spawn(loops[0], [promise, work = std::move(work)]() -> Task<> {
            try {
                co_await work();
                promise->set_value();
            } catch (...) {
                promise->set_exception(std::current_exception());
            }
        });
        done.get();
    }

    std::shared_ptr<const config::Config> config;
    LoopGroup loops;
    ThreadPool pool;
    Scope scope{"verb"};
    std::unique_ptr<client::CurlClient> client;
    std::unique_ptr<DurableTier> durable;
    std::unique_ptr<meta::Engine> engine;
    std::unique_ptr<store::Store> store;
    std::unique_ptr<Upstreams> upstreams;
    std::optional<Rooms> rooms;
};

Workbench::Workbench(const VerbArguments& arguments) : parts_(std::make_unique<Parts>(arguments)) {}

Workbench::~Workbench() = default;

const config::Config& Workbench::config() const {
    return *parts_->config;
}

std::string Workbench::database_path() const {
    return metadata_options(config()).path;
}

meta::Engine& Workbench::engine() {
    if (!parts_->engine && access(database_path().c_str(), F_OK) != 0)
        throw Failure(Kind::config_invalid,
                      fmt::format("there is no database at {}: nothing was stored with this "
                                  "configuration (`weir rebuild` makes one from the objects)",
                                  database_path()));
    return new_engine();
}

meta::Engine& Workbench::new_engine() {
    if (!parts_->engine) {
        parts_->engine = meta::open_sqlite(metadata_options(config()));
        parts_->engine->enable_uploads(has_s3(config()));
    }
    return *parts_->engine;
}

Rooms& Workbench::rooms() {
    if (!parts_->rooms) {
        meta::Engine& database = engine();
        if (has_s3(config()))
            parts_->durable = std::make_unique<DurableTier>(config(), parts_->http(), parts_->pool);
        parts_->store =
            store::open_disk_store(store_options(config()), posix_files(), parts_->pool);
        parts_->rooms.emplace(
            Rooms{database, *parts_->store, parts_->durable ? parts_->durable->remote() : nullptr,
                  posix_files(), config().storage.root_directory, parts_->pool, system_clock()});
    }
    return *parts_->rooms;
}

Resolve Workbench::upstreams() {
    if (!parts_->upstreams)
        parts_->upstreams = std::make_unique<Upstreams>(
            parts_->http(), system_clock(), system_random(), config().storage.root_directory);
    return [targets = parts_->upstreams->apply(parts_->config)](const std::string& repository) {
        return targets->stored(repository);
    };
}

void Workbench::run(std::function<Task<>()> work) {
    parts_->run(std::move(work));
}

}  // namespace weir::app
