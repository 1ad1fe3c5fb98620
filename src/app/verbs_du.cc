#include "app/verbs_du.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <ostream>

#include "base/text.h"

namespace weir::app {
namespace {

namespace json = boost::json;
using RepositoryUsage = meta::Upkeep::RepositoryUsage;

constexpr size_t kPage = 128;

bool larger(const RepositoryUsage& a, const RepositoryUsage& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.repository < b.repository;
}

// Keeps the largest `top`, without ever holding many more.
void cut(std::vector<RepositoryUsage>& list, size_t top) {
    std::ranges::sort(list, larger);
    if (list.size() > top) list.resize(top);
}

void print(const DiskUse& use, std::ostream& out) {
    const meta::TierUsage& tiers = use.tiers;
    out << fmt::format("{:>12}  {:>9} blobs  on the disk\n", human_bytes(tiers.disk_bytes),
                       tiers.disk_blobs);
    out << fmt::format("{:>12}  {:>9} blobs  in S3\n", human_bytes(tiers.s3_bytes), tiers.s3_blobs);
    if (tiers.uploads > 0)
        out << fmt::format("{:>12}  {:>9} objects wait for their upload\n",
                           human_bytes(tiers.upload_bytes), tiers.uploads);
    if (tiers.doomed > 0)
        out << fmt::format("{:>12}  {:>9} objects in S3 wait for their deletion\n", "",
                           tiers.doomed);
    out << fmt::format("\n{:>12}  {:>12}  {:>9}  upstream\n", "disk", "S3", "blobs");
    for (const auto& upstream : use.upstreams)
        out << fmt::format("{:>12}  {:>12}  {:>9}  {}\n", human_bytes(upstream.disk_bytes),
                           human_bytes(upstream.s3_bytes), upstream.blobs,
                           upstream.upstream.empty() ? "(none)" : upstream.upstream);
    out << fmt::format("\n{:>12}  {:>12}  {:>9}  {:>6}  repository\n", "disk", "S3", "blobs",
                       "tags");
    for (const auto& repository : use.repositories)
        out << fmt::format("{:>12}  {:>12}  {:>9}  {:>6}  {}\n", human_bytes(repository.disk_bytes),
                           human_bytes(repository.s3_bytes), repository.blobs, repository.tags,
                           repository.repository);
    if (use.repositories.size() < use.repository_count)
        out << fmt::format("{} more repositories; --all shows them\n",
                           use.repository_count - use.repositories.size());
}

json::object as_json(const DiskUse& use) {
    const meta::TierUsage& tiers = use.tiers;
    json::array upstreams, repositories;
    for (const auto& upstream : use.upstreams)
        upstreams.push_back({{"name", upstream.upstream},
                             {"blobs", upstream.blobs},
                             {"diskBytes", upstream.disk_bytes},
                             {"s3Bytes", upstream.s3_bytes}});
    for (const auto& repository : use.repositories)
        repositories.push_back({{"name", repository.repository},
                                {"tags", repository.tags},
                                {"blobs", repository.blobs},
                                {"bytes", repository.bytes},
                                {"diskBytes", repository.disk_bytes},
                                {"s3Bytes", repository.s3_bytes}});
    return {{"tiers",
             {{"disk", {{"blobs", tiers.disk_blobs}, {"bytes", tiers.disk_bytes}}},
              {"s3", {{"blobs", tiers.s3_blobs}, {"bytes", tiers.s3_bytes}}},
              {"uploads", {{"objects", tiers.uploads}, {"bytes", tiers.upload_bytes}}},
              {"doomed", tiers.doomed}}},
            {"upstreams", std::move(upstreams)},
            {"repositories", std::move(repositories)},
            {"repositoryCount", use.repository_count}};
}

}  // namespace

DiskUse disk_use(meta::Engine& engine, const DuArguments& arguments,
                 const std::function<void(double)>& progress) {
    DiskUse use;
    use.tiers = engine.tier_usage();
    use.upstreams = engine.usage_by_upstream();
    std::ranges::sort(use.upstreams, [](const auto& a, const auto& b) {
        const uint64_t left = a.disk_bytes + a.s3_bytes, right = b.disk_bytes + b.s3_bytes;
        return left != right ? left > right : a.upstream < b.upstream;
    });
    const size_t top = arguments.all ? SIZE_MAX : arguments.top;
    const auto expected = static_cast<double>(std::max<uint64_t>(engine.usage().repositories, 1));
    std::string last;
    for (;;) {
        const auto page = engine.repositories(last, kPage);
        for (const std::string& name : page) {
            ++use.repository_count;
            // Gone since it was listed: nothing to show.
            if (auto usage = engine.repository_usage(name))
                use.repositories.push_back(std::move(*usage));
        }
        cut(use.repositories, top);
        if (page.size() < kPage) return use;
        if (progress) progress(static_cast<double>(use.repository_count) / expected);
        last = page.back();
    }
}

int du(const VerbArguments& arguments, const DuArguments& what, std::ostream& out) {
    Workbench bench(arguments);
    DiskUse use;
    {
        Progress progress("weir du");
        use = disk_use(bench.engine(), what,
                       [&](double share) { progress.at("repositories", share); });
    }
    if (arguments.json)
        out << json::serialize(as_json(use)) << '\n';
    else
        print(use, out);
    return kFine;
}

}  // namespace weir::app
