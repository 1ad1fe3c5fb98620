// store/remote.h: the durable tier behind the disk, as the cache sees it. One implementation: S3
// (s3_remote.h).
//
// Keys: blobs/sha256/ab/<hex>, manifests/sha256/ab/<hex>, tags/<repository>/<tag>. What the network
// does is a value, never an exception. Any loop. A tier that has just failed says so by usable(),
// so that reads go elsewhere first.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/clock.h"
#include "base/file.h"
#include "client/http_client.h"
#include "oci/digest.h"

namespace weir::store {

enum class RemoteEnd {
    ok,
    stopped,  // by the sink
    cut,      // the head was good, the body ended early or stalled
    absent,
    refused,      // credentials
    unavailable,  // no connection, 5xx, time-out
};
struct RemoteAnswer {
    RemoteEnd end = RemoteEnd::ok;
    std::string detail;
};

struct RemoteObject {
    oci::Digest digest;  // of a blob or manifest
    std::string name;    // "repository\ntag" of a tag
    uint64_t size = 0;
    WallTime modified{};
};
struct RemotePage : RemoteAnswer {
    std::vector<RemoteObject> objects;
    std::string next;  // "" at the end
};
// An upload in parts that was begun and neither ended nor aborted.
struct RemoteUpload {
    oci::Digest digest;  // of the blob
    std::string upload_id;
    WallTime started{};
};
struct RemoteUploads : RemoteAnswer {
    std::vector<RemoteUpload> uploads;
    std::string next;  // "" at the end
};
struct RemoteText : RemoteAnswer {
    std::string text;
};

class Remote {
public:
    virtual ~Remote() = default;
    virtual const std::string& name() const = 0;  // "s3", for logs and metrics
    virtual bool usable() const = 0;

    // Bytes [first, last] of a blob to the sink (status 200 or 206 and its fields as S3 sent them).
    virtual Task<RemoteAnswer> get(
        oci::Digest, uint64_t first, std::optional<uint64_t> last, std::shared_ptr<client::Sink>,
        std::function<void(std::shared_ptr<client::TransferHandle>)> started,
        TimePoint head_deadline) = 0;
    // `started` (may be empty) is told the id of an upload in parts and awaited before the first of
    // them; a Failure it throws ends the upload.
    using Started = std::function<Task<>(std::string upload_id)>;
    virtual Task<RemoteAnswer> put_blob(oci::Digest, std::shared_ptr<const File>, uint64_t size,
                                        Started started) = 0;
    // `ok` too when there is none (any more).
    virtual Task<RemoteAnswer> abort_blob(oci::Digest, std::string upload_id) = 0;
    virtual Task<RemoteAnswer> put_manifest(oci::Digest, std::string media_type,
                                            std::string bytes) = 0;
    // `text`: JSON {"digest","checked","upstream"}.
    virtual Task<RemoteAnswer> put_tag(std::string repository, std::string tag,
                                       std::string text) = 0;
    virtual Task<RemoteAnswer> remove_tag(std::string repository, std::string tag) = 0;
    // Blobs or manifests, whatever the digest is of; those that could not be removed are in
    // `failed`. At most kMaxRemoved at once.
    static constexpr size_t kMaxRemoved = 500;
    virtual Task<RemoteAnswer> remove(std::vector<oci::Digest> digests,
                                      std::vector<oci::Digest>* failed) = 0;
    virtual Task<std::optional<std::string>> presigned_get(oci::Digest,
                                                           std::chrono::seconds valid) = 0;

    // For the end of the process: what is under way ends as unavailable, and so does whatever is
    // asked later. An upload in parts keeps its id in S3. Any thread.
    virtual void stop() = 0;

    // For the explicit verbs only. The size as S3 has it.
    virtual Task<RemoteAnswer> head(oci::Digest, uint64_t* size) = 0;
    enum class Kind { blobs, manifests, tags };
    virtual Task<RemotePage> list(Kind, std::string continuation) = 0;
    virtual Task<RemoteUploads> list_uploads(std::string continuation) = 0;
    virtual Task<RemoteText> text(Kind, RemoteObject, std::string* media_type) = 0;
};

}  // namespace weir::store
