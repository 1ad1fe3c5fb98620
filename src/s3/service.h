// s3/service.h: requests to one bucket: signed, sent, judged, and tried again within the deadline.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/leash.h"
#include "s3/bucket.h"
#include "s3/endpoint.h"
#include "s3/leashes.h"
#include "s3/metrics.h"
#include "s3/retry.h"

namespace weir::s3 {

using Pairs = std::vector<std::pair<std::string, std::string>>;

inline constexpr uint64_t kMaxAnswerBytes = 8 << 20;  // of XML; a list of 1000 long keys is 3 MB

struct Ask {
    Verb verb = Verb::head;
    std::string method = "GET";
    std::string key;  // whole; "" means the bucket itself
    Pairs query;
    Pairs fields;              // signed
    std::string payload_hash;  // "": of `body`
    std::string body;
    std::string content_type;
    std::shared_ptr<client::UploadSource> upload;
    uint64_t upload_bytes = 0;
    std::chrono::milliseconds least_response{0};  // this one may take longer than others

    // Gets a good answer's head and bytes instead of Answer::body; bulk, gathered if it likes.
    std::shared_ptr<client::Sink> sink;
    // The deadline is for the head only.
    bool to_head = false;
    // Held over all tries when given: cancel() ends them.
    std::shared_ptr<client::Leash> leash;
};

struct Answer : Result {
    client::ReplyHead head;
    std::string body;
    std::string code;        // of <Error>
    bool handed_on = false;  // the sink got the head
    client::End end = client::End::complete;
    std::string end_detail;
    uint64_t bytes = 0;  // that reached the sink
};

// Any loop.
class Service {
public:
    Service(BucketOptions, client::HttpClient&, CredentialChain&, Clock&, Random&);
    // Never throws for what S3 or the network do.
    Task<Answer> ask(Ask, TimePoint deadline);
    // What is under way ends as cancelled, and so does whatever is asked later.
    void stop();
    bool stopped() const { return leashes_.ended(); }
    Task<std::optional<std::string>> presigned(std::string key, std::chrono::seconds valid,
                                               TimePoint deadline);
    std::string key(std::string_view inner) const { return full_key(options.prefix, inner); }

    const BucketOptions options;
    Clock& clock;

private:
    struct Place {
        std::string region;
        Endpoint endpoint;
    };
    struct Try;

    std::shared_ptr<const Place> place() const;
    WallTime time() const;
    Task<Answer> attempt(const Ask&, Try&, TimePoint deadline);
    client::Call call_for(const Ask&, const Credentials&, const Place&) const;
    void take(const Ask&, Try&, client::ReplyEnd, Answer&) const;
    bool adopt(Try&, const Answer&);
    bool adopt_time(const Answer&);
    bool adopt_region(const std::string&);

    client::HttpClient& http_;
    CredentialChain& chain_;
    Random& random_;
    Leashes leashes_;
    std::atomic<int64_t> skew_us_{0};  // S3's clock minus ours
    mutable std::mutex mutex_;
    std::shared_ptr<const Place> place_;
};

}  // namespace weir::s3
