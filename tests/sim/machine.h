// tests/sim/machine.h: one weir on its disk, without a listener: the real cache, upstream room,
// store and metadata over a simulated network, pool and disk. It can be stopped and can crash; what
// was durable is there at the next boot.
#pragma once
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/loop.h"
#include "cache/cache.h"
#include "meta/engine.h"
#include "s3/bucket.h"
#include "sim/depot.h"
#include "sim/http.h"
#include "sim/internet.h"
#include "sim/mortal_engine.h"
#include "sim/pool.h"
#include "store/remote.h"
#include "store/space.h"
#include "store/store.h"
#include "support/fault_files.h"
#include "support/temporary_directory.h"
#include "upstream/upstream.h"

namespace weir::sim {

// One local repository: the registry (and the name there) of each candidate.
struct Route {
    std::string local;
    std::vector<std::pair<size_t, std::string>> candidates;
};

struct MachineOptions {
    cache::Options cache;
    cache::Freshness freshness;
    cache::FetchPolicy fetch;
    upstream::Options upstream;  // name and mirrors are filled in
    store::Space::Limits limits{.max_bytes = UINT64_MAX, .min_free_bytes = 0};
    std::vector<size_t> mirrors{1};  // of each registry
    std::set<size_t> logins;         // registries that weir has a login for
    std::vector<Route> routes;
    uint64_t seed = 0;
    // The disk is kept in bounds and garbage is collected.
    bool tiers = false;
    cache::EvictionOptions eviction;
    cache::CollectorOptions collector;
    uint64_t single_put_bytes = 64ull << 20;  // a larger object goes up in parts
    bool chance = false;                      // jobs of the pool take seeded times
    Duration longest_job = std::chrono::microseconds(100);
};

class Machine {
public:
    // With a depot, that is the durable tier.
    Machine(MachineOptions, LoopGroup&, Internet&, Depot* = nullptr);
    ~Machine();  // stopped or crashed

    void boot();
    // Cache::stop() and the end of all that is in memory. Whoever uses the cache has left before
    // the memory goes: `idle` says so.
    Task<> stop(std::function<bool()> idle);
    // No write reaches the disk or the database from here on, no request S3 or an upstream.
    Task<> crash(FaultFiles::Loss, std::function<bool()> idle);
    bool up() const { return cache_ != nullptr && !dying_; }
    uint64_t boots() const { return boots_; }

    cache::Cache& cache() { return *cache_; }
    const cache::TargetPtr& target(size_t route) const { return targets_[route]; }
    const cache::TargetPtr& target(const std::string& local) const;
    upstream::Upstream& upstream(size_t registry) { return *upstreams_[registry]; }
    FaultFiles& files() { return files_; }
    meta::Engine& metadata() { return *metadata_; }  // past any crash
    store::Space& space() { return *space_; }
    HttpClient& http() { return http_; }
    const MachineOptions& options() const { return options_; }
    // Of every database write: true makes it fail.
    std::function<bool()> database_fails;
    // Told of what the database did; bytes that it lets go of are forgotten from then on.
    std::function<void(const meta::Victim&)> on_evicted;
    std::function<void(const oci::Digest&)> on_swept, on_stored, on_uploaded;
    std::function<void(const std::string& repository, const std::string& tag)> on_tag_removed;
    // After each job of the pool.
    std::function<void()> on_job;
    // A blob that was pushed: no upstream has it.
    Task<> push(oci::Digest, std::string bytes, std::string repository);

    static constexpr const char* kRoot = "/state";

private:
    Task<> end(std::function<bool()> idle);
    void open_metadata();
    void open_remote();

    const MachineOptions options_;
    LoopGroup& loops_;
    Internet& internet_;
    SeededRandom pool_random_, random_;
    SimPool pool_;
    HttpClient http_;
    Depot* depot_;
    std::optional<HttpClient> s3_http_;
    FaultFiles files_;
    std::optional<TemporaryDirectory> directory_;  // of the database
    std::unique_ptr<meta::Engine> metadata_;
    std::unique_ptr<MortalEngine> mortal_;
    std::unique_ptr<store::Space> space_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<Scope> s3_scope_;
    std::unique_ptr<s3::CredentialChain> credentials_;
    std::unique_ptr<s3::Bucket> bucket_;
    std::unique_ptr<store::Remote> remote_;
    std::vector<std::shared_ptr<upstream::Upstream>> upstreams_;
    std::vector<cache::TargetPtr> targets_;
    std::unique_ptr<cache::Cache> cache_;
    bool dying_ = false;
    uint64_t boots_ = 0;
};

// Runs the loop and moves the clock to the next timer until `done`; false when nothing is left that
// could happen, or at `limit`.
bool run_until(LoopGroup&, ManualClock&, const std::function<bool()>& done,
               TimePoint limit = kNever);

}  // namespace weir::sim
