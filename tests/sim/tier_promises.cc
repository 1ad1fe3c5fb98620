// What is checked of the tiers: the bounded disk, S3 behind it, collection.
#include <fmt/format.h>

#include "sim/world.h"

namespace weir::sim {

using namespace std::chrono_literals;

// S3 is asked first only once it has answered for a while; and what was under way goes on as it
// began.
constexpr Duration kSettled = 60s;

void World::watch_tiers() {
    machine_->on_stored = [this](const oci::Digest& digest) { kept_.insert(digest); };
    machine_->on_swept = [this](const oci::Digest& digest) {
        kept_.erase(digest);
        in_s3_.erase(digest);
    };
    machine_->on_evicted = [this](const meta::Victim& victim) { check_eviction(victim); };
    machine_->on_uploaded = [this](const oci::Digest& digest) {
        const auto row = machine_->metadata().find_blob(digest);
        if (row && row->in_s3) in_s3_.try_emplace(digest, now());
    };
    machine_->on_tag_removed = [this](const std::string& repository, const std::string& tag) {
        for (size_t route = 0; route < routes_.size(); ++route)
            if (routes_[route].local == repository) answered_.erase({route, tag});
    };
    machine_->on_job = [this] { check_bound(); };
}

// ---- what leaves the disk

void World::check_eviction(const meta::Victim& victim) {
    const std::string name = victim.digest.text();
    note("evicted " + name);
    if (troubles_.s3) {
        const Text object = depot_.blob(victim.digest);
        if (!object) return wrong(name + " was evicted, and S3 does not have it");
        if (*object != content_.bytes(victim.digest))
            wrong(name + " was evicted, and S3 has something else");
        return;
    }
    if (pushed_.contains(victim.digest)) wrong(name + " was evicted, and is nowhere else");
    kept_.erase(victim.digest);
}

void World::check_bound() {
    if (!troubles_.bounds || troubles_.errors || !machine_->files().powered()) return;
    const uint64_t changes = machine_->files().changes();
    if (changes == std::exchange(changes_, changes)) return;
    const uint64_t limit = machine_->options().limits.max_bytes;
    const uint64_t bytes = machine_->files().named_bytes();
    if (bytes <= most_bytes_) return;
    most_bytes_ = bytes;
    if (bytes > limit) wrong(fmt::format("{} bytes are on a disk tier of {}", bytes, limit));
}

// ---- what is asked of upstreams

void World::check_economy(const Ask& ask, const oci::Digest& digest) {
    const auto since = in_s3_.find(digest);
    if (!troubles_.s3 || since == in_s3_.end() || internet_.given(digest).damaged) return;
    const bool settled = now() > since->second + kSettled && depot_.well_since() != kNever &&
                         now() > depot_.well_since() + kSettled && now() > unsettled_until_;
    if (settled && !changing_)
        wrong(fmt::format("{} is in S3, and was fetched from registry {}", digest.text(),
                          ask.registry));
}

// ---- what the database says

// No row without its bytes, wherever they are said to be.
void World::check_rows() {
    auto& metadata = machine_->metadata();
    std::optional<oci::Digest> after;
    for (;;) {
        const auto page = metadata.blob_states(after, 100);
        for (const auto& blob : page) {
            const std::string& whole = content_.bytes(blob.digest);
            const std::string name = blob.digest.text();
            if (blob.in_s3) {
                const Text object = depot_.blob(blob.digest);
                if (!object || *object != whole) wrong(name + ": its row says S3, which has not");
            }
            if (!blob.on_disk || troubles_.errors) continue;
            const auto file = machine_->files().open(
                fmt::format("{}/blobs/{}/{}/{}.{}", Machine::kRoot, blob.digest.algorithm_name(),
                            blob.digest.hex().substr(0, 2), blob.digest.hex(), blob.generation),
                false);
            std::string bytes(file ? file->size() : 0, '\0');
            if (file) file->read_at(0, std::as_writable_bytes(std::span(bytes)));
            if (!file || bytes != whole) wrong(name + ": its row says disk, which has not");
        }
        if (page.size() < 100) break;
        after = page.back().digest;
    }
    for (const auto& digest : kept_)
        if (!metadata.find_blob(digest)) wrong(digest.text() + " was stored, and its row is gone");
}

// After collections nothing is left in S3 that no row knows.
void World::check_orphans() {
    auto& metadata = machine_->metadata();
    for (const auto& [key, object] : depot_.objects()) {
        const size_t room = key.find('/'), last = key.rfind('/');
        bool known = false;
        if (key.starts_with("tags/")) {
            known = metadata.find_tag(key.substr(room + 1, last - room - 1), key.substr(last + 1))
                        .has_value();
        } else {
            const size_t second = key.find('/', room + 1);
            const auto digest = oci::Digest::parse(fmt::format(
                "{}:{}", key.substr(room + 1, second - room - 1), key.substr(last + 1)));
            if (key.starts_with("blobs/")) {
                const auto row = metadata.find_blob(*digest);
                known = row && row->in_s3;
            } else {
                known = metadata.find_manifest(*digest).has_value();
            }
        }
        if (!known) wrong("an object without a row: " + key);
    }
    // One whose id never came back is found by the verb only.
    if (troubles_.s3_breaks || troubles_.s3_moods || troubles_.crashes) return;
    for (const auto& [id, upload] : depot_.uploads())
        wrong(fmt::format("a part upload is left behind: {} of {}", id, upload.key));
}

// ---- when all is well again

std::optional<size_t> World::route_of(const oci::Digest& digest) const {
    for (size_t route = 0; route <= routes_.size(); ++route)
        if (machine_->metadata().linked(local(route), digest) &&
            exists(route, oci::Reference(digest), true))
            return route;
    return std::nullopt;
}

// Every tag that was ever answered, with all its blobs; or those of them that are stored.
Task<> World::pull_answered(const char* when, bool stored) {
    for (const auto& [route, tag] : std::set(answered_)) {
        const auto manifest = co_await get_manifest(route, oci::Reference(tag), false);
        if (!manifest && answered_.contains({route, tag})) {
            wrong(fmt::format("{}: {}:{} can't be had", when, local(route), tag));
            continue;
        }
        if (!manifest) continue;
        for (const auto& digest : content_.manifests.at(manifest->digest).blobs)
            if ((!stored || kept_.contains(digest)) &&
                !co_await read_at_last({.route = route, .digest = digest, .ranges = {}}))
                wrong(fmt::format("{}: {} of {}:{} can't be had", when, digest.text(), local(route),
                                  tag));
    }
}

Task<> World::read_kept(const char* when) {
    for (const auto& digest : std::set(kept_)) {
        const auto route = route_of(digest);
        if (!route || !kept_.contains(digest)) continue;
        if (!co_await read_at_last({.route = *route, .digest = digest, .ranges = {}}) &&
            kept_.contains(digest))
            wrong(fmt::format("{}: {} is lost", when, digest.text()));
    }
}

// Until all is uploaded, evicted and collected that has to be.
Task<> World::settle_tiers() {
    const TimePoint latest = now() + 20min;
    while (machine_->metadata().tier_usage().uploads > 0 && now() < latest) co_await sleep_for(1s);
    if (machine_->metadata().tier_usage().uploads > 0) wrong("uploads wait though S3 is well");
}

Task<> World::tier_aftermath() {
    // Once more in the midst of things.
    if (!troubles_.calm()) {
        scope_.spawn(loops_[0], [this]() -> Task<> {
            for (size_t i = 0; i < 10 && machine_->up() && !changing_; ++i)
                co_await one_thing(random_.below(routes_.size()));
        });
        co_await sleep_for(between(0ms, 2s));
    }
    co_await restart(troubles_.crashes);
    co_await pull_answered("after the restart", false);
    if (troubles_.s3) {
        co_await settle_tiers();
        const size_t before = internet_.count(What::blob, "GET");
        co_await read_kept("with all that is stored in S3");
        if (!troubles_.s3_breaks && !troubles_.damage &&
            internet_.count(What::blob, "GET") != before)
            wrong("what is in S3 was fetched from an upstream");
        for (size_t registry = 0; registry < machine_->options().mirrors.size(); ++registry)
            for (size_t m = 0; m < machine_->options().mirrors[registry]; ++m)
                internet_.mirror(registry, m).mood = Mood::refuses;
        co_await read_kept("with no upstream");
        co_await pull_answered("with no upstream", true);
        heal();
    }
    // Several collections, beyond every grace; what a dead process had claimed takes longest.
    co_await sleep_for(3min);
    const TimePoint latest = now() + 20min;
    while (machine_->metadata().tier_usage().doomed > 0 && now() < latest) co_await sleep_for(1min);
    co_await settle_tiers();
    check_rows();
    check_orphans();
}

}  // namespace weir::sim
