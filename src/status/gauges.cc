#include "status/gauges.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <utility>

namespace weir::status {
namespace {

void set(const char* name, const char* help, double value, const metrics::Labels& labels = {}) {
    metrics::gauge(name, help, labels).Set(value);
}

size_t open_files() {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
    if (!directory) return 0;
    size_t count = 0;
    while (readdir(directory.get()) != nullptr) ++count;
    return count > 3 ? count - 3 : 0;  // ".", ".." and the directory itself
}

double resident_bytes() {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/proc/self/statm", "re"), fclose);
    unsigned long all = 0, resident = 0;
    if (!file || fscanf(file.get(), "%lu %lu", &all, &resident) != 2) return 0;
    return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

void set_build_info(const std::string& version) {
    set("weir_build_info", "The running version", 1, {{"version", version}});
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    set("process_start_time_seconds", "When the process started, in seconds since the epoch",
        std::chrono::duration<double>(now).count());
}

static void set_tier_gauges(const cache::Snapshot& snapshot) {
    const meta::TierUsage& tiers = snapshot.tiers;
    const char* blobs = "Blobs in a tier";
    const char* bytes = "Bytes of the blobs in a tier";
    set("weir_tier_blobs", blobs, static_cast<double>(tiers.disk_blobs), {{"tier", "disk"}});
    set("weir_tier_bytes", bytes, static_cast<double>(tiers.disk_bytes), {{"tier", "disk"}});
    if (!snapshot.durable_tier) return;
    set("weir_tier_blobs", blobs, static_cast<double>(tiers.s3_blobs), {{"tier", "s3"}});
    set("weir_tier_bytes", bytes, static_cast<double>(tiers.s3_bytes), {{"tier", "s3"}});
    set("weir_uploads_waiting", "Objects that have yet to go up to S3",
        static_cast<double>(tiers.uploads));
    set("weir_uploads_waiting_bytes", "Bytes of the blobs that have yet to go up to S3",
        static_cast<double>(tiers.upload_bytes));
    set("weir_uploads_running", "Uploads under way", static_cast<double>(snapshot.uploads_running));
    set("weir_s3_deletes_waiting", "S3 objects that have yet to be deleted",
        static_cast<double>(tiers.doomed));
    set("weir_s3_answers", "1: S3 answered when it was last asked; 0: it did not",
        snapshot.durable_tier_answers ? 1 : 0);
}

static void set_memory_gauges(const cache::MemoryShares& now) {
    const std::pair<const char*, uint64_t> kinds[] = {
        {"manifests", now.manifests}, {"tags", now.tags},   {"links", now.links},
        {"index", now.index},         {"lists", now.lists}, {"negative", now.negative},
        {"answers", now.answers},
    };
    for (const auto& [kind, bytes] : kinds)
        set(cache::kMemoryGauge, cache::kMemoryGaugeHelp, static_cast<double>(bytes),
            {{"kind", kind}});
}

void set_cache_gauges(const cache::Snapshot& snapshot) {
    set_memory_gauges(snapshot.memory);
    set("weir_fetches_running", "Blobs being filled", static_cast<double>(snapshot.fetches));
    set("weir_fetches_waiting", "Blobs that wait for their turn",
        static_cast<double>(snapshot.fetches_waiting));
    set("weir_relays_running", "Answers relayed without being kept",
        static_cast<double>(snapshot.relays));
    set("weir_blob_readers", "Readers of blobs being filled",
        static_cast<double>(snapshot.readers));
    set("weir_manifest_memory_bytes", "Manifests kept in memory",
        static_cast<double>(snapshot.manifest_memory_bytes));
    set("weir_blobs", "Blobs stored", static_cast<double>(snapshot.usage.blobs));
    set("weir_blob_bytes", "Bytes of the blobs stored",
        static_cast<double>(snapshot.usage.blob_bytes));
    set("weir_staging_bytes", "Bytes of blobs that are not whole yet",
        static_cast<double>(snapshot.usage.staging_bytes));
    set("weir_manifests", "Manifests stored", static_cast<double>(snapshot.usage.manifests));
    set("weir_repositories", "Repositories known",
        static_cast<double>(snapshot.usage.repositories));
    set("weir_tags", "Tags known", static_cast<double>(snapshot.usage.tags));
    set("weir_metadata_bytes", "Bytes of the database that count against the quota",
        static_cast<double>(snapshot.metadata_bytes));
    set_tier_gauges(snapshot);
}

void set_upstream_gauges(const std::vector<upstream::Status>& upstreams) {
    for (const auto& status : upstreams) {
        const metrics::Labels labels = {{"upstream", status.name}};
        set("weir_upstream_requests_running", "Requests to an upstream at this moment",
            static_cast<double>(status.in_use), labels);
        set("weir_upstream_requests_waiting", "Requests that wait for a place",
            static_cast<double>(status.waiting), labels);
        for (const auto& [host, state] : status.mirrors)
            set("weir_upstream_mirror_usable", "1: asked in its turn; 0: left alone for now",
                state == "closed" ? 1 : 0, {{"upstream", status.name}, {"mirror", host}});
    }
}

void set_used_bytes(uint64_t bytes) {
    set("weir_disk_used_bytes", "Bytes of blobs and staging that count against the quota",
        static_cast<double>(bytes));
}

void set_process_gauges() {
    set("process_resident_memory_bytes", "Resident memory", resident_bytes());
    set("process_open_fds", "Open file descriptors", static_cast<double>(open_files()));
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        set("process_max_fds", "Limit of open file descriptors",
            static_cast<double>(limit.rlim_cur));
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        set("process_cpu_seconds_total", "User and system time",
            seconds(usage.ru_utime) + seconds(usage.ru_stime));
}

}  // namespace weir::status
