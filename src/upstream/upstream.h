// upstream/upstream.h: one registry that weir fetches from, with its mirrors, tokens, limits and
// moods.
//
// An Upstream is asked by digest or tag in its own repository names and answers in Outcomes: what a
// network or a registry does is never an exception. It keeps: a token cache (by realm, service,
// scope, credential), a circuit breaker and a "come back later" per mirror, the rate-limit budget,
// and a cap on requests at once. Any loop.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/clock.h"
#include "base/random.h"
#include "client/http_client.h"
#include "oci/digest.h"
#include "oci/name.h"

namespace weir::upstream {

enum class Outcome {
    ok,
    not_found,    // 404: the upstream says so; the only answer that may be remembered as "no"
    refused,      // 401/403 with the best credentials there are
    rejected,     // another 4xx: about this one request, final (judgement.h)
    throttled,    // 429, or 503 with Retry-After
    failed,       // 5xx, or an answer that makes no sense
    unreachable,  // no connection, TLS failure, breaker open
    timeout,
    forbidden,  // a realm or redirect to an address that is not allowed
    offline,    // the operator switched it off
    too_large,
};
inline constexpr size_t kOutcomes = 11;
const char* outcome_name(Outcome);
// The one ranking of answers when nobody had the thing: which tells more. "Not found" only when all
// said so; "no answer" before "no", because who gave none may have it.
bool outranks(Outcome, Outcome);
// "no answer": the upstream's state is unknown; stale copies stand, nothing is evicted, shadowed or
// remembered as missing.
inline bool is_no_answer(Outcome outcome) {
    return outcome != Outcome::ok && outcome != Outcome::not_found;
}

struct Answer {
    Outcome outcome = Outcome::ok;
    std::string detail;  // for people, without secrets
    std::optional<std::chrono::seconds> retry_after;
    std::string mirror;  // the mirror that was asked
    int status = 0;      // of the answer that decided; 0 when there was none
    // It came from a host that the mirror sent us to (a redirect's target, a token server): nothing
    // that is wrong with it is the mirror's.
    bool elsewhere = false;
    // It was given to a login of ours: a password, a token got with one, a client's certificate.
    bool with_login = false;
};

// What is asked for. Challenges, failures and hold-offs are kept apart by it.
enum class Purpose { manifest, list, blob, token };
inline constexpr size_t kPurposes = 4;

struct ManifestAnswer : Answer {
    std::string bytes;                  // empty for HEAD
    std::string media_type;             // without parameters
    std::optional<oci::Digest> digest;  // Docker-Content-Digest, when given and well-formed
    uint64_t size = 0;                  // of the bytes, or of those that a HEAD is about
};

struct BlobHeadAnswer : Answer {
    std::optional<uint64_t> size;  // nullopt: it is there, and nobody says how large it is
};

struct ListAnswer : Answer {
    std::string body;
    std::string content_type;
    std::string next_query;  // from Link rel=next: its raw query
    bool filters_applied = false;
};

enum class ListKind { tags, referrers };

struct BlobHead {
    uint64_t first = 0;                  // offset of the first byte that follows
    std::optional<uint64_t> whole_size;  // of the blob
    bool with_login = false;             // as in Answer
    bool all = false;                    // the whole comes, whatever was asked for
};

// Receives a blob's bytes on a transfer thread; see client::Sink.
class BlobSink {
public:
    virtual ~BlobSink() = default;
    virtual client::BodyAction on_head(const BlobHead&) = 0;
    virtual client::BodyAction on_data(std::span<const std::byte>) = 0;
    virtual bool gathers() const { return false; }
};

struct BlobRange {
    uint64_t first = 0;
    std::optional<uint64_t> last;  // inclusive
    // > 0: the last so many bytes, whatever the size is ("bytes=-n"); first and last are then
    // ignored. An upstream that ignores ranges answers with the whole from 0.
    uint64_t suffix = 0;
    // Of the whole, where the caller knows it: `first` lies in it, so no 416 is the truth then.
    std::optional<uint64_t> size = std::nullopt;
    // Requests with Range brought nothing, in any way: if this one does too it is made without,
    // unless the mirror gave parts lately.
    bool plain = false;
};

enum class TransferEnd {
    complete,  // all that was asked for has arrived
    stopped,   // the sink or the handle ended it
    cut,       // ended early; the rest can be asked for again
    stalled,
    none,  // no body came: see outcome
};

struct BlobAnswer : Answer {
    TransferEnd end = TransferEnd::none;
    uint64_t bytes = 0;
    // The range begins at or beyond the blob's end (416): no body came, but its size. Outcome::ok,
    // TransferEnd::none.
    std::optional<uint64_t> beyond;
};

// user/password or a bearer token, for a repository of this upstream; nullopt: anonymous. Called
// often; must be cheap.
struct Credential {
    std::string username;
    Secret password;
    // With a username: an identity token, exchanged for others by OAuth2. Without: a bearer token,
    // sent as it is.
    Secret token;
    bool operator==(const Credential&) const = default;
};
using Credentials = std::function<std::optional<Credential>(std::string_view host_port,
                                                            std::string_view repository)>;

struct Mirror {
    std::string url;  // "https://registry-1.docker.io", no trailing slash, may have a path
    client::Tls tls;
};

struct Options {
    std::string name;             // as in logs, metrics and TagRow::upstream: "docker.io"
    std::vector<Mirror> mirrors;  // tried in order; the same content
    bool offline = false;
    bool use_head =
        true;  // false: revalidation uses GET (for upstreams that count HEAD or lack it)
    uint32_t max_retries = 0;
    std::chrono::milliseconds retry_delay{0};
    std::chrono::milliseconds max_retry_delay{0};  // >= retry_delay: exponential
    size_t max_concurrent = 64;                    // requests at once, blobs included
    size_t max_queued = 1024;
    client::Timeouts timeouts;
    uint64_t max_manifest_bytes = 4 << 20;
    uint64_t max_list_bytes = 16 << 20;
    uint32_t breaker_failures = 5;                  // in a row, per mirror
    std::chrono::milliseconds breaker_open{5'000};  // doubles up to 60 s while probes fail
    std::vector<std::string>
        trusted_hosts;  // realms and redirects may also point here (host or host:port)
    std::string proxy;
    // Whether "host:port" is asked as an upstream. What a redirect leads to is shown its own login,
    // but not that of another upstream: its repositories would come out under our names.
    std::function<bool(std::string_view host_port)> is_upstream;
};

// A snapshot for the status page and metrics.
struct Status {
    std::string name;
    std::vector<std::pair<std::string, std::string>>
        mirrors;                              // host, "closed" | "open" | "probing" | "later"
    std::optional<int64_t> limit, remaining;  // ratelimit-* headers
    size_t in_use = 0, waiting = 0;
};

class Upstream {
public:
    // All references outlive the upstream.
    Upstream(Options, client::HttpClient&, Clock&, Random&, Credentials);
    ~Upstream();
    const std::string& name() const;
    const Options& options() const;

    // A login is configured that a mirror may get for this repository, whether or not it asks.
    bool has_login(const std::string& repository) const;

    // GET or HEAD <repository>/manifests/<reference>, over the mirrors in order, with retries
    // inside the deadline. What comes has the digest that was asked for and the one it claims, and
    // a HEAD counts only with digest, length and a manifest's type; else the GET follows. `accept`:
    // media types that the client takes, asked for after all that weir knows.
    Task<ManifestAnswer> manifest(std::string repository, oci::Reference reference, bool head,
                                  TimePoint deadline, std::string accept = {});
    Task<BlobHeadAnswer> blob_head(std::string repository, oci::Digest digest, TimePoint deadline);
    // `reference` is empty for tags. A referrers API that is missing (404) is Outcome::not_found:
    // the caller falls back.
    Task<ListAnswer> list(std::string repository, ListKind kind, std::string reference,
                          std::string query, TimePoint deadline);

    // One attempt at one mirror (index < mirrors()); the caller, a Fetch, decides what follows a
    // break. `started` gets the handle of each transfer that brings body bytes.
    size_t mirrors() const;
    // false while it is set aside or asked for peace, for this repository and purpose: try another
    // one first.
    bool usable(size_t mirror, std::string_view repository = {}, Purpose = Purpose::blob) const;
    // false while it is remembered that this mirror refuses Range (upstream/parts.h): each request
    // brings the blob from its start.
    bool gives_parts(size_t mirror) const;
    Task<BlobAnswer> blob(size_t mirror, std::string repository, oci::Digest digest,
                          BlobRange range, std::shared_ptr<BlobSink> sink,
                          std::function<void(std::shared_ptr<client::TransferHandle>)> started,
                          TimePoint head_deadline);
    // The bytes it gave for this repository were wrong; counts like a failed answer.
    void report_bad(size_t mirror, std::string_view repository);
    // Ends all that was learnt of hosts: challenges, failures, hold-offs. Tokens stay. For a
    // reload.
    void forget();

    Status status() const;

    struct Impl;  // for this room's own files

private:
    std::shared_ptr<Impl> impl_;  // kept by what runs, so an upstream may go while requests end
};

}  // namespace weir::upstream
