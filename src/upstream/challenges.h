// upstream/challenges.h: what one host has asked to be shown, by repository, so that the next
// request brings it along.
//
// A challenge belongs to the repository it was made for. One that was answered with success is also
// a hint for the host's other repositories: it saves them the refusal that would only tell the
// same. Neither is ever a reason not to ask: what can't be had is forgotten, and the request is
// made without it (ask.cc). All of it ends after kChallengeLife, and with a reload.
#pragma once
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "upstream/upstream.h"

namespace weir::upstream {

inline constexpr std::chrono::minutes kChallengeLife{10};
inline constexpr size_t kMaxChallenged = 256;     // repositories of a host; others have the hint
inline constexpr size_t kMaxChallengeText = 512;  // of a realm or service; longer: not kept
inline constexpr size_t kMaxActionsText = 64;

struct Known {
    bool bearer = false;
    std::string realm, service;
    std::array<std::string, kPurposes> actions{"pull", "pull", "pull", "pull"};  // by Purpose
    bool inside = false;  // who said so has an address in a private network (client/guard.h)
    bool same_as(const Known& other) const {
        return bearer == other.bearer && realm == other.realm && service == other.service;
    }
};

// Any thread.
class Challenges {
public:
    struct Found {
        Known known;
        bool is_hint = false;
    };
    std::optional<Found> of(std::string_view repository, TimePoint now) const;
    void learn(std::string_view repository, Purpose, const Known&, TimePoint now);
    // A request of this repository with what it was challenged for went well.
    void confirm(std::string_view repository, TimePoint now);
    // What the host says to nobody in particular (GET /v2/).
    void suggest(const Known&, TimePoint now);
    // It could not be had, or did not help.
    void forget(std::string_view repository, const Known&);
    void forget();
    size_t size() const;

private:
    struct Entry {
        Known known;
        TimePoint until{};
    };
    mutable std::mutex mutex_;
    std::map<std::string, Entry, std::less<>> entries_;
    std::optional<Entry> hint_;
};

}  // namespace weir::upstream
