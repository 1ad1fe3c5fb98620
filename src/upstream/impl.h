// upstream/impl.h: the parts of an Upstream, for the files of this room.
//
// upstream.cc: mirrors in order, retries · ask.cc: one request to one mirror · visit.h: what each
// host on its way is shown · grant.cc: tokens and logins · objects.cc: manifests, blob heads and
// lists · blob.cc: the bytes of a blob · outcome.cc: what an answer means.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "async/fair_semaphore.h"
#include "async/scope.h"
#include "async/semaphore.h"
#include "client/follow.h"
#include "client/leash.h"
#include "client/url.h"
#include "oci/challenge.h"
#include "upstream/budget.h"
#include "upstream/hosts.h"
#include "upstream/judgement.h"
#include "upstream/metrics.h"
#include "upstream/parts.h"
#include "upstream/token.h"
#include "upstream/upstream.h"

namespace weir::upstream {

struct Site {
    Site(const Mirror&, const Options&, Random&);
    const Mirror mirror;
    const client::Url url;
    const client::Guard guard;
    Parts parts;
    const std::shared_ptr<Host> host;
    // Set when GET /v2/ has told, or not, what this host asks for.
    std::atomic<TimePoint> greeted_until{};

    // true the first time: what an operator needs to read only once.
    bool is_news(const std::string& what);

private:
    std::mutex mutex_;
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
    // Set before each send with a login of ours, to whatever host; it stays set.
    std::shared_ptr<std::atomic<bool>> with_login = std::make_shared<std::atomic<bool>>(false);
};

// Whose failures and hold-offs a request's are.
struct Subject {
    Purpose purpose = Purpose::manifest;
    std::string repository;
};

// What came of asking one mirror once. `reply` holds the last head, also of an error.
struct Asked : Answer {
    client::ReplyEnd reply;
    bool same_origin = true;
    std::string host;  // that answered
};

// What every answer tells, from what came of asking.
void take(Answer&, const Asked&);

// What a request carries to be let in; an outcome other than ok: it could not be got.
struct Grant {
    Outcome outcome = Outcome::ok;
    std::string detail;
    std::optional<std::chrono::seconds> retry_after;
    Secret authorization;     // empty: nothing is sent
    bool with_login = false;  // it is a login of ours, or was got with one
    std::string key;          // of the token; empty for Basic
    Secret token;
    bool fresh = false;  // just made: asking for another one would not help
};

// For whom a grant is: one host on the way, and the repository as it is called there.
struct Door {
    std::shared_ptr<Site> site;
    std::shared_ptr<Host> host;
    client::Url url;
    std::string repository;
    Purpose purpose = Purpose::manifest;
    bool is_mirror = true;  // the site's own origin, not one that it redirected to
};

// What a refusal asks for, if it is anything that weir can answer.
std::optional<Known> challenge_of(const client::ReplyEnd&, const Door&);

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
    // Shared by kind of request (async/shares.h): blobs that crawl leave places for manifests, and
    // those that are passed on to slow clients leave places for others.
    FairSemaphore places;
    Hosts hosts;
    Tokens tokens;
    Scope scope;
    Flight<const Site*, bool> greetings;
    std::vector<std::shared_ptr<Site>> sites;

    // ask.cc
    Task<Asked> ask(std::shared_ptr<Site>, Request, std::shared_ptr<client::Sink>,
                    std::shared_ptr<client::Leash>, TimePoint deadline);
    client::Call make_call(const Site&, const Request&, const std::shared_ptr<client::Leash>&,
                           TimePoint deadline) const;
    Asked asked_of(const Site&, client::Followed, const AnswerSink&) const;

    // grant.cc
    Task<Grant> grant(Door, Known, TimePoint deadline);
    Task<Grant> bearer_grant(Door, Known, std::optional<Credential>, TimePoint deadline);
    std::optional<Credential> credential_for(const Door&) const;
    // One GET /v2/ where a login is configured and nothing is known yet: some registries challenge
    // there alone, and hide from strangers what they would show us.
    Task<> greet(Door, TimePoint deadline);
    Task<bool> greeting(std::shared_ptr<Site>);

    // objects.cc; each makes one attempt at one mirror.
    Task<ManifestAnswer> manifest_at(std::shared_ptr<Site>, std::string repository, oci::Reference,
                                     bool head, std::string accept, TimePoint deadline);
    Task<BlobHeadAnswer> blob_head_at(std::shared_ptr<Site>, std::string repository, oci::Digest,
                                      TimePoint deadline);
    Task<ListAnswer> list_at(std::shared_ptr<Site>, std::string repository, ListKind,
                             std::string reference, std::string query, TimePoint deadline);

    // upstream.cc
    template <class A>
    using Attempt = std::function<Task<A>(std::shared_ptr<Site>, TimePoint)>;
    // Waits for a place; none, and why, when the queue is full or the deadline passes.
    struct Place {
        FairSemaphore::Permit permit;
        std::string refusal;
    };
    Task<Place> place(const char* kind, TimePoint deadline);
    // Waits for a place, asks the mirror's health, makes the attempt and tells how it went.
    template <class A>
    Task<A> once(std::shared_ptr<Site>, Subject, Attempt<A>, TimePoint deadline);
    // Over the mirrors in order, with retries inside the deadline.
    template <class A>
    Task<A> over_mirrors(Subject, Attempt<A>, TimePoint deadline);
    Duration pause_before(uint32_t round, const Answer&) const;
    TimePoint share_of(TimePoint deadline, const Subject&, const std::vector<bool>& spent,
                       size_t from) const;
    void settle(Site&, const Subject&, Health::Ticket, Sign, Answer&);
    void count_open();

    // blob.cc
    Task<BlobAnswer> blob(std::shared_ptr<Site>, std::string repository, oci::Digest, BlobRange,
                          std::shared_ptr<BlobSink>,
                          std::function<void(std::shared_ptr<client::TransferHandle>)> started,
                          TimePoint head_deadline);
};

}  // namespace weir::upstream
