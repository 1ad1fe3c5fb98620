#include "client/transfer.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include "base/check.h"

namespace weir::client {
namespace {

constexpr int kMaxPollMs = 60'000;

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

Transfer::Transfer(std::string name, CurlOptions options, std::string ca_file)
    : name_(std::move(name)), options_(std::move(options)), ca_file_(std::move(ca_file)) {
    multi_ = curl_multi_init();
    share_ = curl_share_init();
    check(multi_ && share_, "libcurl has memory");
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.max_connections));
    // Used by this thread alone, so no lock functions.
    curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

Transfer::~Transfer() {
    shutdown();
    curl_multi_cleanup(multi_);
    curl_share_cleanup(share_);
}

void Transfer::start() {
    thread_ = quiet_thread([this] { work(); });
    pthread_setname_np(thread_.native_handle(), name_.c_str());
}

bool Transfer::reserve() {
    if (load_.fetch_add(1) < options_.max_transfers) return true;
    load_.fetch_sub(1);
    return false;
}

std::shared_ptr<TransferHandle> Transfer::handle(const std::shared_ptr<Exchange>& exchange) {
    return std::make_shared<Handle>(weak_from_this(), exchange);
}

void Transfer::submit(std::shared_ptr<Exchange> exchange) {
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
    if (code != CURLE_OK) end(exchange, code);
}

void Transfer::add(std::shared_ptr<Exchange> exchange) {
    if (exchange->cancelled) {
        exchange->end_as(End::cancelled, "cancelled");
    } else if (exchange->begin(options_, share_, ca_file_, alarms_)) {
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
        end(static_cast<Exchange*>(exchange), message->data.result);
    }
}

void Transfer::ring_alarms() {
    const TimePoint now = system_clock().now();
    while (Exchange* exchange = alarms_.take_due(now))
        if (exchange->on_alarm(now)) end(exchange, CURLE_OK);
}

int Transfer::poll_timeout_ms() const {
    const TimePoint next = alarms_.next();
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
    curl_multi_remove_handle(multi_, held->easy());
    load_.fetch_sub(1);
    held->finish(code);
}

}  // namespace weir::client
