// config/tiers.h: what a file says of where objects are kept, how long, and who takes them away.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "config/size.h"

namespace weir::config {

// storage.storageDriver with the name "s3".
struct S3 {
    std::string region;  // empty: us-east-1; what the service names is adopted
    std::string bucket;
    std::string endpoint;  // regionendpoint; empty: AWS's
    std::string root;      // rootdirectory
    std::string access_key;
    Secret secret_key, session_token;
    std::optional<bool> force_path_style;
    bool secure = true;  // of an endpoint without a scheme
    bool skip_verify = false;
    std::optional<uint64_t> chunk_bytes;
    std::string storage_class;
    bool encrypt = false;
    std::string key_id;
    bool operator==(const S3&) const = default;

    // As zot: where only an endpoint is given the bucket stands in the path.
    bool path_style() const { return force_path_style.value_or(!endpoint.empty()); }
};

// weir.s3
struct S3Tuning {
    uint32_t uploads = 4;               // objects at once
    uint64_t part_bytes = 16 * kMiB;    // of a multipart upload
    uint64_t single_bytes = 64 * kMiB;  // larger objects go up in parts
    uint32_t parallel_parts = 4;        // of one object
    uint32_t max_attempts = 4;
    Duration connect_timeout = std::chrono::seconds(5);
    Duration response_timeout = std::chrono::seconds(10);
    Duration stall_timeout = std::chrono::seconds(10);
    bool operator==(const S3Tuning&) const = default;
};

// storage.gc* and weir.gc
struct Gc {
    bool enable = true;
    Duration delay = std::chrono::hours(1);     // younger garbage stays
    Duration interval = std::chrono::hours(1);  // 0: only `weir gc` collects
    // Minutes of the day in UTC; the first may be the later one: over midnight.
    std::optional<std::pair<int, int>> window;
    Duration untagged_age = std::chrono::hours(168);
    bool operator==(const Gc&) const = default;
};

// storage.retention.policies[].keepTags[] and keepUntagged; what isn't given keeps nothing.
struct KeepRule {
    std::vector<std::string> patterns;  // regular expressions on tags, not anchored; none: all tags
    uint32_t most_recently_pushed = 0;
    uint32_t most_recently_pulled = 0;
    std::optional<Duration> pulled_within, pushed_within;
    bool operator==(const KeepRule&) const = default;
};

struct RetentionPolicy {
    std::vector<std::string> repositories;  // globs
    bool delete_referrers = false;
    bool delete_untagged = true;
    std::vector<KeepRule> keep_tags;  // empty: every tag stays
    std::optional<KeepRule> keep_untagged;
    bool operator==(const RetentionPolicy&) const = default;
};

// storage.retention
struct Retention {
    bool dry_run = false;
    std::optional<Duration> delay;  // else gcDelay
    std::vector<RetentionPolicy> policies;
    bool operator==(const Retention&) const = default;
};

struct Pin {
    std::string repositories = "**";  // glob on the local repository name
    std::string tags = "*";           // glob
    bool operator==(const Pin&) const = default;
};

// weir.cache: the bounds of the disk.
struct Cache {
    Size max_bytes{0, {}};                             // 0: no bound
    double high_watermark = 0.95;                      // of max_bytes: above it blobs are evicted
    double low_watermark = 0.85;                       // down to here
    Size min_free{256 * kMiB, {}};                     // kept free for others
    Duration max_age{};                                // not read for so long; 0: no bound
    std::vector<std::pair<std::string, Size>> quotas;  // by the name of the upstream
    std::vector<Pin> pins;
    // Blobs of at least so many bytes are kept on the second request only; 0: off.
    uint64_t admission_min_bytes = 0;
    // What the database may hold of manifests and lists; 0: a quarter of max_bytes, at least 8 MiB,
    // or 1 GiB where that has no bound.
    uint64_t metadata_bytes = 0;
    bool operator==(const Cache&) const = default;
};

// storage.redirectBlobURL and weir.redirect: blobs are given as presigned URLs of the object store.
struct Redirect {
    bool enable = false;
    std::vector<std::string> networks;  // of clients, "10.0.0.0/8"; empty: all
    Duration validity = std::chrono::minutes(10);
    bool operator==(const Redirect&) const = default;
};

}  // namespace weir::config
