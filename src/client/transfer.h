// client/transfer.h: a thread that drives libcurl: take the mailbox, perform, read what ended, ring
// alarms, poll. It never waits but in that poll; how long it works between two is measured
// (async/turns.h).
#pragma once
#include <curl/curl.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "async/shares.h"
#include "client/curl_client.h"
#include "client/exchange.h"

namespace weir::client {

class Transfer : public std::enable_shared_from_this<Transfer> {
public:
    // Failure{internal} when there is no descriptor for its wake-up: it would be deaf.
    Transfer(std::string name, CurlOptions, std::string ca_file, std::shared_ptr<Authorities>,
             std::shared_ptr<Resolver>);
    ~Transfer();  // shutdown() first
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;
    void start();

    // Any thread.
    size_t load() const { return load_.load(std::memory_order_relaxed); }
    // Takes a place for one exchange of the party; false at its limit.
    bool reserve(const std::string& party);
    std::shared_ptr<TransferHandle> handle(const std::shared_ptr<Exchange>&);
    // Uses up the place. After shutdown() the exchange ends as cancelled at once.
    void submit(const std::shared_ptr<Exchange>&);
    // Ends what runs as cancelled and joins the thread.
    void shutdown();

private:
    class Handle;
    enum class Verb { add, named, resume, cancel };
    struct Letter {
        Verb verb;
        std::shared_ptr<Exchange> exchange;
        Resolver::Result found = {};  // of `named`
    };

    bool post(Letter);
    void work();
    bool take_mailbox();
    void handle_letter(Letter);
    void add(std::shared_ptr<Exchange>);
    void dial(const std::shared_ptr<Exchange>&);
    void give_place_back(const Exchange&);
    void read_ended();
    void ring_alarms();
    bool more_is_there();
    void hand_over_gathered();
    int poll_timeout_ms(TimePoint now) const;
    void end(Exchange*, CURLcode);

    const std::string name_;
    std::atomic<size_t> load_{0};
    std::mutex places_mutex_;
    Shares places_;

    std::mutex mutex_;  // the mailbox
    std::vector<Letter> letters_;
    bool stopping_ = false;

    CURLM* multi_ = nullptr;
    // The rest belongs to the thread.
    Workshop workshop_;
    TimePoint gathering_since_ = kNever;
    std::unordered_map<Exchange*, std::shared_ptr<Exchange>> running_;
    std::thread thread_;
};

}  // namespace weir::client
