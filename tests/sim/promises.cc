// What is checked in every run.
#include <fmt/format.h>

#include <algorithm>

#include "crypto/hasher.h"
#include "sim/world.h"

namespace weir::sim {

using namespace std::chrono_literals;
// What is here is answered within this, whatever upstreams do: a few jobs of the pool.
constexpr Duration kHitTime = 50ms;
// Who asks the upstream first waits so long for it, and a little for what is under way.
constexpr Duration kFirstWait = 300ms;

bool World::exists(size_t route, const oci::Reference& reference, bool blob) const {
    if (is_own(route)) return blob && pushed_.contains(reference.digest());
    for (const auto& [registry, name] : routes_[route].candidates) {
        const Repository* repo = content_.registries[registry].find(name);
        if (repo == nullptr) continue;
        const auto digest =
            reference.is_digest() ? std::optional(reference.digest()) : repo->tag(reference.tag());
        if (!digest) continue;
        if ((blob ? repo->blobs : repo->manifests).contains(*digest)) return true;
    }
    return false;
}

World::Expected World::expect_blob(size_t route, const oci::Digest& digest) {
    auto& metadata = machine_->metadata();
    Expected expected;
    expected.asked_at = now();
    expected.exists = exists(route, oci::Reference(digest), true);
    const auto row = metadata.find_blob(digest);
    expected.here = row && row->on_disk && metadata.linked(local(route), digest);
    return expected;
}

World::Expected World::expect_manifest(size_t route, const oci::Reference& reference) {
    auto& metadata = machine_->metadata();
    const std::string& local = routes_[route].local;
    Expected expected;
    expected.asked_at = now();
    expected.exists = exists(route, reference, false);
    if (reference.is_digest()) {
        expected.here = metadata.find_manifest(reference.digest()).has_value() &&
                        metadata.linked(local, reference.digest());
    } else if (const auto tag = metadata.find_tag(local, reference.tag())) {
        // What is refuted is asked for before anything is said; a TTL of nothing asks first, and so
        // does who asks for a tag more seldom than its TTL: for a moment.
        expected.here = metadata.find_manifest(tag->digest).has_value() &&
                        metadata.linked(local, tag->digest) &&
                        tag->checked != meta::TagRow::kRefuted &&
                        machine_->options().freshness.ttl > Duration{};
        expected.may_ask_first = clock_.wall() - tag->checked > machine_->options().freshness.ttl;
    }
    return expected;
}

void World::check_answer(const Expected& expected, const std::string& what, Duration limit) {
    const Duration took = now() - expected.asked_at;
    if (took > limit) wrong(fmt::format("{}: answered after {} ms", what, took / 1ms));
    const Duration hit = kHitTime + (expected.may_ask_first ? kFirstWait : Duration{});
    if (expected.here && !troubles_.tiers() && took > hit && now() > unsettled_until_ && !changing_)
        wrong(fmt::format("{}: a hit took {} ms", what, took / 1ms));
}

bool World::is_new(const oci::Digest& blob) const {
    const auto at = appeared_.find(blob);
    return at != appeared_.end() &&
           now() < at->second + machine_->options().freshness.negative_ttl + 15s;
}

void World::check_failure(const Expected& expected, const std::string& what, const Failure& failure,
                          bool is_new) {
    note(fmt::format("{}: {}: {}", what, kind_name(failure.kind()), failure.what()));
    const bool unknown =
        failure.kind() == Kind::manifest_unknown || failure.kind() == Kind::blob_unknown;
    if (unknown && expected.exists && !is_new)
        wrong(fmt::format("{}: {} though it exists", what, kind_name(failure.kind())));
    if (failure.kind() == Kind::internal) wrong(what + ": an internal error");
    const bool settled = now() > unsettled_until_ && !troubles_.database;
    if (expected.here && !troubles_.tiers() && !changing_ && settled &&
        failure.kind() != Kind::draining)
        wrong(fmt::format("{}: a hit failed: {}", what, failure.what()));
    if (troubles_.calm() && !unknown) wrong(fmt::format("{}: {}", what, failure.what()));
}

void World::check_manifest(size_t route, const oci::Reference& reference, bool head,
                           const cache::ManifestView& view, TimePoint asked_at) {
    const cache::Manifest& manifest = *view.manifest;
    const std::string what = fmt::format("{}:{}", routes_[route].local, reference.text());
    const auto document = content_.manifests.find(manifest.digest);
    if (document == content_.manifests.end()) return wrong(what + ": a manifest nobody has");
    if (manifest.bytes && *manifest.bytes != *document->second.bytes)
        wrong(what + ": wrong bytes of a manifest");
    if (!manifest.bytes && !head) wrong(what + ": a manifest without bytes");
    if (manifest.media_type != document->second.media_type) wrong(what + ": another media type");
    if (manifest.size != document->second.bytes->size()) wrong(what + ": another size");
    note(fmt::format("{}: {} {}{}", what, manifest.digest_text, cache::from_name(view.from),
                     view.stale ? " stale" : ""));
    if (reference.is_digest()) {
        if (manifest.digest != reference.digest()) wrong(what + ": another manifest");
        if (!exists(route, reference, false)) wrong(what + ": served under the wrong repository");
        return;
    }
    // What is given as fresh was so at most its age ago, and a request's time.
    const TimePoint since = asked_at - view.age - 15s;
    bool was = false;
    for (const auto& [registry, name] : routes_[route].candidates) {
        const Repository* repo = content_.registries[registry].find(name);
        if (repo == nullptr) continue;
        const auto tag = repo->tags.find(reference.tag());
        if (tag == repo->tags.end()) continue;
        for (size_t i = 0; i < tag->second.size(); ++i) {
            const bool ended_before = i + 1 < tag->second.size() && tag->second[i + 1].at < since;
            if (tag->second[i].digest == manifest.digest && (view.stale || !ended_before))
                was = true;
        }
    }
    if (!was) wrong(what + ": a tag that pointed elsewhere");
    if (!view.stale && view.age > machine_->options().freshness.ttl && view.age > 1s)
        wrong(what + ": an old answer that says it is fresh");
}

void World::check_bytes(const oci::Digest& digest, const cache::BlobView& view, uint64_t offset,
                        std::string_view bytes, bool& right) {
    const std::string& whole = content_.bytes(digest);
    const bool same = offset + bytes.size() <= whole.size() &&
                      std::string_view(whole).substr(offset, bytes.size()) == bytes;
    if (same) return;
    right = false;
    if (!internet_.given(digest).damaged || view.from == cache::From::hit_disk)
        wrong(fmt::format("{}: wrong bytes at {}", digest.text(), offset));
}

// ---- what upstreams were asked

void World::check_ask(const Ask& ask) {
    note(fmt::format(
        "  #{} {} {} r{}.m{} {} {}{} -> {} {}", ask.id, ask.method, what_name(ask.what),
        ask.registry, ask.mirror, ask.repository, ask.reference,
        ask.ranged ? fmt::format(" {}-{}", ask.first, ask.last ? std::to_string(*ask.last) : "")
                   : "",
        ask.status, fault_name(ask.fault.kind)));
    const auto digest = oci::Digest::parse(ask.reference);
    // One byte, to decide what a HEAD that was answered with a no could not.
    const bool decides = ask.ranged && ask.first == 0 && ask.last == 0u;
    const bool fetches = ask.what == What::blob && ask.method == "GET" && digest && !decides;
    if (fetches && !read_.contains(*digest))
        wrong(fmt::format("blob {} was fetched, and nobody read it", ask.reference));
    if (fetches) check_economy(ask, *digest);
    if (ask.what != What::manifest) return;
    const std::string key = fmt::format("{} {} {}", ask.registry, ask.repository, ask.reference);
    // One for clients that ask, and one behind stale answers.
    if (ask.method == "HEAD" && ++heads_[key] > 2) wrong("many HEADs at once for " + key);
    bool wanted = asked_.contains(key);
    // A tag that a client asked for leads to its manifest.
    if (digest && !wanted) {
        const Repository* repo = content_.registries[ask.registry].find(ask.repository);
        for (const auto& [name, changes] : repo->tags) {
            if (!asked_.contains(fmt::format("{} {} {}", ask.registry, ask.repository, name)))
                continue;
            for (const auto& change : changes) wanted = wanted || change.digest == *digest;
        }
    }
    if (!wanted) wrong(fmt::format("manifest {} was fetched, and nobody asked for it", key));
}

// No byte was fetched twice.
void World::check_given() {
    if (troubles_.loses_bytes()) return;
    for (const auto& [digest, given] : internet_.given()) {
        if (given.damaged) continue;
        uint64_t slack = 0;
        for (const Ask& ask : internet_.asks())
            if (ask.what == What::blob && ask.reference == digest.text() &&
                ask.end != client::End::complete)
                slack += internet_.mirror(ask.registry, ask.mirror).piece_bytes;
        if (given.twice > slack)
            wrong(fmt::format("{}: {} bytes were fetched twice", digest.text(), given.twice));
    }
}

// From here on, what the database knows need not be fetched again; and it knows nearly all.
void World::after_crash() {
    auto& metadata = machine_->metadata();
    const uint64_t record = machine_->options().cache.record_bytes;
    for (const auto& [digest, text] : content_.blobs) {
        Given& given = internet_.given(digest);
        meta::Extents kept;
        if (metadata.find_blob(digest)) {
            kept.insert(0, text->size());
        } else if (const auto row = metadata.find_staging(digest)) {
            kept = row->extents;
        }
        const uint64_t lost = given.bytes.total() - std::min(given.bytes.total(), kept.total());
        if (!troubles_.loses_bytes() && !given.damaged && lost > 2 * record + 65536)
            wrong(fmt::format("{}: the crash lost {} bytes", digest.text(), lost));
        given.bytes = kept;
        for (auto& [registry, bytes] : given.by) bytes = kept;
    }
}

// ---- the disk

namespace {
std::vector<std::string> names_in(Files& files, const std::string& directory) {
    try {
        return files.list(directory);
    } catch (const Failure&) {
        return {};  // it was never made
    }
}
}  // namespace

void World::check_disk() {
    FaultFiles& files = machine_->files();
    auto& metadata = machine_->metadata();
    const std::string root = Machine::kRoot;
    const bool tidy = !troubles_.errors && !troubles_.database;
    uint64_t blob_bytes = 0;
    for (const std::string algorithm : {"sha256", "sha512"}) {
        for (int fan = 0; fan < 256; ++fan) {
            const std::string directory = fmt::format("{}/blobs/{}/{:02x}", root, algorithm, fan);
            for (const auto& name : names_in(files, directory)) {
                const auto file = files.open(directory + "/" + name, false);
                std::string bytes(file->size(), '\0');
                file->read_at(0, std::as_writable_bytes(std::span(bytes)));
                const auto digest = oci::Digest::parse(
                    fmt::format("{}:{}", algorithm, name.substr(0, name.find('.'))));
                const auto row = metadata.find_blob(*digest);
                const bool of_row =
                    row && name == fmt::format("{}.{}", digest->hex(), row->generation);
                if (!of_row) {
                    const auto staging = metadata.find_staging(*digest);
                    const bool owned =
                        staging && name == fmt::format("{}.{}", digest->hex(), staging->generation);
                    if (tidy && !owned) wrong("a blob's file without a row: " + name);
                    continue;
                }
                blob_bytes += bytes.size();
                if (crypto::digest_of(digest->algorithm(), bytes) != *digest)
                    wrong("a wrong blob is kept: " + name);
                if (row->size != bytes.size()) wrong("a blob of another size is kept: " + name);
            }
        }
    }
    const uint64_t counted = metadata.tier_usage().disk_bytes;
    if (blob_bytes != counted)
        wrong(fmt::format("{} bytes of blobs are kept, {} are counted", blob_bytes, counted));
    for (const auto& name : names_in(files, root + "/staging")) {
        const auto dash = name.find('-'), dot = name.find('.');
        const auto digest = oci::Digest::parse(
            fmt::format("{}:{}", name.substr(0, dash), name.substr(dash + 1, dot - dash - 1)));
        const auto row = metadata.find_staging(*digest);
        const bool of_row = row && std::to_string(row->generation) == name.substr(dot + 1);
        if (!of_row) wrong("a staging file without a row: " + name);
    }
    const auto& space = machine_->space();
    if (space.reserved() != 0) wrong(fmt::format("{} bytes stay reserved", space.reserved()));
    const uint64_t staged = metadata.usage().staging_bytes;
    if (space.used() != counted + staged)
        wrong(fmt::format("{} bytes count as used, blobs have {} and staging {}", space.used(),
                          counted, staged));
    // What a crash left is looked at where there are bounds to keep.
    const uint64_t named = files.named_bytes();
    if (tidy && (troubles_.tiers() || !troubles_.crashes) && named != space.used())
        wrong(fmt::format("{} bytes are on the disk, {} count as used", named, space.used()));
}

// ---- when all is well again

Task<> World::aftermath() {
    co_await pull_again();
    check_given();
    if (troubles_.tiers()) co_await tier_aftermath();
    const TimePoint began = now();
    co_await machine_->stop([this] { return busy_ == 0; });
    if (now() - began > 1s) wrong(fmt::format("stopping took {} ms", (now() - began) / 1ms));
    check_disk();
}

// A part that is kept unverified may turn out wrong, and so may the size that was told with it: the
// read that finds out fails, for its client has seen bytes.
Task<bool> World::read_at_last(Wish wish) {
    // An upstream that was set aside lets one request through first.
    const int attempts = troubles_.calm() ? 1 : 3;
    for (int i = 0; i < attempts; ++i) {
        if (co_await read(wish)) co_return true;
        co_await sleep_for(1s);
    }
    co_return false;
}

// Everything can be had now; and the second time it costs nothing.
Task<> World::pull_again() {
    std::set<std::pair<size_t, oci::Digest>> all;
    for (size_t route = 0; route < routes_.size(); ++route) {
        const auto& [registry, name] = routes_[route].candidates.front();
        for (const auto& digest : content_.repository(registry, name).blobs)
            if (read_.contains(digest) && chance(0.5)) all.insert({route, digest});
    }
    const bool bounded = machine_->options().limits.max_bytes != UINT64_MAX;
    const bool collected = troubles_.tiers();
    for (const auto& [route, digest] : all)
        if (!co_await read_at_last({.route = route, .digest = digest, .ranges = {}}))
            wrong(digest.text() + " can't be had though all is well");
    const size_t before = internet_.count(What::blob, "GET");
    for (const auto& [route, digest] : all)
        if (!co_await read({.route = route, .digest = digest, .ranges = {}}))
            wrong(digest.text() + " can't be had a second time");
    if (!bounded && !collected && internet_.count(What::blob, "GET") != before)
        wrong("the second pull cost upstream bytes");
    for (size_t route = 0; route < routes_.size(); ++route) {
        const oci::Reference tag("v0");
        if (!exists(route, tag, false)) continue;
        if (!co_await get_manifest(route, tag, false))
            wrong(routes_[route].local + ":v0 can't be had though all is well");
        co_await sleep_for(1s);
        const auto manifest = co_await get_manifest(route, tag, false);
        const auto& [registry, name] = routes_[route].candidates.front();
        const auto truth = content_.repository(registry, name).tag("v0");
        if (manifest && truth && manifest->digest != *truth)
            wrong(routes_[route].local + ":v0 is still an old one");
    }
}

}  // namespace weir::sim
