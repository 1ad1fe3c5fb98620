// weir: a pull-through cache for container images. `weir serve` is in server.cc.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include "app/server.h"
#include "app/verify.h"
#include "app/wire.h"
#include "base/log.h"

namespace {

constexpr int kFailed = 1;      // a configuration that is wrong, or weir can't run
constexpr int kWrongUsage = 2;  // of the command line

void complain(const char* what) {
    weir::log::flush();
    fmt::print(stderr, "weir: {}\n", what);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app(
        "weir: a pull-through cache for container images (OCI distribution API).\n"
        "It answers docker, podman, containerd and their like, fetches what it lacks from\n"
        "upstream registries while it passes it on, and keeps it.");
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("weir ") + weir::app::kVersion);

    weir::app::ServeArguments serving;
    auto* serve = app.add_subcommand("serve", "Serve until SIGTERM or SIGINT; SIGHUP reloads");
    serve->add_option(
        "CONFIG", serving.config_path,
        "A zot configuration (JSON or YAML), with our own keys under \"weir\". Without "
        "one: port 5000 and the public registries");
    serve->add_flag("--lenient", serving.lenient,
                    "Warn about unknown keys and what isn't supported yet, instead of refusing");

    std::string verified;
    bool lenient = false, json = false;
    auto* verify = app.add_subcommand(
        "verify", "Tell key by key what weir makes of a configuration; exit code 0 if it is good");
    verify->add_option("CONFIG", verified, "The file")->required();
    verify->add_flag("--lenient", lenient, "As for serve");
    verify->add_flag("--json", json, "For programs");

    auto* version = app.add_subcommand("version", "Print the version");

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : kWrongUsage;
    }

    try {
        if (version->parsed()) {
            fmt::print("weir {}\n", weir::app::kVersion);
            return 0;
        }
        if (verify->parsed()) return weir::app::verify(verified, lenient, json, std::cout);
        return weir::app::serve(serving);
    } catch (const std::exception& error) {
        complain(error.what());
        return kFailed;
    }
}
