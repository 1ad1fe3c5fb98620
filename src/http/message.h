// http/message.h: one request and its answer, the same for every protocol version and transport.
// Knows nothing of OCI.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "async/task.h"
#include "base/clock.h"
#include "base/file.h"

namespace weir::http {

enum class Method : uint8_t { get, head, post, put, patch, del, options, other };

// Body of a request, read piece by piece. Dechunked. Own loop only.
class BodyReader {
public:
    virtual ~BodyReader() = default;
    // The next bytes (valid until the next call); empty at the end. Failure{too_large} beyond the
    // limit, Failure{request_invalid} on broken chunking, Failure{cancelled} when the client is
    // gone.
    virtual Task<std::span<const std::byte>> next() = 0;
};

// Views point into the session's buffer and live as long as the handler runs.
struct Request {
    Method method = Method::get;
    std::string_view method_text;
    std::string_view target;  // as sent
    std::string_view path;    // not decoded; of an absolute-form target its path
    std::string_view query;   // without '?'
    std::string_view host;    // Host header or authority, port included, as sent
    std::string_view sni;     // TLS server name, empty on plain sockets
    std::string_view peer;    // client address, without port
    bool tls = false;
    bool http10 = false;
    uint64_t id = 0;     // unique in the process; in every log line of this request
    TimePoint received;  // when its head was complete
    std::span<const std::pair<std::string_view, std::string_view>> fields;
    BodyReader* body = nullptr;  // nullptr: no body
    std::optional<uint64_t> content_length;

    // The first field of that name (case-insensitive); empty when absent.
    std::string_view field(std::string_view name) const;
    bool has(std::string_view name) const;
};

// A piece of a body: memory that lives until the next call of next(), or bytes of a file (sendfile
// where it can).
struct FilePiece {
    std::shared_ptr<const File> file;
    uint64_t offset = 0;
    uint64_t length = 0;
    // The bytes were written moments ago, so they are in the page cache: no probe, no readahead.
    bool hot = false;
};
using Piece = std::variant<std::span<const std::byte>, FilePiece>;

// A body that is produced while it is sent. Own loop only. Destroyed as soon as the client is gone.
class Source {
public:
    virtual ~Source() = default;
    // Up to `max` bytes, at least one; nullopt at the end. Throws to abort: the connection is then
    // cut, because the head is out and an early close is the only honest signal.
    virtual Task<std::optional<Piece>> next(uint64_t max) = 0;
    // The last `left` bytes of the FilePiece that next() gave can't be read. true: next() goes on
    // with them, from elsewhere. false: the connection is cut.
    virtual bool unreadable(uint64_t /*left*/) { return false; }
    // The client has left, or is cut, while next() waits: it may throw Failure{cancelled} now
    // rather than later. May be called again.
    virtual void client_left() {}
};

using Body =
    std::variant<std::monostate, std::shared_ptr<const std::string>, std::unique_ptr<Source>>;

// What the access line says of a request, filled by the handler as it learns it. The texts are
// constants or live as long as the response.
struct Notes {
    const char* route = "other";  // "manifest", "blob", "tags", "referrers", "catalog", "ping", ...
    const char* cache = "";       // hit_memory|hit_disk|joined|miss|stale|relay|negative
    std::shared_ptr<const std::string> upstream;  // name of the upstream that serves the repository
    std::string detail;                           // error text, for people
};

struct Response {
    int status = 200;
    // Header lines, each "Name: value\r\n", already serialised. `shared_fields` is for what a hot
    // answer repeats.
    std::string fields;
    std::shared_ptr<const std::string> shared_fields;
    // Length of the whole body; nullopt: chunked (or close-delimited for HTTP/1.0). Must be the
    // body's size for a string.
    std::optional<uint64_t> content_length = 0;
    Body body;
    bool close = false;  // close the connection after this answer
    Notes notes;

    Response() = default;
    explicit Response(int code) : status(code) {}
    // Appends one line. `value` must hold no CR or LF (a check: values made from foreign text are
    // cleaned before).
    void set(std::string_view name, std::string_view value);
    void set_body(std::shared_ptr<const std::string> text);  // and content_length
};

// How an answer ended, told to the handler for logs and metrics.
struct Outcome {
    uint64_t body_bytes_sent = 0;
    Duration time_to_first_byte{};  // of the answer's head
    Duration total{};
    bool aborted = false;  // the client left, or the source failed
    const char* abort_reason = "";
};

// One for the server. handle() is called on the connection's loop; any number of requests at once.
class Handler {
public:
    virtual ~Handler() = default;
    // A HEAD request gets the answer of the GET: the session leaves the body out. May throw
    // Failure: the session asks failed() for the answer.
    virtual Task<Response> handle(Request& request) = 0;
    // The hot path: an answer that needs no waiting, made without a coroutine; nullopt: go through
    // handle().
    virtual std::optional<Response> handle_now(Request&) { return std::nullopt; }
    // The answer to a request that could not be parsed or whose handle() threw.
    virtual Response failed(const Request* request, std::exception_ptr error) = 0;
    virtual void finished(const Request& request, const Response& response,
                          const Outcome& outcome) = 0;
};

const char* reason_phrase(int status);

}  // namespace weir::http
