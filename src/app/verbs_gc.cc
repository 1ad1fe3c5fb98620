#include "app/verbs_gc.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <ostream>

#include "app/left_uploads.h"
#include "app/wire_tiers.h"
#include "base/text.h"
#include "cache/collector.h"

namespace weir::app {
namespace {

namespace json = boost::json;

std::string summary(const cache::CollectorReport& report, const LeftUploads& uploads) {
    return fmt::format(
        "{} repositories looked at; {}: {} tags, {} untagged manifests, {} links, {} manifests, "
        "{} blobs ({}), {} objects and {} left uploads in S3{}",
        report.repositories, report.dry_run ? "would go" : "gone", report.tags, report.untagged,
        report.links, report.manifests, report.blobs, human_bytes(report.blob_bytes),
        report.s3_objects, uploads.aborted,
        report.s3_failed + uploads.failed > 0
            ? fmt::format(", {} could not be deleted", report.s3_failed + uploads.failed)
            : "");
}

json::object as_json(const cache::CollectorReport& report, const LeftUploads& uploads,
                     json::array removed) {
    return {{"dryRun", report.dry_run},
            {"repositories", report.repositories},
            {"tags", report.tags},
            {"untagged", report.untagged},
            {"links", report.links},
            {"manifests", report.manifests},
            {"blobs", report.blobs},
            {"bytes", report.blob_bytes},
            {"s3Objects", report.s3_objects},
            {"s3Failed", report.s3_failed},
            {"uploads", uploads.aborted},
            {"uploadsFailed", uploads.failed},
            {"removed", std::move(removed)}};
}

}  // namespace

int gc(const VerbArguments& arguments, bool dry_run, std::ostream& out) {
    Workbench bench(arguments);
    Rooms& rooms = bench.rooms();
    const auto options = collector_options(bench.config());
    const bool dry = dry_run || options.retention.dry_run;
    cache::Erasures erasures(rooms.engine, rooms.store, nullptr, rooms.pool);
    cache::Collector collector(options, rooms.engine, rooms.engine, erasures, rooms.remote, nullptr,
                               rooms.pool, rooms.clock);
    cache::CollectorReport report;
    LeftUploads uploads;
    json::array removed;
    {
        Progress progress("weir gc");
        const auto tell = [&](const std::string& line) {
            if (arguments.json)
                removed.emplace_back(line);
            else
                progress.line(out, line);
        };
        const auto share = [&](double done) { progress.at("repositories", done); };
        bench.run([&]() -> Task<> {
            report = co_await collector.run(dry, tell, share);
            uploads = co_await abort_left_uploads(rooms, options.delay, dry, tell);
        });
    }
    if (arguments.json)
        out << json::serialize(as_json(report, uploads, std::move(removed))) << '\n';
    else
        out << summary(report, uploads) << '\n';
    return report.s3_failed + uploads.failed > 0 ? kProblems : kFine;
}

}  // namespace weir::app
