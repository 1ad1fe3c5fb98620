// sim: the seeded simulator. `sim --seeds N [--from S]` runs N seeds, `sim --seed S -v` replays
// one.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "base/log.h"
#include "base/text.h"
#include "sim/neighbours.h"
#include "sim/world.h"

namespace {

using namespace weir;

struct Arguments {
    uint64_t from = 1;
    uint64_t seeds = 100;
    bool verbose = false;
    bool neighbours = false;  // only they
};

// Of each so many seeds one has neighbours too; 0: none has.
constexpr uint64_t kNeighbours = 0;

uint64_t g_seed = 0;

// The longest that one seed may take, in real time: one that goes round for ever takes no virtual
// time at all.
constexpr unsigned kSeedSeconds = 120;

// A check that fails, a sanitizer that aborts, a seed that does not end: say which it was.
extern "C" void on_abort(int number) {
    char text[96];
    const int length =
        snprintf(text, sizeof text, "sim: aborted; replay with: sim --seed %llu -v\n",
                 static_cast<unsigned long long>(g_seed));
    if (write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) _exit(1);
    if (number == SIGALRM) _exit(1);
    signal(SIGABRT, SIG_DFL);
}

std::optional<Arguments> parse(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "-v") {
            arguments.verbose = true;
            continue;
        }
        if (name == "--neighbours") {
            arguments.neighbours = true;
            continue;
        }
        const auto value = i + 1 < argc ? parse_u64(argv[++i]) : std::nullopt;
        if (!value) return std::nullopt;
        if (name == "--seeds") {
            arguments.seeds = *value;
        } else if (name == "--from") {
            arguments.from = *value;
        } else if (name == "--seed") {
            arguments.from = *value;
            arguments.seeds = 1;
        } else {
            return std::nullopt;
        }
    }
    return arguments;
}

// The promises that seed `seed` broke; `trace` sums up all that happened.
std::vector<std::string> run(uint64_t seed, bool verbose, uint64_t& trace) {
    auto world = std::make_unique<sim::World>(seed, verbose);
    auto broken = world->run();
    trace = world->trace();
    if (world->hung()) [[maybe_unused]]
        auto* left = world.release();
    return broken;
}

std::vector<std::string> run_neighbours(uint64_t seed, bool verbose, uint64_t& trace) {
    sim::Neighbours neighbours(seed, verbose);
    auto broken = neighbours.run();
    trace = neighbours.trace();
    return broken;
}

using Run = std::vector<std::string> (*)(uint64_t seed, bool verbose, uint64_t& trace);

// One kind of world; `name` is told with what broke, `option` is how to have it again.
bool run_world(Run run, uint64_t seed, bool verbose, const std::string& name, const char* option) {
    uint64_t trace = 0;
    auto broken = run(seed, verbose, trace);
    // Now and then twice: the same seed is the same run.
    if (broken.empty() && !verbose && seed % 50 == 0) {
        uint64_t again = 0;
        broken = run(seed, false, again);
        if (broken.empty() && again != trace) broken.push_back("a second run went another way");
    }
    if (broken.empty()) return true;
    fmt::print("seed {} ({}):\n", seed, name);
    for (const auto& what : broken) fmt::print("  {}\n", what);
    fmt::print("  replay with: sim {}--seed {} -v\n", option, seed);
    fflush(stdout);
    return false;
}

bool run_seed(uint64_t seed, const Arguments& arguments) {
    g_seed = seed;
    alarm(kSeedSeconds);
    bool kept = true;
    if (!arguments.neighbours)
        kept =
            run_world(run, seed, arguments.verbose, sim::World(seed, false).troubles().text(), "");
    if (arguments.neighbours || (kNeighbours != 0 && seed % kNeighbours == 0))
        kept = run_world(run_neighbours, seed, arguments.verbose, "neighbours", "--neighbours ") &&
               kept;
    return kept;
}

}  // namespace

int main(int argc, char** argv) {
    const auto arguments = parse(argc, argv);
    if (!arguments) {
        fmt::print(stderr, "usage: sim [--neighbours] [--seeds N] [--from S] | --seed S [-v]\n");
        return 2;
    }
    log::set_level(log::Level::error);
    signal(SIGABRT, on_abort);
    signal(SIGALRM, on_abort);
    const auto began = std::chrono::steady_clock::now();
    uint64_t failed = 0;
    for (uint64_t i = 0; i < arguments->seeds && failed < 20; ++i) {
        if (!run_seed(arguments->from + i, *arguments)) ++failed;
        if ((i + 1) % 500 == 0) {
            fmt::print("{} seeds\n", i + 1);
            fflush(stdout);
        }
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    fmt::print("{} seeds from {} in {:.1f} s: {}\n", arguments->seeds, arguments->from, seconds,
               failed == 0 ? "every promise was kept" : fmt::format("{} broke promises", failed));
    return failed == 0 ? 0 : 1;
}
