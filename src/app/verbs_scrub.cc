#include "app/verbs_scrub.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json.hpp>
#include <ostream>

#include "app/scrub_parts.h"
#include "base/text.h"

namespace weir::app {
namespace {

namespace json = boost::json;

std::string line_of(const ScrubProblem& problem) {
    return fmt::format("{} on {}: {}; {}", problem.digest, problem.where, problem.what,
                       problem.outcome);
}

std::string summary(const ScrubReport& report) {
    return fmt::format(
        "{} manifests, {} of them wrong; {} blobs: {} files ({}) on disk, {} of them wrong; {} "
        "objects in S3 ({} read), {} of them "
        "wrong; {} repaired, {} not checked; {} files without a row ({}) and {} staging rows "
        "without a file taken away",
        report.manifests, report.bad_manifests, report.blobs, report.disk_files,
        human_bytes(report.disk_bytes), report.bad_on_disk, report.s3_objects,
        human_bytes(report.s3_bytes), report.bad_in_s3, report.repaired, report.unchecked,
        report.orphans, human_bytes(report.orphan_bytes), report.stale_stagings);
}

json::object as_json(const ScrubReport& report) {
    json::array problems;
    for (const ScrubProblem& problem : report.problems)
        problems.push_back({{"digest", problem.digest},
                            {"where", problem.where},
                            {"what", problem.what},
                            {"outcome", problem.outcome}});
    return {
        {"clean", report.clean()},
        {"database", {{"manifests", report.manifests}, {"bad", report.bad_manifests}}},
        {"blobs", report.blobs},
        {"disk",
         {{"files", report.disk_files}, {"bytes", report.disk_bytes}, {"bad", report.bad_on_disk}}},
        {"s3",
         {{"objects", report.s3_objects}, {"bytes", report.s3_bytes}, {"bad", report.bad_in_s3}}},
        {"repaired", report.repaired},
        {"unchecked", report.unchecked},
        {"orphans", report.orphans},
        {"orphanBytes", report.orphan_bytes},
        {"staleStagings", report.stale_stagings},
        {"problems", std::move(problems)}};
}

WallTime wall_of(const timespec& time) {
    return WallTime(std::chrono::seconds(time.tv_sec) +
                    std::chrono::microseconds(time.tv_nsec / 1000));
}

// The later of the bytes' time and the name's: a commit renames.
std::optional<WallTime> changed_on_disk(const std::string& path) {
    struct stat status{};
    if (stat(path.c_str(), &status) != 0) return std::nullopt;
    return std::max(wall_of(status.st_mtim), wall_of(status.st_ctim));
}

}  // namespace

Task<ScrubReport> scrub(Rooms& rooms, const ScrubOptions& options, const ScrubHands& hands) {
    Scrubbing run{rooms, options, hands, Pace(options.bytes_per_second), {}};
    co_await scrub_manifests(run);
    co_await scrub_blobs(run);
    co_await scrub_left_overs(run);
    co_return std::move(run.report);
}

int scrub(const VerbArguments& arguments, const ScrubOptions& options, std::ostream& out) {
    Workbench bench(arguments);
    Rooms& rooms = bench.rooms();
    ScrubReport report;
    {
        Progress progress("weir scrub");
        ScrubHands hands;
        if (options.repair) hands.resolve = bench.upstreams();
        hands.changed = changed_on_disk;
        if (!arguments.json)
            hands.tell = [&](const ScrubProblem& problem) { progress.line(out, line_of(problem)); };
        hands.progress = [&](std::string_view phase, double share) { progress.at(phase, share); };
        bench.run([&]() -> Task<> { report = co_await scrub(rooms, options, hands); });
    }
    if (arguments.json)
        out << json::serialize(as_json(report)) << '\n';
    else
        out << summary(report) << '\n';
    return report.clean() ? kFine : kProblems;
}

}  // namespace weir::app
