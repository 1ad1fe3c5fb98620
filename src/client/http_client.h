// client/http_client.h: requests that weir makes: to upstreams, token servers, later S3. Knows
// nothing of registries.
//
// HttpClient is the seam: the real one is libcurl on transfer threads (curl_client.h), the
// simulator and unit tests bring their own. Redirects are not followed here (see follow.h, which
// applies the rules about Authorization and targets).
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/task.h"
#include "base/clock.h"
#include "base/log.h"

namespace weir::client {

// Names as received, values without surrounding blanks.
struct Fields {
    std::vector<std::pair<std::string, std::string>> list;
    // The first of that name, case-insensitive; empty when absent.
    std::string_view get(std::string_view name) const;
    bool has(std::string_view name) const;
    std::vector<std::string_view> all(std::string_view name) const;
};

struct ReplyHead {
    int status = 0;
    Fields fields;
    std::optional<uint64_t> content_length;
};

// Which addresses a call may reach, checked when the address is known, after name resolution, so
// that no name can be turned against us later.
struct Guard {
    bool enabled = true;          // false: the operator configured exactly this host
    bool allow_loopback = false;  // the upstream itself is configured on a loopback address
    bool allow_private = false;   // the upstream itself has an address in a private network
    bool allow_metadata = false;  // link-local too: only to ask for this machine's own credentials
};

struct Tls {
    bool verify = true;
    std::string ca_file;  // empty: the system's bundle
    std::string
        ca_directory;  // *.crt concatenated by the caller into ca_file; here only curl's CAPATH
    std::string client_certificate, client_key;
    bool operator==(const Tls&) const = default;
};

struct Timeouts {
    std::chrono::milliseconds connect{5'000};
    // From the request's end to the head of the answer.
    std::chrono::milliseconds response{10'000};
    // A body that brings fewer than stall_bytes_per_second for so long is a stall.
    std::chrono::seconds stall{10};
    uint64_t stall_bytes_per_second = 1024;
};

// A transfer that gathers holds so much until its sink takes it.
inline constexpr size_t kGatherBytes = 128 * 1024;

enum class BodyAction {
    go_on,
    pause,  // these bytes were not taken: they come again after resume(). HTTP/1.1 only, where it
            // is TCP's back-pressure
    stop,   // end the transfer now: ReplyEnd::outcome is stopped
};

// Receives the answer on a transfer thread. on_head comes once, before any on_data; calls never
// overlap. After the last call the sink is released; the coroutine that awaits send() resumes
// afterwards.
class Sink {
public:
    virtual ~Sink() = default;
    virtual BodyAction on_head(const ReplyHead&) = 0;
    virtual BodyAction on_data(std::span<const std::byte>) = 0;
    // It never pauses but at its head, and would rather have large pieces: for Call::gather.
    virtual bool gathers() const { return false; }
};

// Lets the owner act on a running transfer from any thread; harmless after its end.
class TransferHandle {
public:
    virtual ~TransferHandle() = default;
    virtual void resume() = 0;
    virtual void cancel() = 0;
};

// The body of a request, read on a transfer thread while it is sent. Calls never overlap; a
// connection that turned out to be dead starts again at 0.
class UploadSource {
public:
    virtual ~UploadSource() = default;
    // Fills `into` from `offset` on, as far as there are bytes; never asked beyond
    // Call::upload_bytes. An exception, or no byte where there must be one, ends the call as
    // stopped.
    virtual size_t read(uint64_t offset, std::span<std::byte> into) = 0;
};

struct Call {
    // Whose share of transfers and look-ups of names this takes (async/shares.h): the upstream's
    // name, never anything that a client or an answer chose.
    std::string party;
    std::string method = "GET";
    std::string url;
    std::vector<std::pair<std::string, std::string>> fields;
    // An "Authorization" value; kept apart so that it is never logged or sent to another host by
    // mistake.
    Secret authorization;
    std::string body;
    // Instead of `body`: exactly upload_bytes of it are sent. While they are, each read must follow
    // the one before within Timeouts::stall; Timeouts::response counts from the last one.
    std::shared_ptr<UploadSource> upload;
    uint64_t upload_bytes = 0;
    Timeouts timeouts;
    Tls tls;
    Guard guard;
    std::string
        proxy;  // empty: HTTPS_PROXY, HTTP_PROXY, NO_PROXY of the environment; "none": no proxy
    bool bulk = false;  // a blob body: runs on xfer-bulk with large buffers
    // Pieces are gathered up to kGatherBytes as long as more is there at once: what is written in
    // large pieces lies in large pages, which are cheaper to send. The sink pauses at its head
    // only.
    bool gather = false;
    uint64_t max_body_bytes = UINT64_MAX;  // beyond: outcome too_large
    // Called once, before send() suspends, with a handle to the running transfer.
    std::function<void(std::shared_ptr<TransferHandle>)> started;
};

enum class End {
    complete,     // the whole body as announced (or closed where no length was)
    stopped,      // the sink said so
    cancelled,    // TransferHandle::cancel or shutdown
    unreachable,  // name, route, refused, TLS; no head was seen
    forbidden,    // the guard refused the address
    timeout,      // no head within the response timeout
    stalled,      // too slow after the head
    cut,          // ended before Content-Length, or a reset after the head
    too_large,
    protocol,  // not HTTP, or broken
};
const char* end_name(End);

struct ReplyEnd {
    End end = End::complete;
    ReplyHead head;  // status 0 when none came
    uint64_t body_bytes = 0;
    std::string detail;  // for people: "Connection refused"
    Duration time_to_head{};
    // The address that answered is in a private network; unknown, so false, behind a proxy.
    bool from_private = false;
    bool connected = false;  // there was somebody to send the request to
};

class HttpClient {
public:
    virtual ~HttpClient() = default;
    // From any loop. Never throws for what the network does: that is ReplyEnd::end. sink may be
    // null (the body is dropped).
    virtual Task<ReplyEnd> send(Call, std::shared_ptr<Sink>) = 0;
};

// Collects a small body in memory.
class TextSink : public Sink {
public:
    BodyAction on_head(const ReplyHead&) override { return BodyAction::go_on; }
    BodyAction on_data(std::span<const std::byte> data) override {
        text.append(reinterpret_cast<const char*>(data.data()), data.size());
        return BodyAction::go_on;
    }
    std::string text;
};

}  // namespace weir::client
