// upstream/impl.h: the parts of an Upstream, for the files of this room.
//
// upstream.cc: mirrors in order, retries · ask.cc: one request to one mirror, with its token ·
// objects.cc: manifests, blob heads and lists · blob.cc: the bytes of a blob · outcome.cc: what an
// answer means.
#pragma once
#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "async/semaphore.h"
#include "client/follow.h"
#include "client/leash.h"
#include "client/url.h"
#include "oci/challenge.h"
#include "upstream/breaker.h"
#include "upstream/budget.h"
#include "upstream/metrics.h"
#include "upstream/parts.h"
#include "upstream/token.h"
#include "upstream/upstream.h"

namespace weir::upstream {

// What a mirror's last challenge asked for, so that the next request brings it along.
struct Known {
    bool bearer = false;
    std::string realm, service;
    std::array<std::string, 3> actions{"pull", "pull", "pull"};  // by Purpose
};

struct Site {
    Site(const Mirror&, const Options&, Random&);
    const Mirror mirror;
    const client::Url url;
    const client::Guard guard;
    Breaker breaker;
    Parts parts;

    std::optional<Known> known() const;
    void learn(const Known&, Purpose);
    // true the first time: what an operator needs to read only once.
    bool is_news(const std::string& what);

private:
    mutable std::mutex mutex_;
    std::optional<Known> known_;
    std::string last_news_;
};

struct Request {
    std::string method = "GET";
    std::string path;  // after /v2/
    std::vector<std::pair<std::string, std::string>> fields;
    std::string repository;
    Purpose purpose = Purpose::manifest;
    uint64_t max_body_bytes = UINT64_MAX;
    bool bulk = false;
    bool gather = false;
};

// What came of asking one mirror once. `reply` holds the last head, also of an error.
struct Asked : Answer {
    client::ReplyEnd reply;
    bool same_origin = true;
    int status() const { return reply.head.status; }
};

// What every answer tells, from what came of asking.
void take(Answer&, const Asked&);

// What a request carries to be let in; an outcome other than ok: it could not be got.
struct Grant {
    Outcome outcome = Outcome::ok;
    std::string detail;
    std::optional<std::chrono::seconds> retry_after;
    Secret authorization;  // empty: nothing is sent
    std::string key;       // of the token; empty for Basic
    Secret token;
    bool fresh = false;  // just made: asking for another one would not help
};

// A path is judged by it: the status of an error, else how the transfer ended.
Outcome outcome_of(const client::ReplyEnd&, bool same_origin, bool has_retry_after);
// Worth another try at the same mirror.
bool is_transient(Outcome);
Breaker::Sign sign_of(Outcome);
// The answer that says most, when no mirror had the thing: "not found" only if all said so.
bool outranks(Outcome, Outcome);
// "TOOMANYREQUESTS: You have reached ..." of an OCI error body, printable and short; empty when
// there is none.
std::string error_text(std::string_view body);
// The text of an error's body while it is small; hands a good answer on.
class AnswerSink : public client::Sink {
public:
    explicit AnswerSink(std::shared_ptr<client::Sink> sink) : sink_(std::move(sink)) {}
    client::BodyAction on_head(const client::ReplyHead&) override;
    client::BodyAction on_data(std::span<const std::byte>) override;
    const std::string& text() const { return text_; }

private:
    std::shared_ptr<client::Sink> sink_;
    bool good_ = false;
    std::string text_;
};

struct Upstream::Impl : std::enable_shared_from_this<Upstream::Impl> {
    Impl(Options, client::HttpClient&, Clock&, Random&, Credentials);

    const Options options;
    client::HttpClient& http;
    Clock& clock;
    Random& random;
    const Credentials credentials;
    Metrics metrics;
    Budget budget;
    Semaphore places;
    Tokens tokens;
    std::vector<std::shared_ptr<Site>> sites;

    // ask.cc
    Task<Asked> ask(std::shared_ptr<Site>, Request, std::shared_ptr<client::Sink>,
                    std::shared_ptr<client::Leash>, TimePoint deadline);
    client::Call make_call(const Site&, const Request&, const Grant&,
                           const std::shared_ptr<client::Leash>&, TimePoint deadline) const;
    std::optional<Known> challenge_of(const Site&, const client::Fields&, const Request&) const;
    Task<Grant> grant(std::shared_ptr<Site>, Known, Request, TimePoint deadline);
    Task<Grant> bearer_grant(std::shared_ptr<Site>, Known, Request, std::optional<Credential>,
                             TimePoint deadline);
    std::optional<Credential> credential_for(const Site&, const Request&) const;
    Asked asked_of(const Site&, client::Followed, const AnswerSink&) const;

    // objects.cc; each makes one attempt at one mirror.
    Task<ManifestAnswer> manifest_at(std::shared_ptr<Site>, std::string repository, oci::Reference,
                                     bool head, TimePoint deadline);
    Task<BlobHeadAnswer> blob_head_at(std::shared_ptr<Site>, std::string repository, oci::Digest,
                                      TimePoint deadline);
    Task<ListAnswer> list_at(std::shared_ptr<Site>, std::string repository, ListKind,
                             std::string reference, std::string query, TimePoint deadline);

    // upstream.cc
    template <class A>
    using Attempt = std::function<Task<A>(std::shared_ptr<Site>, TimePoint)>;
    // Waits for a place; nullopt when the queue is full or the deadline passes.
    Task<std::optional<Semaphore::Permit>> place(TimePoint deadline);
    // Enters the breaker, waits for a place, makes the attempt and tells the breaker how it went.
    template <class A>
    Task<A> once(std::shared_ptr<Site>, Purpose, Attempt<A>, TimePoint deadline);
    // Over the mirrors in order, with retries inside the deadline.
    template <class A>
    Task<A> over_mirrors(Purpose, Attempt<A>, TimePoint deadline);
    Duration pause_before(uint32_t round, const Answer&) const;
    TimePoint share_of(TimePoint deadline, Purpose, const std::vector<bool>& spent,
                       size_t from) const;
    void settle(Site&, Purpose, Breaker::Ticket, Breaker::Sign, Answer&);
    void count_open();

    // blob.cc
    Task<BlobAnswer> blob(std::shared_ptr<Site>, std::string repository, oci::Digest, BlobRange,
                          std::shared_ptr<BlobSink>,
                          std::function<void(std::shared_ptr<client::TransferHandle>)> started,
                          TimePoint head_deadline);
};

}  // namespace weir::upstream
