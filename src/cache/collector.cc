#include "cache/collector.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "meta/engine.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
constexpr size_t kRepositoryPage = 128;
constexpr size_t kManifestPage = 128;
constexpr size_t kBlobPage = 256;
constexpr size_t kListPage = 256;
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
    std::unique_ptr<meta::Engine> rehearsal;  // of a dry run
    meta::Metadata* metadata = nullptr;
    meta::Upkeep* upkeep = nullptr;
    WallTime now;
    std::function<void(const std::string&)> tell;
    bool dry_run() const { return report.dry_run; }
    void say(std::string line) const {
        if (tell) tell(line);
    }
};

Collector::Collector(CollectorOptions options, meta::Metadata& metadata, meta::Upkeep& upkeep,
                     Erasures& erasures, store::Remote* remote, Blobs* blobs, Pool& pool,
                     Clock& clock)
    : options_(std::move(options)),
      metadata_(metadata),
      upkeep_(upkeep),
      erasures_(erasures),
      remote_(remote),
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

std::optional<Duration> Collector::until_window(const CollectorOptions& options) const {
    using std::chrono::minutes;
    if (!options.window) return std::nullopt;
    const auto [from, to] = *options.window;
    const Duration day = std::chrono::hours(24);
    const Duration now = Duration(clock_.wall().time_since_epoch()) % day;
    const Duration open = minutes(from) - now, close = minutes(to) - now;
    // "23:00-04:00" goes over midnight.
    const bool inside = from <= to ? open <= Duration{} && close > Duration{}
                                   : open <= Duration{} || close > Duration{};
    if (inside) return std::nullopt;
    return open > Duration{} ? open : open + day;
}

Task<> Collector::loop() {
    Signal signal;
    {
        std::lock_guard lock(mutex_);
        runner_.emplace(signal);
    }
    TimePoint due = clock_.now() + options().interval;
    while (!stopping_) {
        const CollectorOptions now_options = options();
        const TimePoint now = clock_.now();
        // A reload may have made it shorter.
        due = std::min(due, now + now_options.interval);
        const auto closed = until_window(now_options);
        if (!now_options.enabled || now < due || closed) {
            // The calendar that the window is of may jump: looked at every minute.
            TimePoint wake = now + kLookInterval;
            if (now_options.enabled && now < due) wake = std::min(wake, due);
            if (now_options.enabled && closed) wake = std::min(wake, std::max(due, now + *closed));
            co_await signal.wait(wake);
            continue;
        }
        co_await pass_now(now_options.retention.dry_run);
        const Duration interval = std::max<Duration>(options().interval, 1ms);
        due = now + ((clock_.now() - now) / interval + 1) * interval;
    }
    std::lock_guard lock(mutex_);
    runner_.reset();
}

Task<> Collector::pass_now(bool dry_run) {
    try {
        const auto report =
            co_await run(dry_run, [](const std::string& line) { log::info("gc", "{}", line); }, {});
        log::info("gc",
                  "{} tags, {} untagged manifests, {} links, {} manifests, {} blobs ({} bytes), {} "
                  "objects in S3{}",
                  report.tags, report.untagged, report.links, report.manifests, report.blobs,
                  report.blob_bytes, report.s3_objects, dry_run ? " would go (dryRun)" : " went");
    } catch (const Failure& failure) {
        log::warn("gc", "the pass was broken off: {}", failure.what());
    }
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
    pass.metadata = &metadata_;
    pass.upkeep = &upkeep_;
    if (dry_run) {
        pass.rehearsal = co_await pool_.run([this] { return upkeep_.rehearsal(); });
        pass.metadata = pass.rehearsal.get();
        pass.upkeep = pass.rehearsal.get();
    }
    const auto usage = co_await pool_.run([&pass] { return pass.metadata->usage(); });
    std::string last;
    while (!stopping_) {
        const auto page = co_await pool_.run(
            [&pass, last] { return pass.metadata->repositories(last, kRepositoryPage); });
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
        co_await pool_.run([&pass, repository] { return pass.upkeep->tag_infos(repository); });
    const auto number = &policy - pass.options.retention.policies.data();
    for (const auto& removal :
         tags_to_remove(policy, pass.options.retention.delay, tags, pass.now)) {
        const bool gone = co_await pool_.run([&pass, repository, removal] {
            return pass.upkeep->remove_tag_if(repository, removal.name, removal.digest);
        });
        if (!gone) continue;  // it has moved or gone meanwhile
        ++pass.report.tags;
        pass.say(fmt::format("tag {}:{} ({}): policies[{}]: {}", repository, removal.name,
                             removal.digest.text(), number, removal.reason));
    }
}

// Manifests without a tag: pulled by digest, or left by a tag that moved. They live by access time.
Task<> Collector::collect_untagged(Pass& pass, std::string repository,
                                   const RetentionPolicy* policy) {
    const Duration age = std::max(pass.options.delay, pass.options.untagged_age);
    const WallTime before = pass.now - micros(age);
    std::optional<oci::Digest> after;
    while (!stopping_) {
        const auto untagged = co_await pool_.run([&pass, repository, before, after] {
            return pass.upkeep->untagged(repository, before, kManifestPage, after);
        });
        const auto goes = policy ? untagged_to_remove(*policy, untagged, pass.now) : untagged;
        std::vector<oci::Digest> digests;
        for (const auto& manifest : goes) digests.push_back(manifest.digest);
        std::vector<oci::Digest> gone;
        if (!digests.empty())
            gone = co_await pool_.run([&pass, repository, before, digests] {
                return pass.upkeep->unlink(repository, before, digests);
            });
        pass.report.untagged += gone.size();
        for (const auto& digest : gone)
            pass.say(
                fmt::format("manifest {}@{}: no tag or index there names it, and it was not "
                            "pulled for {}",
                            repository, digest.text(), duration_text(age)));
        if (untagged.size() < kManifestPage) co_return;
        after = untagged.back().digest;
        co_await sleep_for(kPause);
    }
}

Task<> Collector::collect_links(Pass& pass, std::string repository) {
    const WallTime before =
        pass.now - micros(std::max(pass.options.delay, pass.options.untagged_age));
    while (!stopping_) {
        const auto loose = co_await pool_.run([&pass, repository, before] {
            return pass.upkeep->loose_links(repository, before, kManifestPage);
        });
        if (loose.empty()) co_return;
        const auto gone = co_await pool_.run([&pass, repository, before, loose] {
            return pass.upkeep->unlink(repository, before, loose);
        });
        pass.report.links += gone.size();
        for (const auto& digest : gone)
            pass.say(
                fmt::format("link {}@{}: no manifest there names it", repository, digest.text()));
        // All of a page came to be needed: the next page would begin with whatever kept them.
        if (loose.size() < kManifestPage || gone.empty()) co_return;
        co_await sleep_for(kPause);
    }
}

Task<> Collector::sweep(Pass& pass) {
    const WallTime before = pass.now - micros(pass.options.delay);
    while (!stopping_) {
        const auto gone = co_await pool_.run(
            [&pass, before] { return pass.upkeep->sweep_manifests(before, kManifestPage); });
        for (const auto& digest : gone)
            pass.say(
                fmt::format("manifest {}: no repository, tag or index needs it", digest.text()));
        pass.report.manifests += gone.size();
        if (gone.empty()) break;  // what an index kept goes with the page after it
        co_await sleep_for(kPause);
    }
    co_await sweep_blobs(pass);
    if (!pass.dry_run()) co_await erasures_.erase_left_over(stopping_);
    co_await delete_doomed(pass);
    co_await pool_.run([&pass] { pass.upkeep->remove_empty_repositories(kRepositoryPage); });
    while (!stopping_) {
        const size_t gone = co_await pool_.run(
            [&pass, before] { return pass.upkeep->sweep_lists(before, kListPage); });
        if (gone < kListPage) break;
        co_await sleep_for(kPause);
    }
}

Task<> Collector::sweep_blobs(Pass& pass) {
    const WallTime before = pass.now - micros(pass.options.delay);
    std::optional<oci::Digest> after;
    while (!stopping_) {
        std::optional<oci::Digest> next;
        const auto doomed = co_await pool_.run([&pass, after, before, &next] {
            return pass.upkeep->sweep_blobs(after, before, kBlobPage, &next);
        });
        std::exception_ptr stuck;
        for (const auto& blob : doomed) {
            ++pass.report.blobs;
            pass.report.blob_bytes += blob.size;
            pass.say(fmt::format("blob {} ({} bytes): no repository or manifest needs it",
                                 blob.digest.text(), blob.size));
            if (pass.dry_run()) continue;
            if (blobs_) blobs_->forget(blob.digest);
            if (blob.generation == 0) continue;
            try {
                co_await erasures_.erase({blob.digest, blob.generation, blob.size});
            } catch (const Failure&) {
                stuck = std::current_exception();
            }
        }
        co_await erasures_.report();
        if (stuck) std::rethrow_exception(stuck);
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
            [&pass, before] { return pass.upkeep->claim_doomed(before, kDeletePage); });
        if (page.empty()) co_return;
        std::vector<oci::Digest> failed;
        store::RemoteAnswer answer;
        if (!pass.dry_run()) answer = co_await remote_->remove(page, &failed);
        std::vector<oci::Digest> done;
        for (const auto& digest : page)
            if (std::find(failed.begin(), failed.end(), digest) == failed.end())
                done.push_back(digest);
        co_await pool_.run([&pass, done, failed] {
            pass.upkeep->doomed_done(done);
            pass.upkeep->release_doomed(failed);
        });
        for (const auto& digest : done)
            pass.say(fmt::format("object {} in S3: nothing needs it, and its grace is over",
                                 digest.text()));
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
