// upstream/health.h: whether a host may be asked now, and for what.
//
// The rule: an answer speaks of what was asked (repository and purpose), silence of the host.
//   - A connection that can't be made says nothing of what would have been asked: after `failures`
//   of
//     them in a row the host is set aside for everything. One probe goes through when its time is
//     over.
//   - A failed answer (5xx, 408, 421, 425, nonsense, wrong bytes) or no head within the time counts
//     against the repository, for that purpose: after `failures` in a row that repository waits.
//     One repository can never set the host aside. Only when the failures in a row came from
//     kHostFaultRepositories of them does the host wait, for that purpose; a repository that has no
//     failure of its own is let through all the same, kMaxProbes at a time, unless the row is
//     nothing but silence.
//   - "Come back later" (429, Retry-After) holds for the repository and purpose. When
//     kHostFaultRepositories were told so in a row, the others are let through kMaxProbes at a
//     time.
//   - Any good answer (that includes 404, 401 and every other 4xx about one request) ends all of it
//     for its repository and purpose, and for the host.
// Times double while probes fail, up to kMaxSetAside.
#pragma once
#include <array>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "upstream/upstream.h"

namespace weir::upstream {

inline constexpr std::chrono::seconds kMaxSetAside{60};
inline constexpr std::chrono::seconds kMaxRetryAfter{300};    // longer wishes are cut to this
inline constexpr std::chrono::seconds kDefaultRetryAfter{1};  // a 429 that doesn't say
inline constexpr size_t kHostFaultRepositories = 3;
inline constexpr uint32_t kMaxProbes = 4;
inline constexpr size_t kMaxTroubles = 256;  // repositories in trouble, by host and purpose
inline constexpr size_t kMaxWhyBytes = 200;

// How a request ended, as far as it tells about the host.
enum class Sign {
    good,
    bad,     // an answer, and a failed one
    silent,  // connected, and no head came in time
    dead,    // no connection
    none,
};

// Any thread.
class Health {
public:
    enum class State { closed, open, probing, later };
    // Of an admitted request; goes back with leave().
    struct Ticket {
        bool link_probe = false, host_probe = false, own_probe = false;
    };
    struct Refusal {
        Outcome outcome = Outcome::unreachable;
        std::string detail;
        std::chrono::seconds retry_after{0};
    };

    Health(uint32_t failures, std::chrono::milliseconds set_aside, Random&);

    State state(TimePoint now) const;
    bool usable(Purpose, std::string_view repository, TimePoint now) const;
    // Either a ticket or why not.
    std::optional<Refusal> enter(Purpose, std::string_view repository, TimePoint now, Ticket&);
    void leave(Purpose, std::string_view repository, Ticket, Sign, TimePoint now,
               std::string_view why);
    // It asked for peace; returns for how long that is heeded.
    std::chrono::seconds hold_off(Purpose, std::string_view repository, TimePoint now,
                                  std::optional<std::chrono::seconds> wish);
    void forget();
    // Repositories that are remembered, over all purposes.
    size_t troubles() const;

private:
    // A row of failures, and the wait that follows it.
    struct Row {
        uint32_t failures = 0;
        bool open = false;
        uint32_t probes = 0;
        Duration open_for{};
        TimePoint open_until{}, later_until{}, touched{};
        std::string why;
    };
    struct Lane {
        Row host;
        bool answered = false;  // some failure in the row had a head
        std::vector<std::string>
            failed;                     // whose failures these are; at most kHostFaultRepositories
        std::vector<std::string> held;  // who was asked to come back later, likewise
        std::map<std::string, Row, std::less<>> troubles;
    };
    enum class Way { free, probe, later, aside };

    Row fresh() const;
    // Under mutex_.
    Way way_of(const Row&, TimePoint now, uint32_t max_probes = 1) const;
    Way host_way(const Lane&, const Row* own, TimePoint now) const;
    void fail(Row&, bool was_probe, bool may_open, TimePoint now, std::string_view why);
    Row& trouble(Lane&, std::string_view repository, TimePoint now);
    static void note(std::vector<std::string>& names, std::string_view repository);

    const uint32_t limit_;
    const Duration first_wait_;
    Random& random_;
    mutable std::mutex mutex_;
    Row link_;
    std::array<Lane, kPurposes> lanes_;
};

const char* state_name(Health::State);

}  // namespace weir::upstream
