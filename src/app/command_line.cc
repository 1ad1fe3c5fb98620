#include "app/command_line.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <exception>
#include <functional>
#include <ostream>
#include <string>

#include "app/server.h"
#include "app/verb.h"
#include "app/verbs_du.h"
#include "app/verbs_gc.h"
#include "app/verbs_pin.h"
#include "app/verbs_rebuild.h"
#include "app/verbs_scrub.h"
#include "app/verify.h"
#include "app/which_config.h"
#include "app/wire.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/redact.h"
#include "base/text.h"
#include "config/value.h"

namespace weir::app {
namespace {

// Further than this a word is another one, not a slip.
constexpr size_t kMaxSlip = 2;
constexpr int kFailed = 1;  // a configuration that is wrong, or weir can't run

// Everything that any of them can be told.
struct Said {
    ServeArguments serve;
    std::string verified;
    bool verify_lenient = false, verify_json = false;
    VerbArguments verb;
    bool dry_run = false, force = false;
    ScrubOptions scrub;
    std::string rate = "100MB";
    RebuildOptions rebuild;
    DuArguments du;
    std::string pin;
};

// What was chosen; does it.
using Action = std::function<int(std::ostream&)>;

void complain(const char* what) {
    log::flush();
    fmt::print(stderr, "weir: {}\n", without_logins(what));
}

// The one way to name the configuration, in every verb; see which_config.h.
void add_config(CLI::App& verb, std::string& path, bool as_argument, const char* about) {
    auto* option = verb.add_option("-c,--config", path,
                                   "The configuration. Else WEIR_CONFIG, else /etc/weir/weir.yaml "
                                   "or weir.json if there is one");
    if (as_argument) verb.add_option("CONFIG", path, about)->excludes(option);
}

// Slips are told with what was meant, before the parser says only that it doesn't know the word.
bool complain_about_verb(const CLI::App& app, int argc, const char* const* argv) {
    const std::string word = argc > 1 ? argv[1] : "";
    if (word.empty() || word.starts_with('-')) return false;
    std::string nearest, all;
    size_t least = kMaxSlip + 1;
    for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
        const std::string name = verb->get_name();
        if (name == word) return false;
        all += (all.empty() ? "" : ", ") + name;
        const size_t distance = edit_distance(ascii_lower(word), name, kMaxSlip);
        if (distance < std::min(least, name.size())) {
            least = distance;
            nearest = name;
        }
    }
    complain(fmt::format("there is no verb \"{}\"{} (there are: {})", word,
                         nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest), all)
                 .c_str());
    return true;
}

void add_serve(CLI::App& app, Said& said, Action& action) {
    auto* serve = app.add_subcommand("serve", "Serve until SIGTERM or SIGINT; SIGHUP reloads");
    add_config(*serve, said.serve.config_path, true,
               "A zot configuration (JSON or YAML), with our own keys under \"weir\". "
               "Without one: port 5000 and the public registries");
    serve->add_flag("--lenient", said.serve.lenient,
                    "Warn about unknown keys and what isn't supported yet, instead of refusing");
    serve->callback([&] {
        action = [&said](std::ostream&) {
            said.serve.config_path = which_config(said.serve.config_path);
            return app::serve(said.serve);
        };
    });
}

void add_verify(CLI::App& app, Said& said, Action& action) {
    auto* verify = app.add_subcommand(
        "verify", "Tell key by key what weir makes of a configuration; exit code 0 if it is good");
    add_config(*verify, said.verified, true, "The file");
    verify->add_flag("--lenient", said.verify_lenient, "As for serve");
    verify->add_flag("--json", said.verify_json, "For programs");
    verify->callback([&] {
        action = [&said](std::ostream& out) {
            said.verified = which_config(said.verified);
            if (said.verified.empty()) {
                complain("there is no configuration to verify: name one");
                return kWrongUsage;
            }
            return app::verify(said.verified, said.verify_lenient, said.verify_json, out);
        };
    });
}

// A verb on the store. Its configuration may be its argument, unless that is something else.
CLI::App* add_verb(CLI::App& app, const char* name, const char* about, Said& said, Action& action,
                   Action does, bool takes_argument = false) {
    auto* verb = app.add_subcommand(name, about);
    add_config(*verb, said.verb.config_path, !takes_argument,
               "The configuration that weir serves with");
    verb->add_flag("--lenient", said.verb.lenient, "As for serve");
    verb->add_flag("--json", said.verb.json, "For programs");
    verb->callback([&action, &said, does = std::move(does)] {
        action = [&said, does](std::ostream& out) {
            try {
                said.verb.config_path = which_config(said.verb.config_path);
                return does(out);
            } catch (const Failure& failure) {
                complain(failure.what());
                return failure.kind() == Kind::config_invalid ? kWrongUsage : kProblems;
            }
        };
    });
    return verb;
}

void add_collection(CLI::App& app, Said& said, Action& action) {
    auto* gc = add_verb(
        app, "gc", "Collect garbage now: what retention and the grace times let go", said, action,
        [&said](std::ostream& out) { return app::gc(said.verb, said.dry_run, out); });
    gc->add_flag("--dry-run", said.dry_run, "Only tell what would go, and why");

    auto* scrub =
        add_verb(app, "scrub",
                 "Verify what is stored, on the disk and in S3; wrong copies go and come again",
                 said, action, [&said](std::ostream& out) {
                     const auto rate = config::parse_bytes(said.rate);
                     if (!rate) throw Failure(Kind::config_invalid, "--rate: " + rate.error());
                     said.scrub.bytes_per_second = *rate;
                     return app::scrub(said.verb, said.scrub, out);
                 });
    scrub->add_option("--rate", said.rate, "Bytes a second to read at most; 0: no bound")
        ->capture_default_str();
    scrub->add_flag("--quick", said.scrub.quick, "Of objects in S3 look at the sizes only");
    scrub->add_flag("--repair", said.scrub.repair,
                    "Fetch what is wrong on the disk again at once, from S3 or its upstream");

    auto* rebuild =
        add_verb(app, "rebuild", "Make the database anew, from the objects in S3 and on the disk",
                 said, action, [&said](std::ostream& out) {
                     return app::rebuild(said.verb, said.rebuild, said.force, out);
                 });
    rebuild->add_flag("--force", said.force, "Move a database that isn't empty aside");
    rebuild->add_flag("--trust-names", said.rebuild.trust_names,
                      "Don't verify the digests of files on the disk");
}

void add_looks(CLI::App& app, Said& said, Action& action) {
    auto* du =
        add_verb(app, "du", "Show who takes the room: tiers, upstreams, repositories", said, action,
                 [&said](std::ostream& out) { return app::du(said.verb, said.du, out); });
    du->add_option("--top", said.du.top, "So many repositories, the largest")
        ->capture_default_str();
    du->add_flag("--all", said.du.all, "Every repository");

    constexpr const char* kPattern =
        "docker.io/library/debian:12, or globs: 'docker.io/library/*:v1*'; without a tag all";
    auto* pin = add_verb(
        app, "pin", "Keep on the disk whatever a repository's tags point at", said, action,
        [&said](std::ostream& out) { return app::pin(said.verb, said.pin, out); }, true);
    pin->add_option("REPOSITORY", said.pin, kPattern)->required();
    auto* unpin = add_verb(
        app, "unpin", "Take a pin out", said, action,
        [&said](std::ostream& out) { return app::unpin(said.verb, said.pin, out); }, true);
    unpin->add_option("REPOSITORY", said.pin, kPattern)->required();
    add_verb(app, "pins", "List the pins", said, action,
             [&said](std::ostream& out) { return app::pins(said.verb, out); });
}

}  // namespace

int run(int argc, const char* const* argv, std::ostream& out) {
    CLI::App app(
        "weir: a pull-through cache for container images (OCI distribution API).\n"
        "It answers docker, podman, containerd and their like, fetches what it lacks from\n"
        "upstream registries while it passes it on, and keeps it.");
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("weir ") + kVersion);
    Said said;
    Action action;
    add_serve(app, said, action);
    add_verify(app, said, action);
    add_collection(app, said, action);
    add_looks(app, said, action);
    app.add_subcommand("version", "Print the version")->callback([&action] {
        action = [](std::ostream& to) {
            to << "weir " << kVersion << '\n';
            return kFine;
        };
    });
    if (complain_about_verb(app, argc, argv)) return kWrongUsage;
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kFine : kWrongUsage;
    }
    try {
        return action(out);
    } catch (const std::exception& error) {
        complain(error.what());
        return kFailed;
    }
}

}  // namespace weir::app
