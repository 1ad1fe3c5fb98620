#include "client/name_service.h"

// c-ares 1.34 calls some functions old that 1.18 has no other for.
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "base/failure.h"
#include "client/quiet_thread.h"

namespace weir::client {
namespace {

TimePoint now() {
    return system_clock().now();
}

std::string text_of(const sockaddr* address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* bytes = nullptr;
    if (address->sa_family == AF_INET)
        bytes = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    else if (address->sa_family == AF_INET6)
        bytes = &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
    if (!bytes || !inet_ntop(address->sa_family, bytes, text.data(), text.size())) return {};
    return text.data();
}

Found found_of(const ares_addrinfo& info) {
    Found found;
    found.ttl = std::chrono::seconds(INT32_MAX);
    for (const ares_addrinfo_node* node = info.nodes; node; node = node->ai_next) {
        std::string text = text_of(node->ai_addr);
        if (text.empty() || std::ranges::find(found.addresses, text) != found.addresses.end())
            continue;
        found.addresses.push_back(std::move(text));
        found.ttl = std::min(found.ttl, std::chrono::seconds(std::max(node->ai_ttl, 0)));
    }
    found.what = found.addresses.empty() ? Found::What::absent : Found::What::addresses;
    if (found.addresses.empty()) found.detail = "it has no address";
    return found;
}

Found found_of(int status) {
    Found found;
    if (status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_EBADNAME) {
        found.what = Found::What::absent;
        found.detail = status == ARES_ENODATA ? "it has no address" : "there is no such name";
    } else {
        found.detail = fmt::format("the name servers give no answer ({})", ares_strerror(status));
    }
    return found;
}

}  // namespace

// One name: a channel of its own, made from the files as they are now. Own thread only.
class SystemNames::Lookup {
public:
    Lookup(std::string name, Done done)
        : name_(std::move(name)),
          done_(std::move(done)),
          deadline_(now() + kLookupTime),
          widen_at_(now() + kFamilyPatience) {
        ares_options options{};
        options.timeout = kServerTimeMs;
        options.tries = kTries;
        options.sock_state_cb = &Lookup::on_socket;
        options.sock_state_cb_data = this;
        const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
        if (const int status = ares_init_options(&channel_, &options, mask);
            status != ARES_SUCCESS) {
            channel_ = nullptr;
            result_ = found_of(status);
            return;
        }
        ask(both_, AF_UNSPEC);
    }
    ~Lookup() {
        ending_ = true;
        if (channel_) ares_destroy(channel_);
    }
    Lookup(const Lookup&) = delete;
    Lookup& operator=(const Lookup&) = delete;

    const std::map<ares_socket_t, short>& sockets() const { return sockets_; }

    TimePoint due(TimePoint at) const {
        if (result_) return at;
        TimePoint due = std::min(deadline_, widened_ ? kNever : widen_at_);
        timeval next{};
        if (ares_timeout(channel_, nullptr, &next))
            due = std::min<TimePoint>(due, at + std::chrono::seconds(next.tv_sec) +
                                               std::chrono::microseconds(next.tv_usec));
        return due;
    }

    void socket_ready(ares_socket_t socket, short events) {
        const bool reads = events & (POLLIN | POLLERR | POLLHUP), writes = events & POLLOUT;
        ares_process_fd(channel_, reads ? socket : ARES_SOCKET_BAD,
                        writes ? socket : ARES_SOCKET_BAD);
    }

    // true: it has ended.
    bool advance(TimePoint at) {
        if (!result_) ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        if (!result_ && !widened_ && at >= widen_at_) {
            widened_ = true;
            ask(four_, AF_INET);
            if (!result_) ask(six_, AF_INET6);
        }
        if (!result_ && at >= deadline_) result_ = found_of(ARES_ETIMEOUT);
        return result_.has_value();
    }

    void finish() { done_(result_ ? *std::move(result_) : found_of(ARES_EDESTRUCTION)); }

private:
    struct Question {
        Lookup* lookup = nullptr;
        bool all = false;  // both families
    };

    void ask(Question& question, int family) {
        question = {this, family == AF_UNSPEC};
        ares_addrinfo_hints hints{};
        hints.ai_family = family;
        hints.ai_socktype = SOCK_STREAM;
        ares_getaddrinfo(channel_, name_.c_str(), nullptr, &hints, &Lookup::on_answer, &question);
    }

    static void on_answer(void* question, int status, int, ares_addrinfo* info) {
        const auto& asked = *static_cast<Question*>(question);
        Lookup& lookup = *asked.lookup;
        if (!lookup.ending_ && !lookup.result_) {
            Found found = info && status == ARES_SUCCESS ? found_of(*info) : found_of(status);
            // That one family has nothing says nothing of the other.
            if (asked.all || found.what == Found::What::addresses)
                lookup.result_ = std::move(found);
        }
        if (info) ares_freeaddrinfo(info);
    }

    static void on_socket(void* self, ares_socket_t socket, int reads, int writes) {
        auto& sockets = static_cast<Lookup*>(self)->sockets_;
        if (!reads && !writes) {
            sockets.erase(socket);
        } else {
            sockets[socket] = static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
        }
    }

    const std::string name_;
    Done done_;
    const TimePoint deadline_, widen_at_;
    ares_channel channel_ = nullptr;
    std::map<ares_socket_t, short> sockets_;
    Question both_, four_, six_;
    bool widened_ = false, ending_ = false;
    std::optional<Found> result_;
};

SystemNames::SystemNames() {
    ares_library_init(ARES_LIB_INIT_ALL);
    wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_ < 0)
        throw Failure(Kind::internal, fmt::format("no eventfd for names: {}", strerror(errno)));
    look_at_files();
    thread_ = quiet_thread("names", [this] { work(); });
}

SystemNames::~SystemNames() {
    stop();
    close(wake_);
    ares_library_cleanup();
}

void SystemNames::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake();
    if (thread_.joinable()) thread_.join();
}

void SystemNames::wake() const {
    const uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake_, &one, sizeof one);
}

void SystemNames::look_up(std::string name, Done done) {
    {
        std::lock_guard lock(mutex_);
        if (!stopping_) {
            jobs_.push_back({std::move(name), std::move(done)});
            wake();
            return;
        }
    }
    done(found_of(ARES_EDESTRUCTION));
}

uint64_t SystemNames::generation() {
    const int64_t at = now().time_since_epoch().count();
    int64_t look_at = look_at_ns_.load(std::memory_order_relaxed);
    const int64_t next = at + std::chrono::nanoseconds(kLookInterval).count();
    if (at >= look_at && look_at_ns_.compare_exchange_strong(look_at, next)) {
        look_ = true;
        wake();
    }
    return generation_;
}

void SystemNames::look_at_files() {
    std::string seen;
    for (const char* path : {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"}) {
        struct stat found{};
        if (stat(path, &found) == 0)
            seen += fmt::format("{}.{} {} {};", found.st_mtim.tv_sec, found.st_mtim.tv_nsec,
                                found.st_size, found.st_ino);
        seen += '\n';
    }
    if (std::exchange(files_, seen) != seen) ++generation_;
}

// false: it is to stop.
bool SystemNames::take_jobs() {
    std::vector<Job> jobs;
    bool stopping = false;
    {
        std::lock_guard lock(mutex_);
        jobs.swap(jobs_);
        stopping = stopping_;
    }
    for (auto& job : jobs)
        lookups_.push_back(std::make_unique<Lookup>(std::move(job.name), std::move(job.done)));
    return !stopping;
}

void SystemNames::work() {
    while (take_jobs()) {
        if (look_.exchange(false)) look_at_files();
        end_finished(now());
        wait();
    }
    for (const auto& lookup : lookups_) lookup->finish();
    lookups_.clear();
}

void SystemNames::end_finished(TimePoint at) {
    for (auto next = lookups_.begin(); next != lookups_.end();) {
        const auto lookup = next++;
        if (!(*lookup)->advance(at)) continue;
        const auto ended = std::move(*lookup);
        lookups_.erase(lookup);
        ended->finish();
    }
}

void SystemNames::wait() {
    std::vector<pollfd> waited{{wake_, POLLIN, 0}};
    std::vector<Lookup*> whose{nullptr};
    const TimePoint at = now();
    TimePoint due = kNever;
    for (const auto& lookup : lookups_) {
        due = std::min(due, lookup->due(at));
        for (const auto& [socket, events] : lookup->sockets()) {
            waited.push_back({socket, events, 0});
            whose.push_back(lookup.get());
        }
    }
    int timeout_ms = -1;
    if (due != kNever)
        timeout_ms = static_cast<int>(std::clamp<int64_t>(
            std::chrono::ceil<std::chrono::milliseconds>(due - at).count(), 0, 60'000));
    poll(waited.data(), waited.size(), timeout_ms);
    if (waited[0].revents != 0) {
        uint64_t count = 0;
        [[maybe_unused]] const auto bytes = read(wake_, &count, sizeof count);
    }
    for (size_t i = 1; i < waited.size(); ++i)
        // A socket that is ready may have been closed by what came on the one before it.
        if (waited[i].revents != 0 && whose[i]->sockets().contains(waited[i].fd))
            whose[i]->socket_ready(waited[i].fd, waited[i].revents);
}

}  // namespace weir::client
