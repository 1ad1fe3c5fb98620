#include "cache/collector.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "cache/erasures.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
constexpr size_t kRepositoryPage = 128;
constexpr size_t kManifestPage = 128;
constexpr size_t kBlobPage = 256;
constexpr size_t kDeletePage = store::Remote::kMaxRemoved;
// Between two pages others go first: the database's writer and the disk belong to pulls.
constexpr Duration kPause = 1ms;
constexpr Duration kLookInterval = 1min;

std::chrono::microseconds micros(Duration duration) {
    return std::chrono::duration_cast<std::chrono::microseconds>(duration);
}

}  // namespace

struct Collector::Pass {
    CollectorOptions options;
    CollectorReport report;
    WallTime now;
    std::function<void(const std::string&)> tell;
    bool dry_run() const { return report.dry_run; }
    void say(std::string line) const {
        if (tell) tell(line);
    }
};

Collector::Collector(CollectorOptions options, meta::Metadata& metadata, meta::Upkeep& upkeep,
                     store::Store& store, store::Remote* remote, store::Space* space, Blobs* blobs,
                     Pool& pool, Clock& clock)
    : options_(std::move(options)),
      metadata_(metadata),
      upkeep_(upkeep),
      store_(store),
      remote_(remote),
      space_(space),
      blobs_(blobs),
      pool_(pool),
      clock_(clock) {}

CollectorOptions Collector::options() const {
    std::lock_guard lock(mutex_);
    return options_;
}

void Collector::set_options(CollectorOptions options) {
    std::lock_guard lock(mutex_);
    options_ = std::move(options);
    if (runner_) runner_->fire();
}

void Collector::start(Scope& scope, Loop& loop) {
    scope.spawn(loop, [this] { return this->loop(); });
}

void Collector::stop() {
    stopping_ = true;
    std::lock_guard lock(mutex_);
    if (runner_) runner_->fire();
}

bool Collector::in_window() const {
    const auto window = options().window;
    if (!window) return true;
    const auto minutes =
        std::chrono::duration_cast<std::chrono::minutes>(clock_.wall().time_since_epoch()).count() %
        (24 * 60);
    const auto [from, to] = *window;
    // "23:00-04:00" goes over midnight.
    return from <= to ? from <= minutes && minutes < to : minutes >= from || minutes < to;
}

Task<> Collector::loop() {
    Signal signal;
    {
        std::lock_guard lock(mutex_);
        runner_.emplace(signal);
    }
    try {
        if (const size_t files = co_await erase_left_over(upkeep_, store_, pool_, stopping_))
            log::info("gc", "erased {} files that the last run had not come to", files);
    } catch (const Failure& failure) {
        log::warn("gc", "files that have to go wait for the next pass: {}", failure.what());
    }
    TimePoint next = clock_.now() + options().interval;
    while (!stopping_) {
        // A pass that is due but may not begin (off, or outside its window) is looked at every
        // minute.
        const TimePoint now = clock_.now();
        co_await signal.wait(next > now ? std::min(next, now + kLookInterval)
                                        : now + kLookInterval);
        next = std::min(next, clock_.now() + options().interval);
        if (stopping_ || !options().enabled || clock_.now() < next || !in_window()) continue;
        next = clock_.now() + options().interval;
        try {
            const bool dry = options().retention.dry_run;
            const auto report =
                co_await run(dry, [](const std::string& line) { log::info("gc", "{}", line); }, {});
            log::info("gc",
                      "{} tags, {} untagged manifests, {} blobs ({} bytes), {} objects in S3{}",
                      report.tags, report.untagged, report.blobs, report.blob_bytes,
                      report.s3_objects, dry ? " would go (dryRun)" : " went");
        } catch (const Failure& failure) {
            log::warn("gc", "the pass was broken off: {}", failure.what());
        }
    }
    std::lock_guard lock(mutex_);
    runner_.reset();
}

Task<CollectorReport> Collector::run(bool dry_run, std::function<void(const std::string&)> tell,
                                     std::function<void(double)> progress) {
    static auto& passes =
        metrics::counter("weir_gc_passes_total", "Passes of the collection begun");
    passes.Increment();
    Pass pass;
    pass.options = options();
    pass.report.dry_run = dry_run;
    pass.now = clock_.wall();
    pass.tell = std::move(tell);
    const auto usage = co_await pool_.run([this] { return metadata_.usage(); });
    std::string last;
    while (!stopping_) {
        const auto page = co_await pool_.run(
            [this, last] { return metadata_.repositories(last, kRepositoryPage); });
        for (const auto& repository : page) {
            if (stopping_) break;
            co_await collect_repository(pass, repository);
            ++pass.report.repositories;
            if (progress)
                progress(static_cast<double>(pass.report.repositories) /
                         static_cast<double>(std::max<uint64_t>(usage.repositories, 1)));
        }
        if (page.size() < kRepositoryPage) break;
        last = page.back();
    }
    if (!stopping_) co_await sweep(pass);
    pass.report.stopped = stopping_;
    co_return pass.report;
}

Task<> Collector::collect_repository(Pass& pass, std::string repository) {
    const RetentionPolicy* policy = pass.options.retention.policy_of(repository);
    if (policy) co_await collect_tags(pass, repository, *policy);
    co_await collect_untagged(pass, repository, policy);
    co_await collect_links(pass, repository);
}

Task<> Collector::collect_tags(Pass& pass, std::string repository, const RetentionPolicy& policy) {
    const auto tags =
        co_await pool_.run([this, repository] { return upkeep_.tag_infos(repository); });
    for (const auto& removal :
         tags_to_remove(policy, pass.options.retention.delay, tags, pass.now)) {
        ++pass.report.tags;
        pass.say(fmt::format("tag {}:{} ({}): {}", repository, removal.name, removal.digest.text(),
                             removal.reason));
        if (pass.dry_run()) continue;
        co_await pool_.run([this, repository, removal] {
            upkeep_.remove_tag_if(repository, removal.name, removal.digest);
        });
    }
}

// Manifests without a tag: pulled by digest, or left by a tag that moved. They live by access time.
Task<> Collector::collect_untagged(Pass& pass, std::string repository,
                                   const RetentionPolicy* policy) {
    const Duration age = std::max(pass.options.delay, pass.options.untagged_age);
    const WallTime before = pass.now - micros(age);
    std::optional<oci::Digest> after;
    while (!stopping_) {
        const auto untagged = co_await pool_.run([this, repository, before, after] {
            return upkeep_.untagged(repository, before, kManifestPage, after);
        });
        const auto goes = policy ? untagged_to_remove(*policy, untagged, pass.now) : untagged;
        std::vector<oci::Digest> digests;
        for (const auto& manifest : goes) {
            ++pass.report.untagged;
            pass.say(fmt::format("manifest {}@{}: untagged and not pulled for a while", repository,
                                 manifest.digest.text()));
            digests.push_back(manifest.digest);
        }
        if (!pass.dry_run() && !digests.empty())
            co_await pool_.run(
                [this, repository, digests] { upkeep_.unlink(repository, digests); });
        if (untagged.size() < kManifestPage) co_return;
        after = untagged.back().digest;
        co_await sleep_for(kPause);
    }
}

Task<> Collector::collect_links(Pass& pass, std::string repository) {
    const WallTime before =
        pass.now - micros(std::max(pass.options.delay, pass.options.untagged_age));
    while (!stopping_) {
        const auto loose = co_await pool_.run([this, repository, before] {
            return upkeep_.loose_links(repository, before, kManifestPage);
        });
        pass.report.links += loose.size();
        if (loose.empty() || pass.dry_run()) co_return;
        co_await pool_.run([this, repository, loose] { upkeep_.unlink(repository, loose); });
        if (loose.size() < kManifestPage) co_return;
        co_await sleep_for(kPause);
    }
}

Task<> Collector::sweep(Pass& pass) {
    const WallTime before = pass.now - micros(pass.options.delay);
    while (!pass.dry_run() && !stopping_) {
        const size_t gone = co_await pool_.run(
            [this, before] { return upkeep_.sweep_manifests(before, kManifestPage); });
        pass.report.manifests += gone;
        if (gone < kManifestPage) break;
        co_await sleep_for(kPause);
    }
    co_await sweep_blobs(pass);
    if (pass.dry_run()) co_return;
    co_await erase_left_over(upkeep_, store_, pool_, stopping_);
    co_await delete_doomed(pass);
    co_await pool_.run([this] { upkeep_.remove_empty_repositories(kRepositoryPage); });
}

Task<> Collector::sweep_blobs(Pass& pass) {
    const WallTime before = pass.now - micros(pass.options.delay);
    std::optional<oci::Digest> after;
    while (!stopping_) {
        std::optional<oci::Digest> next;
        const bool dry = pass.dry_run();
        const auto doomed = co_await pool_.run([this, after, before, dry, &next] {
            return dry ? upkeep_.unlinked_blobs(after, before, kBlobPage, &next)
                       : upkeep_.sweep_blobs(after, before, kBlobPage, &next);
        });
        std::vector<meta::Erasure> erased;
        for (const auto& blob : doomed) {
            ++pass.report.blobs;
            pass.report.blob_bytes += blob.size;
            pass.say(fmt::format("blob {} ({} bytes): no repository links it", blob.digest.text(),
                                 blob.size));
            if (dry) continue;
            if (blobs_) blobs_->forget(blob.digest);
            if (blob.generation == 0) continue;
            if (space_) space_->release(blob.size);
            co_await store_.erase(blob.digest, blob.generation);
            erased.push_back({blob.digest, blob.generation});
        }
        co_await report_erased(upkeep_, pool_, erased);
        if (!next) co_return;
        after = next;
        co_await sleep_for(kPause);
    }
}

Task<> Collector::delete_doomed(Pass& pass) {
    if (!remote_) co_return;
    const WallTime before = pass.now - micros(pass.options.delay);
    while (!stopping_) {
        const auto page = co_await pool_.run(
            [this, before] { return upkeep_.claim_doomed(before, kDeletePage); });
        if (page.empty()) co_return;
        std::vector<oci::Digest> failed;
        const auto answer = co_await remote_->remove(page, &failed);
        std::vector<oci::Digest> done;
        for (const auto& digest : page)
            if (std::find(failed.begin(), failed.end(), digest) == failed.end())
                done.push_back(digest);
        co_await pool_.run([this, done, failed] {
            upkeep_.doomed_done(done);
            upkeep_.release_doomed(failed);
        });
        pass.report.s3_objects += done.size();
        pass.report.s3_failed += failed.size();
        if (!failed.empty()) {
            pass.say(fmt::format("{} objects could not be deleted and stay for the next pass: {}",
                                 failed.size(), answer.detail));
            co_return;
        }
    }
}

}  // namespace weir::cache
