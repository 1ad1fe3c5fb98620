#include "client/transfer.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include "base/check.h"

namespace weir::client {
namespace {

constexpr int kMaxPollMs = 60'000;
// Gathered bytes are handed over at the latest after this, however busy other transfers are.
constexpr auto kGatherTime = std::chrono::milliseconds(2);

// A thread that takes no signals: the process's go to main, and a write to a closed TLS connection
// must not end us.
template <class F>
std::thread quiet_thread(F f) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread thread(std::move(f));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return thread;
}

}  // namespace

class Transfer::Handle : public TransferHandle {
public:
    Handle(std::weak_ptr<Transfer> transfer, std::weak_ptr<Exchange> exchange)
        : transfer_(std::move(transfer)), exchange_(std::move(exchange)) {}
    void resume() override { say(Verb::resume); }
    void cancel() override {
        if (const auto exchange = exchange_.lock()) exchange->cancelled = true;
        say(Verb::cancel);
    }

private:
    void say(Verb verb) {
        const auto transfer = transfer_.lock();
        auto exchange = exchange_.lock();
        if (transfer && exchange) transfer->post({verb, std::move(exchange)});
    }
    std::weak_ptr<Transfer> transfer_;
    std::weak_ptr<Exchange> exchange_;
};

Transfer::Transfer(std::string name, CurlOptions options, std::string ca_file,
                   std::shared_ptr<Authorities> authorities)
    : name_(std::move(name)) {
    workshop_.options = std::move(options);
    workshop_.ca_file = std::move(ca_file);
    workshop_.authorities = std::move(authorities);
    multi_ = curl_multi_init();
    workshop_.share = curl_share_init();
    check(multi_ && workshop_.share, "libcurl has memory");
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS,
                      static_cast<long>(workshop_.options.max_connections));
    for (const auto& entry : workshop_.options.known_hosts)
        workshop_.known_hosts = curl_slist_append(workshop_.known_hosts, entry.c_str());
    // Used by this thread alone, so no lock functions.
    curl_share_setopt(workshop_.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(workshop_.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

Transfer::~Transfer() {
    shutdown();
    curl_multi_cleanup(multi_);
    curl_share_cleanup(workshop_.share);
    curl_slist_free_all(workshop_.known_hosts);
}

void Transfer::start() {
    thread_ = quiet_thread([this] { work(); });
    pthread_setname_np(thread_.native_handle(), name_.c_str());
}

bool Transfer::reserve() {
    if (load_.fetch_add(1) < workshop_.options.max_transfers) return true;
    load_.fetch_sub(1);
    return false;
}

std::shared_ptr<TransferHandle> Transfer::handle(const std::shared_ptr<Exchange>& exchange) {
    return std::make_shared<Handle>(weak_from_this(), exchange);
}

void Transfer::submit(const std::shared_ptr<Exchange>& exchange) {
    if (post({Verb::add, exchange})) return;
    load_.fetch_sub(1);
    exchange->end_as(End::cancelled, "shut down");
    exchange->finish(CURLE_OK);
}

bool Transfer::post(Letter letter) {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    const bool first = letters_.empty();
    letters_.push_back(std::move(letter));
    if (first) curl_multi_wakeup(multi_);
    return true;
}

void Transfer::shutdown() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        curl_multi_wakeup(multi_);
    }
    if (thread_.joinable()) thread_.join();
}

void Transfer::work() {
    while (take_mailbox()) {
        int left = 0;
        curl_multi_perform(multi_, &left);
        read_ended();
        ring_alarms();
        if (more_is_there()) continue;
        hand_over_gathered();
        curl_multi_poll(multi_, nullptr, 0, poll_timeout_ms(), nullptr);
    }
    while (!running_.empty()) {
        Exchange* exchange = running_.begin()->first;
        exchange->end_as(End::cancelled, "shut down");
        end(exchange, CURLE_OK);
    }
}

// false: the thread is to stop, and every exchange is in running_.
bool Transfer::take_mailbox() {
    std::vector<Letter> letters;
    bool stopping = false;
    {
        std::lock_guard lock(mutex_);
        letters.swap(letters_);
        stopping = stopping_;
    }
    for (auto& letter : letters) handle_letter(std::move(letter));
    return !stopping;
}

void Transfer::handle_letter(Letter letter) {
    if (letter.verb == Verb::add) return add(std::move(letter.exchange));
    Exchange* exchange = letter.exchange.get();
    if (!running_.contains(exchange)) return;
    if (letter.verb == Verb::cancel) {
        exchange->end_as(End::cancelled, "cancelled");
        end(exchange, CURLE_OK);
        return;
    }
    const CURLcode code = exchange->resume();
    if (code != CURLE_OK) return end(exchange, code);
    if (const auto kept = exchange->kept_end()) end(exchange, *kept);
}

void Transfer::add(std::shared_ptr<Exchange> exchange) {
    if (exchange->cancelled) {
        exchange->end_as(End::cancelled, "cancelled");
    } else if (exchange->begin(workshop_)) {
        curl_multi_add_handle(multi_, exchange->easy());
        running_.emplace(exchange.get(), std::move(exchange));
        return;
    }
    load_.fetch_sub(1);
    exchange->finish(CURLE_OK);
}

void Transfer::read_ended() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        void* exchange = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &exchange);
        auto* ended = static_cast<Exchange*>(exchange);
        const CURLcode code = message->data.result;
        // What its sink has not seen yet comes before its end.
        if (!ended->judged()) ended->hand_over();
        if (!ended->keep_end(code)) end(ended, code);
    }
}

// Whether it is worth waiting with what was gathered: only as long as nobody is kept waiting.
bool Transfer::more_is_there() {
    if (workshop_.gathering.empty()) {
        gathering_since_ = kNever;
        return false;
    }
    const TimePoint now = system_clock().now();
    if (gathering_since_ == kNever) gathering_since_ = now;
    if (now - gathering_since_ >= kGatherTime) return false;
    int ready = 0;
    curl_multi_poll(multi_, nullptr, 0, 0, &ready);
    return ready > 0;
}

void Transfer::hand_over_gathered() {
    gathering_since_ = kNever;
    while (!workshop_.gathering.empty()) {
        Exchange* exchange = workshop_.gathering.back();
        if (!exchange->hand_over()) end(exchange, CURLE_OK);
    }
}

void Transfer::ring_alarms() {
    const TimePoint now = system_clock().now();
    while (Exchange* exchange = workshop_.alarms.take_due(now))
        if (exchange->on_alarm(now)) end(exchange, CURLE_OK);
}

int Transfer::poll_timeout_ms() const {
    const TimePoint next = workshop_.alarms.next();
    if (next == kNever) return kMaxPollMs;
    const auto wait =
        std::chrono::ceil<std::chrono::milliseconds>(next - system_clock().now()).count();
    return static_cast<int>(std::clamp<int64_t>(wait, 0, kMaxPollMs));
}

void Transfer::end(Exchange* exchange, CURLcode code) {
    const auto found = running_.find(exchange);
    check(found != running_.end(), "an exchange ends once");
    const auto held = std::move(found->second);
    running_.erase(found);
    if (!held->judged()) held->hand_over();
    std::erase(workshop_.gathering, exchange);
    curl_multi_remove_handle(multi_, held->easy());
    load_.fetch_sub(1);
    held->finish(code);
}

}  // namespace weir::client
