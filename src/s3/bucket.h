// s3/bucket.h: one bucket, and the verbs weir needs of it. AWS's rules; works with its imitators.
//
// Expected outcomes are values (Outcome); what S3 does is never an exception. Retries with jitter
// on 5xx, SlowDown and lost connections happen inside the deadline; a skewed clock is adopted from
// the Date of the refusal. Nothing lists but list() and list_uploads(), which only explicit verbs
// call. A region that the service names is adopted too. Any loop.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/pool.h"
#include "async/task.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "client/http_client.h"
#include "s3/credentials.h"

namespace weir::s3 {

struct BucketOptions {
    std::string region = "us-east-1";
    std::string bucket;
    std::string endpoint;     // "https://s3.lab:9000"; empty: AWS's of the region
    bool path_style = false;  // zot: true when a regionendpoint is given and forcepathstyle isn't
    bool secure = true;       // for an endpoint without a scheme
    std::string prefix;       // rootdirectory without its slashes, or empty
    std::string storage_class;
    bool encrypt = false;
    std::string kms_key_id;
    uint64_t part_bytes = 16ull << 20;        // chunksize; at least 5 MiB
    uint64_t single_put_bytes = 64ull << 20;  // larger objects go up in parts
    size_t parallel_parts = 4;
    client::Tls tls;
    client::Timeouts timeouts;
    uint32_t max_attempts = 4;
};

enum class Outcome {
    ok,
    absent,       // NoSuchKey / 404
    refused,      // 403: wrong or expired credentials, no permission
    unavailable,  // 5xx, SlowDown, no connection, time-out; after the retries
    bad,          // an answer that makes no sense, or a precondition that failed
};
const char* outcome_name(Outcome);

struct Result {
    Outcome outcome = Outcome::ok;
    std::string detail;  // for people; without secrets
};
struct HeadResult : Result {
    uint64_t size = 0;
};
struct GetResult : Result {
    uint64_t bytes = 0;  // that reached the sink
    bool cut =
        false;  // the head was good and the body ended early or stalled: the rest can be asked for
    bool stopped = false;  // by the sink, or by the handle after the head
};
struct Object {
    std::string key;  // without the prefix
    uint64_t size = 0;
    WallTime modified{};
};
struct ListResult : Result {
    std::vector<Object> objects;
    std::string next;  // continuation token; "" at the end
};

// A multipart upload that was begun and neither ended nor aborted.
struct OpenUpload {
    std::string key;  // without the prefix
    std::string upload_id;
    WallTime started{};
};
struct UploadsPlace {
    std::string key, upload_id;  // as the service gave them; no key: the beginning, or the end
};
struct UploadsResult : Result {
    std::vector<OpenUpload> uploads;
    UploadsPlace next;
};

// Told the id of a multipart upload, to be kept in a row: a crash then leaves something to abort().
// No part is sent before it has ended; a Failure it throws ends the upload.
using Started = std::function<Task<>(std::string upload_id)>;

inline constexpr size_t kMaxRemoved = 1000;

class Bucket {
public:
    // Files are hashed on the pool. Failure{config_invalid} for an endpoint or bucket that can't be
    // one.
    Bucket(BucketOptions, client::HttpClient&, CredentialChain&, Pool&, Clock&, Random&);
    ~Bucket();

    // `absent` is asked for twice, since the 404 of a HEAD doesn't say whether it is of the key or
    // of the bucket.
    Task<HeadResult> head(std::string key, TimePoint deadline);
    // [first, last] (inclusive; absent: to the end). The sink sees status 200 for the whole or 206
    // with its fields, of the range that was asked for; an exception of it is `stopped`. What ends
    // after the head is not tried again. `started` gets one handle for all tries, before the first.
    Task<GetResult> get(std::string key, uint64_t first, std::optional<uint64_t> last,
                        std::shared_ptr<client::Sink> sink,
                        std::function<void(std::shared_ptr<client::TransferHandle>)> started,
                        TimePoint head_deadline);
    // The whole file, single PUT or parts by size. `sha256_hex` of the whole is the signed payload
    // hash of a single PUT
    // ("" when the digest is another algorithm: hashed while reading). A failed multipart upload is
    // aborted. `started` may be empty.
    Task<Result> put(std::string key, std::shared_ptr<const File> file, uint64_t size,
                     std::string sha256_hex, Started started, TimePoint deadline);
    // A small object from memory (with Content-MD5 and payload hash).
    Task<Result> put_text(std::string key, std::string text, TimePoint deadline);
    Task<Result> abort(std::string key, std::string upload_id, TimePoint deadline);
    Task<Result> remove(std::string key, TimePoint deadline);
    // Up to kMaxRemoved keys in one request; a key that wasn't there counts as removed. `failed`
    // gets those that were not, all when the outcome isn't ok.
    Task<Result> remove_many(std::vector<std::string> keys, std::vector<std::string>* failed,
                             TimePoint deadline);
    Task<ListResult> list(std::string key_prefix, std::string continuation, TimePoint deadline);
    Task<UploadsResult> list_uploads(std::string key_prefix, UploadsPlace from, TimePoint deadline);
    // A URL that serves the object to anyone for `valid`. Waits only for credentials.
    Task<std::optional<std::string>> presigned_get(std::string key, std::chrono::seconds valid,
                                                   TimePoint deadline);

    // What is under way ends as unavailable, and so does whatever is asked later. An upload in
    // parts is not aborted then: whoever was told its id does that. Any thread.
    void stop();

    const BucketOptions& options() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace weir::s3
