#include "app/verbs_rebuild.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <ostream>
#include <sstream>

#include "app/process.h"
#include "app/rebuild_parts.h"
#include "base/failure.h"
#include "base/text.h"
#include "config/credentials.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

json::object as_json(const RebuildReport& report) {
    return {{"repositories", report.repositories},
            {"tags", report.tags},
            {"manifests", report.manifests},
            {"disk", {{"blobs", report.disk_blobs}, {"bytes", report.disk_bytes}}},
            {"s3", {{"blobs", report.s3_blobs}, {"bytes", report.s3_bytes}}},
            {"leftOvers", report.left_overs},
            {"problems", json::array(report.problems.begin(), report.problems.end())}};
}

std::string summary(const RebuildReport& report) {
    return fmt::format(
        "{} tags and {} manifests in {} repositories; {} blobs ({}) on the disk, {} ({}) in S3; {} "
        "left-over files taken away; {} problems",
        report.tags, report.manifests, report.repositories, report.disk_blobs,
        human_bytes(report.disk_bytes), report.s3_blobs, human_bytes(report.s3_bytes),
        report.left_overs, report.problem_count);
}

// "weir.db.old", "weir.db.old.1", ...: what is moved aside is never overwritten.
void move_aside(const std::string& path, std::ostream& out) {
    std::string aside = path + ".old";
    for (int i = 1; fs::exists(aside); ++i) aside = fmt::format("{}.old.{}", path, i);
    for (const char* part : {"", "-wal", "-shm"})
        if (fs::exists(path + part)) fs::rename(path + part, aside + part);
    out << fmt::format("the old database is {} now\n", aside);
}

bool has_logins(const config::Config& config) {
    return config::Credentials::load(config).size() > 0 ||
           std::ranges::any_of(config.registries, [](const config::Registry& registry) {
               return !registry.cert_dir.empty();
           });
}

}  // namespace

bool is_empty(meta::Engine& engine) {
    const meta::Usage usage = engine.usage();
    return usage.blobs + usage.manifests + usage.repositories + usage.tags == 0 &&
           engine.stagings(1).empty();
}

Task<RebuildReport> rebuild(Rooms& rooms, const RebuildOptions& options,
                            const RebuildHands& hands) {
    Rebuilding run{rooms, options, hands, {}};
    co_await rebuild_from_s3(run);
    co_await rebuild_from_disk(run);
    if (!hands.logins) co_await rooms.pool.run([&rooms] { rooms.engine.make_public(); });
    co_return std::move(run.report);
}

int rebuild(const VerbArguments& arguments, const RebuildOptions& options, bool force,
            std::ostream& out) {
    Workbench bench(arguments);
    // No server may run: it would go on with the old database.
    const StateRoot root(bench.config().storage.root_directory);
    Progress progress("weir rebuild");
    const bool there = fs::exists(bench.database_path());
    if (there && force) {
        std::ostringstream told;
        move_aside(bench.database_path(), told);
        if (!arguments.json) progress.line(out, trim(told.str()));
    }
    if (there && !force && !is_empty(bench.engine()))
        throw Failure(Kind::config_invalid,
                      fmt::format("the database {} isn't empty; --force moves it aside",
                                  bench.database_path()));
    bench.new_engine();
    Rooms& rooms = bench.rooms();
    RebuildHands hands;
    hands.resolve = bench.upstreams();
    hands.logins = has_logins(bench.config());
    if (!arguments.json) hands.tell = [&](const std::string& line) { progress.line(out, line); };
    hands.progress = [&](std::string_view phase, double share) { progress.at(phase, share); };
    RebuildReport report;
    bench.run([&]() -> Task<> { report = co_await rebuild(rooms, options, hands); });
    if (arguments.json)
        out << json::serialize(as_json(report)) << '\n';
    else
        progress.line(out, summary(report));
    return report.problem_count == 0 ? kFine : kProblems;
}

}  // namespace weir::app
