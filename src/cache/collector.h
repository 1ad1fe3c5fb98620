// cache/collector.h: garbage collection that no pull can notice.
//
// One pass: tags by retention, untagged manifests, loose links, manifests and blobs that nothing
// needs, files that a crash left without a row, then S3 objects whose grace is over.
// Each step is a page: one short transaction, then unlinking and deleting outside of it. Between
// pages others go first. What is being read stays readable; a pull that comes too late fetches
// again.
//
// A dry run is the same pass on a copy of the database, without files and S3: so what it tells is
// what a pass at that time would have taken, with all that follows from it.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/pool.h"
#include "async/scope.h"
#include "cache/blobs.h"
#include "cache/erasures.h"
#include "cache/tiers.h"
#include "meta/metadata.h"
#include "meta/upkeep.h"
#include "store/remote.h"

namespace weir::cache {

struct CollectorReport {
    uint64_t repositories = 0, tags = 0, untagged = 0, links = 0, manifests = 0, blobs = 0,
             blob_bytes = 0, s3_objects = 0, s3_failed = 0;
    bool dry_run = false;
    bool stopped = false;
};

class Collector {
public:
    // `remote` and `blobs` may be null: no durable tier; a verb beside a running server.
    Collector(CollectorOptions, meta::Metadata&, meta::Upkeep&, Erasures&, store::Remote* remote,
              Blobs* blobs, Pool&, Clock&);

    // Passes at their interval until stop(), in `scope`, on `loop`. A pass that takes longer than
    // the interval is followed by one at the next multiple of it; one that was due but had to wait
    // (switched off, or outside of its window) begins when it may.
    void start(Scope& scope, Loop& loop);
    void stop();
    void set_options(CollectorOptions);

    // One pass, now. `tell` gets a line for each thing that goes (or, in a dry run, would go) and
    // why; `progress` the share of repositories done, 0 to 1. Either may be empty.
    Task<CollectorReport> run(bool dry_run, std::function<void(const std::string&)> tell,
                              std::function<void(double)> progress);

private:
    struct Pass;
    Task<> loop();
    Task<> pass_now(bool dry_run);
    Task<> collect_repository(Pass& pass, std::string repository);
    Task<> collect_tags(Pass& pass, std::string repository, const RetentionPolicy& policy);
    Task<> collect_untagged(Pass& pass, std::string repository, const RetentionPolicy* policy);
    Task<> collect_links(Pass& pass, std::string repository);
    Task<> sweep(Pass& pass);
    Task<> sweep_blobs(Pass& pass);
    Task<> delete_doomed(Pass& pass);
    // nullopt: a pass may begin now; else how long to wait for the window.
    std::optional<Duration> until_window(const CollectorOptions&) const;
    CollectorOptions options() const;

    mutable std::mutex mutex_;
    CollectorOptions options_;
    meta::Metadata& metadata_;
    meta::Upkeep& upkeep_;
    Erasures& erasures_;
    store::Remote* remote_;
    Blobs* blobs_;
    Pool& pool_;
    Clock& clock_;
    std::atomic<bool> stopping_{false};
    std::optional<Firing> runner_;
};

}  // namespace weir::cache
