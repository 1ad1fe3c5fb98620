// client/resolver.h: names to addresses, off the transfer threads: a table in front of a name
// service.
//
// A name server that says nothing delays who asked for that name, and nobody else. Each name is
// looked up once for all who ask; an answer is kept for as long as it says (within min_ttl and
// max_ttl), a "no such name" and a silence briefly. When the service falls silent about a name that
// it knew, the old addresses go on being used for up to max_stale. Look-ups under way are shared by
// party (async/shares.h), so that an upstream that redirects to thousands of silent names uses up
// its own share.
//
// Here ends what libcurl is trusted with: it is given addresses (CURLOPT_RESOLVE) and never asks
// for a name itself, because its resolver's threads are joined on the transfer thread.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "async/shares.h"
#include "base/clock.h"

namespace weir::client {

// What came of looking up a name.
struct Found {
    enum class What {
        addresses,
        absent,  // there is no such name, or it has no address
        silent,  // nobody could say
    };
    What what = What::silent;
    std::vector<std::string> addresses;  // as text, the best first; IPv4 and IPv6
    std::chrono::seconds ttl{0};
    std::string detail;  // why there are none, for people
};

// Who is asked. The real one is DNS and /etc/hosts (name_service.h); tests bring their own. An
// upstream with servers or addresses of its own would be another one.
class NameService {
public:
    using Done = std::function<void(Found)>;
    virtual ~NameService() = default;
    // Any thread. Calls `done` once, from any thread, within a time that the service bounds.
    virtual void look_up(std::string name, Done done) = 0;
    // Grows when what was said before may not hold any more: another resolv.conf, /etc/hosts.
    virtual uint64_t generation() = 0;
    // What runs ends as silent, and what comes later.
    virtual void stop() {}
};

// Any thread.
class Resolver : public std::enable_shared_from_this<Resolver> {
public:
    struct Limits {
        size_t max_names = 2048;    // remembered
        size_t max_addresses = 16;  // of one name
        size_t max_lookups = 64;    // under way, shared by party
        size_t max_queued = 512;    // names that wait for that, shared by party
        std::chrono::seconds min_ttl{5}, max_ttl{300};
        std::chrono::seconds absent_ttl{5}, silent_ttl{2};
        std::chrono::seconds max_stale{600};
    };
    using Result = std::shared_ptr<const Found>;
    using Done = std::function<void(const Result&)>;

    Resolver(std::unique_ptr<NameService>, Clock&);
    Resolver(std::unique_ptr<NameService>, Clock&, Limits);

    struct Asked {
        Result known;         // at once; else null, and `done` is called
        uint64_t ticket = 0;  // for leave()
    };
    // `party`: in whose share the look-up is. `done` may be called before this returns.
    Asked ask(const std::string& party, const std::string& name, Done done);
    // `done` needs not be called any more. A look-up that nobody waits for is not begun.
    void leave(const std::string& name, uint64_t ticket);
    // Nothing answers at its addresses: they are asked for anew once they are older than min_ttl.
    void doubt(const std::string& name);

    size_t names() const;
    // Before the last reference goes.
    void shutdown() { service_->stop(); }

private:
    struct Waiter {
        uint64_t ticket;
        Done done;
    };
    struct Entry {
        Result found;
        TimePoint got{}, expires{};
        bool looking = false;  // or waiting for its turn
        std::string party;     // that looks
        std::vector<Waiter> waiters;
        std::list<std::string>::iterator age;  // in ages_, while `found` is set
    };
    using Start = std::vector<std::string>;

    void begin(const Start& names);
    void finish(const std::string& name, Found found);
    void keep_locked(const std::string& name, Entry& entry, Found found);
    void drop_locked(std::unordered_map<std::string, Entry>::iterator);
    void follow_changes_locked();
    Start next_locked();

    const std::unique_ptr<NameService> service_;
    Clock& clock_;
    const Limits limits_;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, Entry> entries_;
    std::list<std::string> ages_;  // of names with an answer; the oldest answer first
    FairQueue<std::string> lookups_;
    uint64_t tickets_ = 0;
    uint64_t generation_ = 0;
};

}  // namespace weir::client
