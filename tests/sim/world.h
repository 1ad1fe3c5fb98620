// tests/sim/world.h: one run of the simulator: a seed makes registries, a weir, clients and
// troubles, and every promise of the design is checked while they meet.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/scope.h"
#include "sim/content.h"
#include "sim/depot.h"
#include "sim/internet.h"
#include "sim/machine.h"

namespace weir::sim {

// Which troubles a run has.
struct Troubles {
    bool breaks = false;     // cuts, stalls, slow heads, lost Content-Length
    bool damage = false;     // flipped bytes, wrong sizes and offsets, ignored ranges
    bool moods = false;      // mirrors and the token server that refuse, hang, throttle, deny
    bool full = false;       // a disk or a quota that fills up
    bool errors = false;     // a disk that fails now and then
    bool database = false;   // a database that can't be written now and then
    bool crashes = false;    // power cuts
    bool bounds = false;     // a disk that is kept below a watermark, and collection
    bool restarts = false;   // stops and starts, with clients under way
    bool s3 = false;         // no trouble: S3 is behind the disk, and garbage is collected
    bool s3_moods = false;   // that refuses, hangs, fails, denies
    bool s3_breaks = false;  // and cuts, stalls, corrupts, loses answers
    bool retention = false;  // tags that are not pulled go

    bool calm() const {
        return !breaks && !damage && !moods && !full && !errors && !database && !crashes &&
               !bounds && !restarts && !s3_moods && !s3_breaks;
    }
    bool tiers() const { return bounds || s3; }
    // Bytes may have to be fetched again though they had arrived.
    bool loses_bytes() const { return damage || full || errors || database || tiers(); }
    std::string text() const;
};

// What a client asks for and how it behaves.
struct Wish {
    size_t route = 0;
    oci::Digest digest;
    std::vector<cache::WantedRange> ranges;
    uint64_t bytes_at_once = 65536;
    Duration pause{};                    // between two reads
    uint64_t leaves_after = UINT64_MAX;  // bytes
};

class World {
public:
    World(uint64_t seed, bool verbose);
    ~World();

    // To its end; the promises that were broken, in words.
    std::vector<std::string> run();
    uint64_t trace() const { return trace_; }
    const Troubles& troubles() const { return troubles_; }
    // Coroutines are left: it can't be taken apart.
    bool hung() const { return hung_; }
    Duration virtual_time() const { return clock_.now().time_since_epoch(); }

private:
    class Busy;
    struct Hung {};

    // world.cc
    void furnish();
    void make_images(size_t registry, const std::string& name);
    void make_routes();
    Task<> push_image();
    MachineOptions machine_options();
    void tier_options(MachineOptions&);
    void note(const std::string& what);
    void wrong(const std::string& what);
    TimePoint now() const { return clock_.now(); }
    bool chance(double p) { return random_.unit() < p; }
    Duration between(Duration low, Duration high);
    template <class C>
    const auto& any_of(const C& all) {
        return *std::next(all.begin(), static_cast<ptrdiff_t>(random_.below(all.size())));
    }
    void await(const char* what, const std::function<bool()>& done, Duration within);

    // weather.cc: what goes wrong, and when
    Fault pick_fault(const Ask&, uint64_t length);
    Task<> weather();
    Task<> change_a_mood();
    DepotFault pick_depot_fault(const Visit&, uint64_t length);
    Task<> disk_episode();
    Task<> restart(bool crash);
    void move_a_tag();
    void heal();

    // clients.cc: who asks
    Task<> client(size_t number);
    Task<> pull(size_t route);
    Task<> pull_blobs(size_t route, const Document&);
    Wish any_wish(size_t route, const oci::Digest&);
    Task<std::shared_ptr<const cache::Manifest>> get_manifest(size_t route, oci::Reference,
                                                              bool head);
    Task<> blob_head(size_t route, oci::Digest);
    // true: all that was wished for has come.
    Task<bool> read(Wish);
    Task<bool> read_range(const cache::BlobView&, uint64_t first, uint64_t length, const Wish&,
                          uint64_t boot);
    Task<> lists(size_t route);
    Task<> one_thing(size_t route);

    // promises.cc: what is checked
    struct Expected {
        bool here = false;  // no upstream need be asked
        bool may_ask_first = false;
        bool exists = false;
        TimePoint asked_at{};
    };
    Expected expect_blob(size_t route, const oci::Digest&);
    Expected expect_manifest(size_t route, const oci::Reference&);
    bool exists(size_t route, const oci::Reference&, bool blob) const;
    void check_answer(const Expected&, const std::string& what, Duration limit);
    // `is_new`: may still be remembered as missing.
    void check_failure(const Expected&, const std::string& what, const Failure&,
                       bool is_new = false);
    bool is_new(const oci::Digest& blob) const;
    void check_manifest(size_t route, const oci::Reference&, bool head, const cache::ManifestView&,
                        TimePoint asked_at);
    void check_bytes(const oci::Digest&, const cache::BlobView&, uint64_t offset,
                     std::string_view bytes, bool& right);
    void check_ask(const Ask&);
    void check_given();
    void check_disk();
    void after_crash();
    Task<> aftermath();
    Task<> pull_again();
    Task<bool> read_at_last(Wish);

    // tier_promises.cc: what is checked of the tiers
    void watch_tiers();
    void check_eviction(const meta::Victim&);
    void check_bound();
    void check_economy(const Ask&, const oci::Digest&);
    void check_rows();
    void check_orphans();
    bool is_own(size_t route) const { return route == routes_.size(); }
    const std::string& local(size_t route) const { return machine_->options().routes[route].local; }
    std::optional<size_t> route_of(const oci::Digest&) const;
    Task<> tier_aftermath();
    Task<> pull_answered(const char* when, bool stored);
    Task<> read_kept(const char* when);
    Task<> settle_tiers();

    const uint64_t seed_;
    const bool verbose_;
    ManualClock clock_;
    LoopGroup loops_{1, clock_};
    SeededRandom random_, content_random_, fault_random_;
    Troubles troubles_;
    Content content_;
    Internet internet_{loops_[0], content_};
    Depot depot_{loops_[0]};
    std::unique_ptr<Machine> machine_;
    Scope scope_{"world"};
    std::vector<Route> routes_;
    std::vector<std::string> broken_;
    size_t busy_ = 0;     // requests that use the cache
    size_t clients_ = 0;  // that are not done
    bool furnished_ = false;
    bool over_ = false;   // the weather ends
    bool stormy_ = true;  // faults happen
    bool hung_ = false;
    bool changing_ = false;        // the machine is being stopped or started
    TimePoint unsettled_until_{};  // disk or database had failed until then
    std::set<std::string> asked_;  // "<registry> <repository> <reference>" that a client asked for
    std::map<oci::Digest, TimePoint> appeared_;  // when a blob came into one more repository
    std::set<oci::Digest> read_;                 // blobs that a client asked the bytes of
    std::set<oci::Digest> pushed_;               // blobs that no upstream has
    // Tags that a client was given with their bytes, and not removed since.
    std::set<std::pair<size_t, std::string>> answered_;
    // Blobs that the store took and may not lose.
    std::set<oci::Digest> kept_;
    std::map<oci::Digest, TimePoint> in_s3_;  // since when
    uint64_t changes_ = 0;                    // of the disk, when its bytes were counted
    uint64_t most_bytes_ = 0;                 // on the disk tier, seen so far
    std::map<std::string, int> heads_;        // under way, by "<registry> <repository> <tag>"
    uint64_t trace_ = 0xcbf29ce484222325;
};

}  // namespace weir::sim
