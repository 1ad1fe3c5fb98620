// client/name_service.h: /etc/hosts and DNS (c-ares) on a thread of their own.
//
// What /etc/nsswitch.conf says of files and dns, /etc/hosts, and servers, search domains and ndots
// of /etc/resolv.conf count as they do for other programs; the files are read for each look-up, and
// a changed one makes all earlier answers void. Other sources of nsswitch.conf are not asked.
//
// A look-up asks for IPv4 and IPv6 together, and after kFamilyPatience without an answer for each
// alone too, so that a server that drops one kind of question does not hide the other's answer. It
// ends within kLookupTime.
#pragma once
#include <atomic>
#include <chrono>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/resolver.h"

namespace weir::client {

class SystemNames : public NameService {
public:
    static constexpr auto kLookupTime = std::chrono::seconds(10);
    static constexpr auto kFamilyPatience = std::chrono::milliseconds(300);
    // Of one server, the first time; longer each time that all were asked.
    static constexpr int kServerTimeMs = 2'000;
    static constexpr int kTries = 3;
    // The files are looked at no more often, and only when somebody asks.
    static constexpr auto kLookInterval = std::chrono::seconds(1);

    SystemNames();  // Failure{internal} when the process has no descriptor or thread left
    ~SystemNames() override;
    void look_up(std::string name, Done done) override;
    uint64_t generation() override;
    void stop() override;

private:
    class Lookup;
    struct Job {
        std::string name;
        Done done;
    };

    void work();
    bool take_jobs();
    void wait();
    void end_finished(TimePoint now);
    void look_at_files();
    void wake() const;

    int wake_ = -1;
    std::mutex mutex_;
    std::vector<Job> jobs_;
    bool stopping_ = false;
    std::atomic<uint64_t> generation_{1};
    std::atomic<int64_t> look_at_ns_{0};  // when somebody's question is reason to look again
    std::atomic<bool> look_{false};
    // The rest belongs to the thread.
    std::list<std::unique_ptr<Lookup>> lookups_;
    std::string files_;  // times and sizes, as last seen
    std::thread thread_;
};

}  // namespace weir::client
