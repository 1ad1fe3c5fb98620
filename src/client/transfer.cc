#include "client/transfer.h"

#include <fmt/format.h>

#include <algorithm>

#include "async/turns.h"
#include "base/check.h"
#include "base/failure.h"
#include "client/quiet_thread.h"

namespace weir::client {
namespace {

constexpr int kMaxPollMs = 60'000;
// Gathered bytes are handed over at the latest after this, however busy other transfers are.
constexpr auto kGatherTime = std::chrono::milliseconds(2);

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
                   std::shared_ptr<Authorities> authorities, std::shared_ptr<Resolver> resolver)
    : name_(std::move(name)), places_(options.max_transfers) {
    workshop_.options = std::move(options);
    workshop_.resolver = std::move(resolver);
    workshop_.ca_file = std::move(ca_file);
    workshop_.authorities = std::move(authorities);
    multi_ = curl_multi_init();
    // Without its wake-up, which takes descriptors, a poll would sleep on whatever it is told.
    if (!multi_ || curl_multi_wakeup(multi_) != CURLM_OK) {
        curl_multi_cleanup(multi_);
        throw Failure(Kind::internal,
                      fmt::format("{}: libcurl has no descriptors for its wake-up", name_));
    }
    workshop_.share = curl_share_init();
    check(workshop_.share, "libcurl has memory");
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS,
                      static_cast<long>(workshop_.options.max_connections));
    // Used by this thread alone, so no lock functions. The table of names is the multi's own.
    curl_share_setopt(workshop_.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

Transfer::~Transfer() {
    shutdown();
    curl_multi_cleanup(multi_);
    curl_share_cleanup(workshop_.share);
}

void Transfer::start() {
    thread_ = quiet_thread(name_, [this] { work(); });
}

bool Transfer::reserve(const std::string& party) {
    std::lock_guard lock(places_mutex_);
    if (!places_.may_take(party)) return false;
    places_.take(party);
    load_ = places_.taken();
    return true;
}

void Transfer::give_place_back(const Exchange& exchange) {
    std::lock_guard lock(places_mutex_);
    places_.give_back(exchange.call().party);
    load_ = places_.taken();
}

std::shared_ptr<TransferHandle> Transfer::handle(const std::shared_ptr<Exchange>& exchange) {
    return std::make_shared<Handle>(weak_from_this(), exchange);
}

void Transfer::submit(const std::shared_ptr<Exchange>& exchange) {
    if (post({Verb::add, exchange})) return;
    give_place_back(*exchange);
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
    Turns turns(name_);
    turns.begin(system_clock().now());
    while (take_mailbox()) {
        int left = 0;
        curl_multi_perform(multi_, &left);
        read_ended();
        ring_alarms();
        if (more_is_there()) continue;
        hand_over_gathered();
        const TimePoint now = system_clock().now();
        turns.end(now);
        curl_multi_poll(multi_, nullptr, 0, poll_timeout_ms(now), nullptr);
        turns.begin(system_clock().now());
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
    if (letter.verb == Verb::named) {
        exchange->take_name(*letter.found);
        return dial(letter.exchange);
    }
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
        running_.emplace(exchange.get(), exchange);
        return dial(exchange);
    }
    give_place_back(*exchange);
    exchange->finish(CURLE_OK);
}

// Once the addresses of all names that it needs are here.
void Transfer::dial(const std::shared_ptr<Exchange>& exchange) {
    while (const std::string* name = exchange->wants_name()) {
        const auto asked = workshop_.resolver->ask(
            exchange->call().party, *name,
            [transfer = weak_from_this(), weak = std::weak_ptr(exchange)](const auto& found) {
                const auto self = transfer.lock();
                auto waiting = weak.lock();
                if (self && waiting) self->post({Verb::named, std::move(waiting), found});
            });
        if (!asked.known) return exchange->wait_for_name(asked.ticket);
        exchange->take_name(*asked.known);
    }
    if (exchange->judged()) return end(exchange.get(), CURLE_OK);
    exchange->dial();
    curl_multi_add_handle(multi_, exchange->easy());
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

int Transfer::poll_timeout_ms(TimePoint now) const {
    const TimePoint next = workshop_.alarms.next();
    if (next == kNever) return kMaxPollMs;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
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
    give_place_back(*held);
    held->finish(code);
}

}  // namespace weir::client
