#include <fmt/format.h>

#include <algorithm>

#include "app/scrub_parts.h"
#include "base/failure.h"
#include "crypto/hasher.h"
#include "oci/manifest.h"

namespace weir::app {
namespace {

using namespace std::chrono_literals;
constexpr size_t kPage = 128;
constexpr size_t kMaxRepositories = 16;  // that are asked for a manifest again
constexpr Duration kAskTime = 30s;

// Puts what came, if it is the manifest; what is stored of it is replaced.
Task<bool> put(Rooms& rooms, oci::Digest digest, std::string repository, std::string upstream,
               upstream::ManifestAnswer answer) {
    co_return co_await rooms.pool.run([&] {
        if (crypto::digest_of(digest.algorithm(), answer.bytes) != digest) return false;
        const auto parsed = oci::parse_manifest(answer.bytes, answer.media_type);
        if (!parsed) return false;
        meta::ManifestRow row;
        row.digest = digest;
        row.media_type = parsed->media_type;
        row.bytes = answer.bytes;
        row.created = row.accessed = rooms.clock.wall();
        row.upstream = upstream;
        if (answer.with_login) row.private_of = upstream;
        std::vector<oci::Digest> references;
        for (const auto* list : {&parsed->blobs, &parsed->manifests})
            for (const auto& descriptor : *list) references.push_back(descriptor.digest);
        rooms.engine.put_manifest(row, repository, references, "");
        return true;
    });
}

// Gives who gave it; "": nobody.
Task<std::string> fetch_again(Scrubbing& run, oci::Digest digest) {
    Rooms& rooms = run.rooms;
    const auto repositories = co_await rooms.pool.run(
        [&rooms, digest] { return rooms.engine.wanted_by(digest, kMaxRepositories); });
    for (const std::string& repository : repositories) {
        const auto target = run.hands.resolve ? run.hands.resolve(repository) : nullptr;
        if (!target) continue;
        for (const auto& candidate : target->candidates) {
            const auto& upstream = candidate.upstream;
            auto answer = co_await upstream->manifest(candidate.repository, oci::Reference(digest),
                                                      false, rooms.clock.now() + kAskTime);
            if (answer.outcome != upstream::Outcome::ok) continue;
            if (co_await put(rooms, digest, repository, upstream->name(), std::move(answer)))
                co_return fmt::format("{} {}", upstream->name(), candidate.repository);
        }
    }
    co_return "";
}

Task<> check(Scrubbing& run, oci::Digest digest) {
    Rooms& rooms = run.rooms;
    const bool right = co_await rooms.pool.run([&rooms, digest] {
        const auto row = rooms.engine.find_manifest(digest);
        return !row || crypto::digest_of(digest.algorithm(), row->bytes) == digest;
    });
    if (right) co_return;
    ++run.report.bad_manifests;
    ScrubProblem problem{digest.text(), "database", "has another digest",
                         "comes again from its upstream"};
    if (run.options.repair) {
        const std::string from = co_await fetch_again(run, digest);
        problem.outcome = from.empty() ? problem.outcome + "; nobody gave it now"
                                       : fmt::format("repaired from {}", from);
        run.report.repaired += from.empty() ? 0 : 1;
    }
    run.problem(std::move(problem));
}

}  // namespace

Task<> scrub_manifests(Scrubbing& run) {
    Rooms& rooms = run.rooms;
    const auto usage = co_await rooms.pool.run([&rooms] { return rooms.engine.usage(); });
    const auto all = static_cast<double>(std::max<uint64_t>(usage.manifests, 1));
    std::optional<oci::Digest> after;
    for (;;) {
        const auto page = co_await rooms.pool.run(
            [&rooms, after] { return rooms.engine.manifest_digests(after, kPage); });
        for (const auto& digest : page) {
            co_await check(run, digest);
            ++run.report.manifests;
            run.progress("manifests", static_cast<double>(run.report.manifests) / all);
        }
        if (page.size() < kPage) co_return;
        after = page.back();
    }
}

}  // namespace weir::app
