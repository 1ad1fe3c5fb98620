// client/exchange.h: one request and its answer on a transfer thread: a libcurl easy handle and
// what it has seen.
#pragma once
#include <curl/curl.h>
#include <fmt/format.h>

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/signal.h"
#include "client/alarms.h"
#include "client/authorities.h"
#include "client/curl_client.h"
#include "client/http_client.h"
#include "client/resolver.h"
#include "client/url.h"

namespace weir::client {

// Of one answer, with the heads before the last one (100, 103). libcurl keeps each line as well.
inline constexpr size_t kMaxHeadBytes = 256 * 1024;
inline constexpr size_t kMaxHeadLines = 1024;
inline constexpr size_t kMaxEarlyHeads = 16;
inline constexpr size_t kMaxTrailerBytes = 16 * 1024;
inline constexpr size_t kMaxTrailerLines = 128;

class Exchange;

// What libcurl knows of names: those that running exchanges dial, and no others. What it was told
// stays until it is told to forget it, which the next list of lines does.
class DialTable {
public:
    // Appends the lines of CURLOPT_RESOLVE; "host:port" is then known until leave().
    curl_slist* enter(curl_slist* lines, const std::string& place,
                      const std::vector<std::string>& addresses);
    void leave(const std::string& place);

private:
    std::map<std::string, size_t> uses_;
    std::set<std::string> unused_;
};

// What the exchanges of one transfer thread share.
struct Workshop {
    CurlOptions options;
    std::string ca_file;  // when a call names none
    std::shared_ptr<Authorities> authorities;
    std::vector<Exchange*> gathering;  // those with pieces that their sinks have not seen
    CURLSH* share = nullptr;
    std::shared_ptr<Resolver> resolver;
    DialTable dialled;
    Alarms<Exchange> alarms;
};

// Made on a loop, then used by one transfer thread alone; only `cancelled` is for any thread.
class Exchange {
public:
    Exchange(Call, Url, std::string proxy, std::shared_ptr<Sink>, Reply<ReplyEnd>::Setter);
    ~Exchange();
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    const Call& call() const { return call_; }

    // Makes the easy handle. false: the call can't be made; finish() says why.
    bool begin(Workshop&);
    CURL* easy() const { return easy_; }

    // Before dial(): the next name whose addresses are needed; null: none, or the exchange is over.
    const std::string* wants_name() const;
    void wait_for_name(uint64_t ticket) { ticket_ = ticket; }
    void take_name(const Found&);
    // The handle is ready for its multi.
    void dial();

    // Its alarm rang: true when the exchange is over because of it, else the next alarm is set.
    bool on_alarm(TimePoint now);
    // The sink may be given data again. Not CURLE_OK: the exchange is over.
    CURLcode resume();
    // Gives the sink what was gathered. false: the exchange is over, as after end_as(). A sink that
    // pauses has not taken it.
    bool hand_over();
    // The transfer has ended while its sink pauses and has not taken all: its end comes later.
    bool keep_end(CURLcode);
    // That end, once the sink has taken all.
    std::optional<CURLcode> kept_end() const;
    bool judged() const { return verdict_.has_value(); }

    // Gives back the easy handle and answers. Once, as the last call; the handle is out of its
    // multi by then.
    void finish(CURLcode);
    void end_as(End verdict, std::string detail);

    std::atomic<bool> cancelled{false};  // asked for before or while it runs

private:
    enum class Phase { naming, connecting, sent, body };

    static size_t on_header_line(char* data, size_t size, size_t count, void* self);
    static size_t on_upload(char* into, size_t size, size_t count, void* self);
    static int on_rewind(void* self, curl_off_t offset, int origin);
    static size_t on_body(char* data, size_t size, size_t count, void* self);
    static int on_request_ready(void* self, char* address, char*, int, int);
    static curl_socket_t on_socket(void* self, curlsocktype, curl_sockaddr*);
    static CURLcode on_tls(CURL*, void* context, void* self);

    void set_request();
    void set_upload();
    void set_network(const Workshop&);
    void set_trust(const Workshop&);
    bool set_fields();
    bool set_places();
    void let_go_of_names(CURLcode);
    bool connecting() const { return phase_ == Phase::naming || phase_ == Phase::connecting; }
    std::chrono::milliseconds connect_time_left() const;
    size_t give_upload(std::span<std::byte> into);
    bool uploading() const { return call_.upload && upload_offset_ < call_.upload_bytes; }
    TimePoint head_due() const;
    bool take_line(std::string_view line);
    bool count_line(size_t bytes);
    bool take_head();
    bool take_data(std::span<const std::byte>);
    bool gather(std::span<const std::byte>);
    bool act(BodyAction);
    bool too_large(uint64_t bytes) const { return bytes > call_.max_body_bytes; }
    End judge(CURLcode) const;
    std::string describe(CURLcode) const;

    Call call_;
    const Url url_;
    const std::string proxy_;
    std::shared_ptr<Sink> sink_;
    Reply<ReplyEnd>::Setter setter_;

    std::shared_ptr<Authorities> authorities_;
    std::string bundle_;  // whose certificates are trusted

    CURL* easy_ = nullptr;
    curl_slist* lines_ = nullptr;
    curl_slist* addresses_ = nullptr;
    Workshop* workshop_ = nullptr;
    // What libcurl will dial and knows by a name. Of the first `named_` the addresses are here.
    struct Place {
        std::string host;
        uint16_t port = 0;
        std::string text() const { return fmt::format("{}:{}", host, port); }
    };
    std::vector<Place> places_;
    size_t named_ = 0;
    uint64_t ticket_ = 0;  // of the name that is waited for
    Alarms<Exchange>* alarms_ = nullptr;
    std::vector<Exchange*>* gathering_ = nullptr;
    std::unique_ptr<std::byte[]> gathered_;  // kGatherBytes
    size_t gathered_bytes_ = 0;
    size_t again_ = 0;  // bytes of the piece that libcurl gives again, which are here
    std::optional<CURLcode> kept_end_;
    char error_[CURL_ERROR_SIZE] = {};

    Phase phase_ = Phase::naming;
    bool paused_ = false;
    TimePoint started_{};
    size_t head_bytes_ = 0, head_lines_ = 0, early_heads_ = 0;
    size_t trailer_bytes_ = 0, trailer_lines_ = 0;
    uint64_t upload_offset_ = 0;
    TimePoint last_sent_{};  // the request's last sign of life
    ReplyEnd reply_;
    std::optional<End> verdict_;  // what we decided ourselves; wins over libcurl's word
    std::string detail_;
    std::string refused_;  // an address that the guard refused

    // Of the stall detector: the last data, and the window in which bytes are counted.
    TimePoint last_data_{}, window_start_{};
    uint64_t window_bytes_ = 0;
};

}  // namespace weir::client
