// config/config.h: everything weir is told, as plain values.
//
// A Config is made by load.h from one file (zot's schema, and our own keys under "weir"), or by
// defaults() from no file, and never changes afterwards; a reload makes another one. Every field
// here is explained, with its key, its default and its unit, in docs/configuration.md, which is
// checked against schema.cc by a test.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "config/size.h"
#include "config/tiers.h"

namespace weir::config {

// Limits of what a file may say; beyond them it is refused.
inline constexpr size_t kMaxFileBytes = 4 * 1024 * 1024;
inline constexpr size_t kMaxDepth = 32;
inline constexpr size_t kMaxValues = 100'000;
inline constexpr size_t kMaxRegistries = 1'000;

// ---- http, log, storage
// ---------------------------------------------------------------------------------------------

struct Tls {
    std::string cert, key, cacert;  // cacert: clients must show a certificate signed by it
    bool operator==(const Tls&) const = default;
};

struct Http {
    std::string address = "0.0.0.0";
    uint16_t port = 5000;
    std::optional<Tls> tls;
    std::string realm;
    std::string external_url;
    // Idle timeouts: a client that sends, or takes, nothing for so long. 0 or less: none.
    Duration read_timeout = std::chrono::seconds(60);
    Duration write_timeout = std::chrono::seconds(60);
    bool operator==(const Http&) const = default;
};

struct Log {
    std::string level = "info";  // as written: trace, debug, info, warn, error, fatal, panic
    std::string output;          // a path; empty: standard error
    std::string audit;           // not written yet
    // weir.log
    std::string format = "auto";  // json, text, or auto: text on a terminal, else json
    bool access = true;           // a line for each request
    std::string access_output;    // a path; empty: the same as output
    log::Level threshold() const;
    bool operator==(const Log&) const = default;
};

struct Storage {
    std::string root_directory;  // never empty after a load
    bool commit = false;         // fsync before an object is called stored
    std::string driver;          // storageDriver.name as written; empty: local
    std::optional<S3> s3;        // the durable tier behind the disk
    Gc gc;                       // with weir.gc
    Retention retention;
    Redirect redirect;  // with weir.redirect
    bool operator==(const Storage&) const = default;
};

// ---- upstreams
// ------------------------------------------------------------------------------------------------------

// One login at one upstream, for the repositories that match. Several may stand side by side
// (organisations of ghcr.io).
struct Login {
    std::string repositories = "**";  // glob on the upstream's repository name
    std::string username;
    Secret password, token;  // token: sent as "Bearer" without asking for one
    std::string password_file, password_env, token_file, token_env;
    bool operator==(const Login&) const = default;
};

// weir.upstreams."<host name or destination>"; what isn't said there is taken from
// weir.upstreams.default, then from here.
struct UpstreamSettings {
    bool offline = false;          // serve only what is stored; never ask
    std::optional<Duration> ttl;   // of tags; else manifestCheckInterval, else freshness.ttl
    bool head = true;              // revalidate with HEAD (false: the upstream counts or breaks it)
    uint32_t max_concurrent = 64;  // requests at once
    struct Segments {
        uint32_t count = 1;              // parallel ranges of one blob; 1: off
        uint64_t bytes = 16 * kMiB;      // of one range
        uint64_t min_bytes = 64 * kMiB;  // smaller blobs are fetched in one piece
        bool operator==(const Segments&) const = default;
    } segments;
    Duration connect_timeout = std::chrono::seconds(5);
    Duration response_timeout = std::chrono::seconds(10);  // to the head of an answer
    // A body slower than this many bytes a second for so long has stalled.
    Duration stall_timeout = std::chrono::seconds(10);
    uint64_t stall_bytes_per_second = 1024;
    bool anonymous = false;  // never send credentials, whatever files say
    std::vector<Login> credentials;
    // Token realms and redirects on these hosts are believed, besides the upstream's own domain.
    std::vector<std::string> trusted_hosts;
    std::string proxy;  // a URL; "none": no proxy; empty: HTTPS_PROXY, HTTP_PROXY, NO_PROXY
    bool operator==(const UpstreamSettings&) const = default;
};

// extensions.sync.registries[].content[]
struct Content {
    std::string prefix;             // glob on the upstream's repository name; leading '/' ignored
    std::string destination = "/";  // local prefix
    bool strip_prefix = false;
    std::string tags_regex, tags_exclude_regex;  // of periodic sync only
    bool tags_semver = false;
    bool operator==(const Content&) const = default;
};

// What is known of an upstream besides its configuration (quirks.cc).
struct Quirks {
    bool hub = false;  // Docker Hub or a mirror of it: one-part names stand in library/
    bool redirects_manifests = false;
    bool no_challenge = false;       // answers without a 401 step
    bool head_lacks_digest = false;  // GET and hash
    bool operator==(const Quirks&) const = default;
};

// extensions.sync.registries[]: one upstream with its mirrors.
struct Registry {
    // For logs, metrics and weir.upstreams: the first URL's host[:port]; Docker Hub is docker.io.
    std::string name;
    // "https://host[:port][/path]", scheme and host in lower case, no trailing slash, without weir
    // itself. The first is the primary, the others are its mirrors. Never empty.
    std::vector<std::string> urls;
    std::vector<Content> content;  // empty: everything, root to root
    bool on_demand = false;        // false: never asked
    bool tls_verify = true;
    std::string cert_dir;  // *.crt = CA, *.cert + *.key = client pair
    uint32_t max_retries = 3;
    Duration retry_delay = std::chrono::milliseconds(500);
    // The delay doubles up to here. As in zot equal to retry_delay (no growth) where only that is
    // given.
    Duration max_retry_delay = std::chrono::seconds(10);
    std::optional<Duration> manifest_check_interval;
    Duration poll_interval{};  // periodic sync isn't supported yet
    bool only_signed = false;  // isn't supported yet
    std::optional<uint32_t>
        req_concurrent;  // is settings.max_concurrent unless weir.upstreams says otherwise
    Quirks quirks;
    UpstreamSettings settings;
    bool operator==(const Registry&) const = default;

    // Tags of this upstream are fresh for so long; `fallback` is freshness.ttl.
    Duration tag_ttl(Duration fallback) const {
        return settings.ttl ? *settings.ttl : manifest_check_interval.value_or(fallback);
    }
};

// ---- weir
// ----------------------------------------------------------------------------------------

struct FreshnessRule {
    std::string repositories = "**";  // glob on the local repository name
    std::string tags;                 // regular expression (RE2) on the whole tag; empty: all
    Duration ttl = std::chrono::minutes(5);
    bool operator==(const FreshnessRule&) const = default;
};

struct Freshness {
    Duration ttl = std::chrono::minutes(5);
    Duration negative_ttl = std::chrono::seconds(10);
    Duration signature_negative_ttl = std::chrono::seconds(2);
    Duration list_ttl = std::chrono::seconds(60);  // tags/list and referrers
    Duration max_stale = std::chrono::hours(1);    // 0: no bound
    // Regular expressions (RE2) on the whole tag: once stored never asked again.
    std::vector<std::string> immutable;
    std::vector<FreshnessRule> rules;  // the first that matches; before the upstream's own ttl
    bool operator==(const Freshness&) const = default;
};

struct Fetch {
    uint32_t max_concurrent = 96;
    uint32_t max_queued = 4096;
    uint64_t chunk_bytes = 4 * kMiB;  // a cold range is fetched to the end of its chunk
    uint64_t range_ahead_bytes =
        32 * kMiB;  // a range this near ahead of a running fetch waits for it
    uint64_t record_interval_bytes = 32 * kMiB;  // a crash costs at most so much
    bool whole_after_range = false;              // fetch.rest: "whole" (true) or "none"
    bool operator==(const Fetch&) const = default;
};

struct Memory {
    uint64_t bytes = 128 * kMiB;          // of all that is remembered
    uint64_t manifest_bytes = 64 * kMiB;  // of that, at most, for manifests
    uint32_t open_files = 1024;
    bool operator==(const Memory&) const = default;
};

struct Relay {
    uint64_t buffer_bytes = 1 * kMiB;
    uint32_t max_concurrent = 64;
    bool operator==(const Relay&) const = default;
};

struct Threads {
    uint32_t loops = 0;  // 0: one a core
    uint32_t pool = 8;
    uint32_t transfers = 1;  // threads for blob bodies from upstreams
    bool operator==(const Threads&) const = default;
};

struct Limits {
    uint32_t max_connections = 16384;
    uint64_t max_header_bytes = 32 * kKiB;
    uint64_t max_url_bytes = 8 * kKiB;
    uint32_t max_header_fields = 128;
    uint64_t max_manifest_bytes = 4 * kMiB;
    uint64_t max_request_body_bytes = 4 * kMiB;
    bool operator==(const Limits&) const = default;
};

struct Timeouts {
    Duration header = std::chrono::seconds(10);  // from the first byte of a request head to its end
    Duration handshake = std::chrono::seconds(10);  // TLS
    Duration idle = std::chrono::seconds(60);       // between requests
    Duration miss =
        std::chrono::seconds(10);  // weir.missTimeout: what isn't stored is answered within it
    Duration drain = std::chrono::seconds(
        30);  // weir.drainTimeout: running transfers have so long after SIGTERM
    bool operator==(const Timeouts&) const = default;
};

struct Metrics {
    bool enable = true;
    std::string path = "/metrics";
    bool operator==(const Metrics&) const = default;
};

// ---- all of it
// -----------------------------------------------------------------------------------

struct Config {
    std::string path;  // of the file; empty: defaults
    Http http;
    Log log;
    Storage storage;

    std::vector<Registry>
        registries;  // in the file's order; those with on_demand false are never asked
    std::string credentials_file;  // extensions.sync.credentialsFile
    std::vector<std::string>
        docker_config_files;  // may be missing; the first that names a host wins

    // weir.hosts: names in lower case, destinations without outer slashes.
    std::vector<std::pair<std::string, std::string>> hosts;
    std::string bare_upstream = "docker.io";  // whose the bare /v2/library/x is; "none": nobody's
    bool bare_upstream_given = false;         // then it must be known
    std::vector<std::string> own_names;       // weir itself: never upstream names; lower case
    // weir.paths: "tolerant" (true) or "strict" (false): each repository has one path.
    bool tolerant_paths = true;

    Freshness freshness;
    Fetch fetch;
    Memory memory;
    Cache cache;
    S3Tuning s3;
    Relay relay;
    Threads threads;
    Limits limits;
    Timeouts timeouts;
    Metrics metrics;
    bool catalog = true;       // GET /v2/_catalog lists what is cached
    bool reload_watch = true;  // look at the file's time, besides SIGHUP
    Duration reload_interval = std::chrono::seconds(5);

    bool operator==(const Config&) const = default;

    // The registry of that name, or nullptr.
    const Registry* registry(std::string_view name) const;
};

// What a reload makes of a file: `config` is `fresh`, but what only a restart can change has the
// values of `running`; `kept` names those keys where the two differ ("http.port").
struct Reloaded {
    Config config;
    std::vector<std::string> kept;
};
Reloaded keep_until_restart(const Config& running, Config fresh);

// Docker Hub under any of its names (docker.io, index.docker.io, registry-1.docker.io, and their
// ports 443 and 80).
bool is_hub_name(std::string_view host);

}  // namespace weir::config
