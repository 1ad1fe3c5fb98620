// cache/fetch.h: one blob being filled, read by many.
//
// A Fetch owns a sparse staging file and the extents that have arrived in it. Origins write, each
// through a Segment (one range on its way); any number of readers follow, each at its own offset
// and speed. A FetchTable has at most one for each group of upstreams. It outlives the request that
// started it and ends when the blob is stored, when it fails, or, if only ranges were wanted, when
// they have arrived ("parked": the extents stay, the next request goes on from them).
//
// Threads: segments write on transfer threads; catch-up hashing runs on the pool; the driver and
// the readers run on loops. All state is behind one mutex that is never held across I/O. What is
// written was promised by the Space first.
#pragma once
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/fair_semaphore.h"
#include "async/pool.h"
#include "async/scope.h"
#include "async/semaphore.h"
#include "async/signal.h"
#include "base/clock.h"
#include "base/random.h"
#include "cache/cache.h"
#include "cache/lru.h"
#include "cache/origin.h"
#include "crypto/hasher.h"
#include "meta/metadata.h"
#include "store/space.h"
#include "store/store.h"

namespace weir::cache {

class Fetch;

// What every Fetch of a table works with. Outlives them.
struct FetchContext {
    const Options& options;
    meta::Metadata& metadata;
    store::Store& store;
    store::Space& space;
    Pool& pool;
    Clock& clock;
    Random& random;
    Scope& scope;
    // Places of running fetches, shared by upstream (async/shares.h).
    FairSemaphore& permits;
    // (digest, origin) pairs that gave wrong bytes not long ago, and until when others come first.
    Lru<std::string, TimePoint>& bad_origins;
    // Set once before the first fetch, when there are tiers to keep in bounds; empty otherwise.
    // Evicts until so many bytes fit; false when they can't.
    std::function<Task<bool>(uint64_t)> make_room = {};
    // A blob was stored: there may be something to upload.
    std::function<void()> stored = {};
    // Whether a blob of this size is worth keeping on disk, from this request on.
    std::function<bool(const oci::Digest&, uint64_t)> admits = {};
    // The row outlived its file. On the pool.
    std::function<void(const oci::Digest&, uint64_t generation)> lose = {};
    // Until all that is on the disk is counted: nothing is promised before.
    std::function<Task<>()> settled = {};
    // Files that could be neither recorded nor removed: nobody goes on with them.
    static constexpr size_t kMaxRenounced = 4096;
    Lru<oci::Digest, bool, oci::DigestHash> renounced{kMaxRenounced};
    // Whose group's bytes are in what this process left of a blob: no other group goes on with it.
    static constexpr size_t kMaxLeftBy = 4096;
    Lru<oci::Digest, std::string, oci::DigestHash> left_by{kMaxLeftBy};
    // Set by the FetchTable. The fetch has the blob and will store it: nothing of the others' is
    // kept. It owns the row now, unless one that runs does; gives an owner that is at its end.
    std::function<std::shared_ptr<Fetch>(Fetch&)> overtake = {};
};

// What becomes of what an earlier fetch left: all of it goes, or what its row doesn't count.
enum class LeftOver { dropped, cut };

// Whose bytes a Fetch takes (cache/gate.h).
struct FetchTerms {
    std::string scope;  // login_scope()
    // What is stored, or under way from elsewhere, is not taken: the repository has no claim to it,
    // and these origins have to give all of it.
    bool anew = false;
};

// A reader that may go while it waits. Own loop only; outlives the wait.
struct Departure {
    bool gone = false;
    std::optional<Firing> waiting;
    void go() {
        gone = true;
        if (waiting) waiting->fire();
    }
};

class Segment;

class Fetch : public std::enable_shared_from_this<Fetch> {
public:
    // `owns`: the row of the digest, and what an earlier one left. Else its file has no name, and
    // nothing of it is recorded until it is whole.
    Fetch(FetchContext&, oci::Digest, std::string group, bool owns,
          std::shared_ptr<Fetch> predecessor, FetchTerms = {});
    ~Fetch();

    // Adds what a request needs; false when this Fetch has ended (failed, parked, stored) and takes
    // no more. `wanted` empty: the whole blob. The first call comes before start().
    bool want(const std::vector<WantedRange>& wanted, const Origins& origins);
    // Runs the driver in the context's scope on the current loop; `ended` is called once, when
    // nothing is left to do.
    void start(std::function<void()> ended);
    // Takes no wishes: it only sweep()s, instead of start().
    void close(std::function<void()> ended);
    // Gives how many bytes count no more. Those who want the blob meanwhile start a fetch of their
    // own, which waits for this one's end as for any other's.
    Task<uint64_t> sweep(LeftOver);
    // The same of one that waits until all is settled.
    Task<uint64_t> tidy(LeftOver);
    // Ends it: waiters fail with `why`, what has arrived is recorded. Any thread.
    void cancel(const Failure& why);
    // Until the driver has ended.
    Task<> join();

    // The size, as soon as it may be promised to a reader of `wanted` (empty: all): a head is a
    // promise, so it leaves when all that is wanted is here, or when an origin has begun to give
    // bytes that lead to the first one that is missing; that of an empty blob when it is verified.
    // Throws the Fetch's failure, or Failure{upstream_timeout} at the deadline (the fetch goes on).
    Task<uint64_t> head(TimePoint deadline, std::vector<WantedRange> wanted = {});
    // Suspends until the byte at `offset` may be read, and, unless `soft` passes first, until
    // `at_least` of them may; returns how many (> 0). `whole`: the reader was promised a verified
    // blob, so the last byte is withheld until then. Throws the Fetch's failure, or
    // Failure{cancelled} when the reader goes.
    Task<uint64_t> readable_from(uint64_t offset, uint64_t at_least, TimePoint soft, bool whole,
                                 Departure* departure = nullptr);
    // What is there now, without waiting; the largest count that readable_from() would give.
    uint64_t available(uint64_t offset, bool whole) const;

    // The file to read from, within what readable_from() allowed. Once head() has returned.
    std::shared_ptr<const File> file() const;
    std::optional<uint64_t> size() const;
    // An origin of this repository has told the size that is known, and as far as the bytes are
    // private it is of the upstream that they are private of.
    bool proven(const std::string& repository) const;
    const FetchTerms& terms() const { return terms_; }
    // meta/metadata.h: of the bytes that came so far.
    std::string private_of() const;
    // Everything was asked for (then it will be verified).
    bool whole() const;
    const oci::Digest& digest() const { return digest_; }
    std::string upstream_name() const;
    Origins origins() const;
    std::exception_ptr failure() const;
    bool running() const;
    bool verified() const;
    const std::string& group() const { return group_; }
    bool owns() const;
    // Worth waiting for by those who have an upstream of their own to ask: a whole of known size,
    // that keeps coming, and at its rate is here within kNearTime; or one that has just begun. They
    // are shown none of its bytes before all of them are known to be right.
    bool nearly_there() const;
    static constexpr Duration kNearTime = std::chrono::seconds(2);
    static constexpr Duration kQuietTime = std::chrono::milliseconds(300);
    // Another fetch stores the blob. false: this one is at its end, if not ended.
    bool overtaken();
    void own();
    // The sum of the first bytes as they came, however far it has got; nullopt while a thread is
    // at it.
    struct Front {
        uint64_t length = 0;
        oci::Digest sum;
    };
    std::optional<Front> front() const;

    // Somebody waits for its bytes or reads them, for as long as this lives. A fetch that crawls
    // and that nobody is interested in gives up its place: what has arrived stays for the next
    // request.
    class Interest {
    public:
        explicit Interest(std::shared_ptr<Fetch> fetch) : fetch_(std::move(fetch)) {
            ++fetch_->interest_;
        }
        ~Interest() { --fetch_->interest_; }
        Interest(const Interest&) = delete;
        Interest& operator=(const Interest&) = delete;

    private:
        const std::shared_ptr<Fetch> fetch_;
    };
    static constexpr Duration kCrawlTime = std::chrono::seconds(5);
    static constexpr uint64_t kCrawlBytesPerSecond = 64 * 1024;

private:
    friend class Segment;
    enum class State { running, stored, parked, failed };
    struct Waiter {
        uint64_t wake_at = 0;  // fire when bytes up to here may be read
        uint64_t offset = 0;
        bool whole = false;
        Firing firing;
        const std::vector<WantedRange>* wanted = nullptr;  // of a head
    };
    struct Plan {
        upstream::BlobRange range;
        uint64_t limit = UINT64_MAX;  // exclusive
        bool urgent = false;
    };

    // fetch_drive.cc, fetch_segments.cc, fetch_end.cc
    Task<> drive();
    void conclude();
    Task<> fill();
    Task<> settle();
    TimePoint patience() const;
    bool all_here() const;
    void stop_segments();
    Task<> prepare();
    bool may_take(const std::string& private_of) const;
    Task<> prepare_unnamed();
    void adopt_staging(const meta::StagingRow& row, std::shared_ptr<store::Staging> staging);
    // What a segment has learnt in this round over the origins.
    struct SegmentRound {
        TimePoint started{};
        uint32_t number = 0;
        std::set<std::string> tried;  // keys of origins
        Verdict verdict;
        void forget() {
            tried.clear();
            verdict = {};
            number = 0;
        }
    };
    Task<> run_segment(std::shared_ptr<Segment> segment);
    Task<> pursue(std::shared_ptr<Segment> segment);
    Task<> attempt(std::shared_ptr<Segment> segment, std::shared_ptr<Origin> origin,
                   SegmentRound& round);
    Task<bool> next_round(std::shared_ptr<Segment> segment, SegmentRound& round);
    std::shared_ptr<Origin> choose_origin(const std::set<std::string>& tried) const;
    bool untried_locked(const std::set<std::string>& tried) const;
    bool hope_locked(const SegmentRound& round) const;
    Failure verdict_locked(const SegmentRound& round) const;
    void blame(Origin& origin, const std::string& problem, SegmentRound& round);
    Duration head_time(const SegmentRound& round) const;
    Task<meta::Extents> record();
    Task<> finish();
    Task<> store_blob();
    Task<bool> make_named();
    Task<> clear_row();
    Task<> restart_or_fail();
    Task<> end_partial();
    Task<> salvage();
    Task<> renounce();
    // What the file takes beyond these bytes, it gives back.
    Task<> keep_only(std::shared_ptr<store::Staging> staging, meta::Extents extents);
    Task<> drop_file();
    void spawn_work();
    void hash_ahead();

    // fetch_space.cc
    // Promises a step of what is foreseen. false: refused. True also when there is nothing to
    // reserve.
    bool reserve();
    // The same for bytes that are about to be written.
    bool reserve_for(uint64_t first, uint64_t end);
    bool promise(uint64_t bytes);
    void count_written_locked();
    void allocate_ahead(uint64_t offset);
    bool may_make_room() const;
    bool could_hold(uint64_t foreseen);
    void want_room(uint64_t bytes);
    uint64_t foreseen_locked();
    uint64_t unpromised_locked(uint64_t total) const;
    uint64_t taken_locked(const meta::Extents& claimed) const;
    Task<> ensure_room();
    Failure no_room() const;
    void count_space_locked(uint64_t total);

    // plan.cc; the mutex is held
    std::optional<Plan> plan_locked();
    std::optional<Plan> plan_blind_locked() const;
    std::optional<Plan> plan_urgent_locked();
    void resolve_wanted_locked();
    bool wants_more_locked();
    bool gives_parts_locked() const;
    uint64_t align_down(uint64_t offset) const;
    uint64_t align_up(uint64_t offset) const;
    const FetchPolicy& policy_locked() const;

    // fetch.cc
    bool promised_locked(const std::vector<WantedRange>& wanted) const;
    uint64_t available_locked(uint64_t offset, bool whole) const;
    void fire_locked(std::vector<Firing>& out);
    // Who has to know of an end, told once the mutex is free.
    struct Wakes {
        std::vector<Firing> firings;
        std::vector<std::shared_ptr<client::TransferHandle>> handles;
        void act() const;
    };
    void fail_locked(std::exception_ptr error, Wakes& out);
    void fail(std::exception_ptr error);
    void wake_driver();

    // fetch_place.cc
    Task<FairSemaphore::Permit> take_place();
    // Parks when nobody reads it and hardly a byte has come for kCrawlTime; true then.
    bool park_unread();
    std::string upstreams_locked() const;
    Failure no_head_locked() const;
    // Takes the size that an origin claims; false when it contradicts what is known.
    // Failure{no_space} when there is no room for it.
    bool learn_size(uint64_t size, const Origin& origin);
    // The segment has written these bytes at `first`: hash, publish, wake.
    void arrived(Segment& by, uint64_t first, std::span<const std::byte> bytes);
    void check_sum_locked(std::vector<Firing>& out);
    std::string bad_key(const Origin&) const;
    // What a head proves; its size was taken.
    void prove_locked(const Origin&, const upstream::BlobHead&);
    bool proven_locked(const std::string& repository) const;
    // Repositories that may be linked now.
    std::vector<std::string> proven_now_locked() const;

    FetchContext& context_;
    const oci::Digest digest_;
    const std::string group_;
    const TimePoint began_;
    const FetchTerms terms_;
    std::shared_ptr<Fetch> predecessor_;
    std::function<void()> ended_;

    mutable std::mutex mutex_;
    State state_ = State::running;
    std::exception_ptr failure_;
    std::optional<uint64_t> size_;
    std::string size_from_;  // key of the origin that told it
    meta::Extents have_;
    meta::Extents claimed_;  // have_, and what is being written
    bool whole_ = false;
    std::vector<WantedRange> specs_;  // not yet resolved against the size
    meta::Extents wanted_;            // resolved and aligned
    Origins origins_;
    std::map<std::string, std::string> proven_;  // repository to upstream
    std::string private_of_;
    std::set<std::string> contributed_;  // keys of origins whose bytes are in the file
    std::set<std::string> slow_;         // keys of origins that stalled: the others first
    std::set<std::string> convicted_;    // keys of origins whose bytes were wrong: never again
    std::string upstream_name_;
    std::vector<std::shared_ptr<Segment>> segments_;
    std::vector<Waiter> waiters_;
    std::optional<Firing> driver_;
    std::vector<Firing> joiners_;
    bool ended_flag_ = false;

    std::shared_ptr<store::Staging> staging_;
    std::shared_ptr<const File> file_;
    store::Space::Reservation reservation_;
    // Taken before the mutex while space is asked for: a driver and a transfer that ask at once
    // would ask for the same bytes, and one of them be refused.
    std::mutex promising_;
    bool room_wanted_ = false;  // a segment pauses until there is room
    uint64_t room_bytes_ = 0;   // ... for so many bytes
    bool room_asked_ = false;   // the size is known, and whether there is room for it is not yet
    // Whoever is told the size is told, too, whether this will be kept or relayed.
    bool head_known_locked() const { return size_ && file_ && !room_wanted_ && !room_asked_; }
    uint64_t counted_ = 0;       // bytes of this blob that Space counts as used
    uint64_t row_bytes_ = 0;     // bytes of this blob that its row in the database counts
    bool owns_ = true;           // its row, and what an earlier one left
    bool unnamed_ = false;       // its file
    bool overtaken_ = false;     // another has stored it: nothing of this is kept
    bool unkept_ = false;        // it failed for want of room, or of a sound disk
    bool allocated_ = false;     // the file may take more than what has come
    uint64_t allocated_to_ = 0;  // of the file, from its start
    bool resumed_ = false;       // bytes of an earlier process are in the file
    bool shown_ = false;         // a reader was given bytes
    bool mismatch_ = false;      // all has arrived, and it is not the blob
    bool verified_ = false;
    bool doubtful_ = false;  // origins disagree about the size: nothing of this is kept
    bool head_given_ = false;
    bool answered_ = false;  // an origin has begun to give, in this process
    std::optional<uint64_t> promised_size_;

    crypto::Hasher hasher_;
    uint64_t hashed_ = 0;    // the contiguous front that is in hasher_
    bool hashing_ = false;   // one thread owns hasher_ now
    uint64_t received_ = 0;  // bytes that arrived in this process
    uint64_t recorded_ = 0;  // received_ when the extents were last recorded
    TimePoint progress_{};   // when bytes last arrived

    std::atomic<size_t> interest_{0};
    bool waits_for_place_ = false;
    TimePoint watched_from_{};    // since when nobody has been interested
    uint64_t watched_bytes_ = 0;  // received_ then
};

}  // namespace weir::cache
