#include "cache/manifests.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "cache/past_disk.h"
#include "crypto/hasher.h"
#include "oci/media_type.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
// Who asks for the upstream's word first waits so long for it before the stale answer.
constexpr Duration kFirstWait = 300ms;
// With a shorter TTL a tag counts as asked for often as long as it is asked for this often.
constexpr Duration kOften = 1s;
// Of a tag that was confirmed in the future.
constexpr Duration kUnknownAge = 24h * 365;
// Of a manifest in memory, beside its bytes.
constexpr uint64_t kManifestOverheadBytes = 512;
// What a known tag points to: what a HEAD told of it, its upstream's name, a manifest's block.
constexpr uint64_t kTagBytes = 2 * sizeof(Manifest) + 512;
constexpr size_t kLargeAtOnce = 1;
constexpr size_t kLargeWaiting = 1024;

std::string_view sum_text(const oci::Digest& digest) {
    return as_text(digest.sum());
}

// What was stored before weir looked at types is given as bytes.
std::string served_type(std::string_view type) {
    return std::string(oci::may_be_manifest_type(type) ? type : oci::kOctetStream);
}

bool is_usable(const Candidate& candidate) {
    return candidate.upstream->usable(0, candidate.repository, upstream::Purpose::manifest);
}

}  // namespace

Manifests::Manifests(const Options& options, const MemoryShares& shares, meta::Metadata& metadata,
                     store::Space& space, Pool& pool, Clock& clock, Scope& scope, Blobs& blobs,
                     Answers& answers)
    : options_(options),
      metadata_(metadata),
      space_(space),
      pool_(pool),
      clock_(clock),
      blobs_(blobs),
      answers_(answers),
      large_(kLargeAtOnce, kLargeWaiting),
      memory_(shares.manifests, metadata),
      open_(shares.tags / 4, metadata),
      tags_(shares.tags / 4 * 3, metadata),
      links_(shares.links / 2, metadata),
      negatives_(shares.negative / 3, clock),
      flights_(scope),
      loads_(scope) {
    blobs.set_missing(
        [this](TargetPtr target, oci::Digest digest) { return refute(std::move(target), digest); });
}

void Manifests::forget_removed() {
    memory_.drop_stale();
    open_.drop_stale();
    tags_.drop_stale();
    links_.drop_stale();
}

// ---- memory

void Manifests::remember(const ManifestPtr& manifest, uint64_t as_of) {
    memory_.put(manifest->digest, manifest, as_of, manifest->size + kManifestOverheadBytes);
    // A weak hold keeps the object's own block, not its bytes.
    open_.put(manifest->digest, manifest, as_of, sizeof(Manifest));
}

void Manifests::remember_link(const Target& target, const oci::Digest& digest, uint64_t as_of) {
    links_.put(std::string(pair_key(target.repository, sum_text(digest))), true, as_of);
}

void Manifests::remember_tag(const Target& target, const std::string& tag, KnownTag known) {
    const uint64_t as_of = known.as_of;
    tags_.put(std::string(pair_key(target.repository, tag)), std::move(known), as_of, kTagBytes);
}

void Manifests::remember_still(const Target& target, const std::string& tag, KnownTag known) {
    const auto digest = known.digest;
    const TimePoint confirmed = known.confirmed;
    const uint64_t as_of = known.as_of;
    tags_.put_if(std::string(pair_key(target.repository, tag)), std::move(known), as_of, kTagBytes,
                 [&](const KnownTag& now) {
                     return now.digest == digest && now.confirmed == confirmed && !now.refuted;
                 });
}

ManifestView Manifests::view(const KnownTag& known, ManifestPtr manifest, From from,
                             Duration ttl) const {
    ManifestView view;
    view.age = clock_.now() - known.confirmed;
    view.stale = view.age > ttl || known.refuted;
    view.from = view.stale ? From::stale : from;
    view.manifest = std::move(manifest);
    view.upstream = known.upstream;
    return view;
}

std::optional<ManifestView> Manifests::manifest_now(const TargetPtr& target,
                                                    std::string_view reference) {
    if (reference.find(':') == std::string_view::npos) {
        auto known = tags_.get(pair_key(target->repository, reference));
        if (!known || known->refuted) return std::nullopt;
        auto manifest = known->manifest.lock();
        if (!manifest) return std::nullopt;
        const Duration ttl = target->freshness->ttl_of(reference);
        const TimePoint now = clock_.now();
        if (now - known->confirmed > ttl) return std::nullopt;
        known->asked->store(now.time_since_epoch().count(), std::memory_order_relaxed);
        blobs_.touches().add(known->digest, clock_.wall());
        return view(*known, std::move(manifest), From::hit_memory, ttl);
    }
    const auto digest = oci::Digest::parse(reference);
    if (!digest || !links_.get(pair_key(target->repository, sum_text(*digest))))
        return std::nullopt;
    auto manifest = memory_.get(*digest);
    if (!manifest) return std::nullopt;
    blobs_.touches().add(*digest, clock_.wall());
    ManifestView view;
    view.manifest = std::move(*manifest);
    view.upstream = target->upstream_name;
    return view;
}

// ---- look-ups that may ask the database

Manifest Manifests::make(meta::ManifestRow row) {
    Manifest manifest;
    manifest.digest = row.digest;
    manifest.digest_text = row.digest.text();
    manifest.media_type = served_type(row.media_type);
    manifest.size = row.bytes.size();
    manifest.bytes = std::make_shared<const std::string>(std::move(row.bytes));
    manifest.private_of = std::move(row.private_of);
    return manifest;
}

Task<Manifests::ManifestPtr> Manifests::find_stored(oci::Digest digest,
                                                    std::exception_ptr* unread) {
    if (auto manifest = memory_.get(digest)) co_return *manifest;
    if (auto open = open_.get(digest))
        if (auto manifest = open->lock()) co_return manifest;
    auto loaded = co_await loads_.run(digest, [this, digest] { return load(digest); }, kNever);
    if (loaded.unread && unread) *unread = loaded.unread;
    co_return std::move(loaded.manifest);
}

// One for all who ask: each large one is read once, and there once.
Task<Manifests::Loaded> Manifests::load(oci::Digest digest) {
    Loaded loaded;
    const uint64_t as_of = metadata_.removals();
    loaded.manifest = co_await ask_disk(
        pool_,
        [this, digest]() -> ManifestPtr {
            auto row = metadata_.find_manifest(digest);
            if (!row) return nullptr;
            if (crypto::digest_of(digest.algorithm(), row->bytes) == digest)
                return answers_.hold(make(std::move(*row)));
            // It is fetched again; `weir scrub` looks for all of its like.
            log::error("cache", "the database holds other bytes than those of manifest {}",
                       digest.text());
            return nullptr;
        },
        ManifestPtr(), &loaded.unread);
    if (loaded.manifest) remember(loaded.manifest, as_of);
    co_return loaded;
}

Task<bool> Manifests::is_linked(TargetPtr target, oci::Digest digest, std::exception_ptr* unread) {
    if (links_.get(pair_key(target->repository, sum_text(digest)))) co_return true;
    const uint64_t as_of = metadata_.removals();
    const bool linked = co_await ask_disk(
        pool_, [this, target, digest] { return metadata_.linked(target->repository, digest); },
        false, unread);
    if (linked) remember_link(*target, digest, as_of);
    co_return linked;
}

Task<bool> Manifests::is_named(TargetPtr target, oci::Digest digest) {
    return ask_disk(
        pool_, [this, target, digest] { return metadata_.named(target->repository, digest); },
        true);
}

Task<Manifests::ManifestPtr> Manifests::find_linked(TargetPtr target, oci::Digest digest,
                                                    std::exception_ptr* unread) {
    auto stored = co_await find_stored(digest, unread);
    if (!stored || !co_await is_linked(target, digest, unread)) co_return nullptr;
    co_return stored;
}

Task<Manifests::ManifestPtr> Manifests::find_told(TargetPtr target, const Manifest& told,
                                                  std::string upstream,
                                                  std::exception_ptr* unread) {
    auto stored = co_await find_stored(told.digest, unread);
    if (!stored || co_await is_linked(target, told.digest, unread)) co_return stored;
    const Told answer{std::move(upstream), told.size, told.media_type, told.digest};
    if (!proves(answer, {stored->digest, stored->size, stored->private_of, stored->media_type}))
        co_return nullptr;
    co_return co_await link(target, std::move(stored), unread);
}

Task<Manifests::ManifestPtr> Manifests::link(TargetPtr target, ManifestPtr stored,
                                             std::exception_ptr* unread) {
    const uint64_t as_of = metadata_.removals();
    const auto digest = stored->digest;
    auto put = [this, target, digest] {
        metadata_.link(target->repository, digest);
        return true;
    };
    if (!co_await ask_disk(pool_, std::move(put), false)) co_return stored;
    // While the upstream was asked it may have been collected: a link alone keeps nothing.
    if (!co_await find_stored(digest, unread)) co_return nullptr;
    remember_link(*target, digest, as_of);
    co_return stored;
}

Task<> Manifests::refute(TargetPtr target, oci::Digest digest) {
    const auto tags = co_await ask_disk(
        pool_, [this, target, digest] { return metadata_.refute_tags(target->repository, digest); },
        std::vector<std::string>());
    for (const auto& tag : tags) {
        log::info("cache", "{}:{} leads to {}, which its upstream has not got: asked for anew",
                  target->repository, tag, digest.text());
        auto known = tags_.get(pair_key(target->repository, tag));
        if (!known) continue;
        known->refuted = true;
        remember_tag(*target, tag, std::move(*known));
    }
}

Task<std::optional<KnownTag>> Manifests::find_tag(TargetPtr target, std::string tag,
                                                  std::exception_ptr* unread) {
    if (auto known = tags_.get(pair_key(target->repository, tag))) co_return known;
    KnownTag known;
    known.as_of = metadata_.removals();
    const auto row = co_await ask_disk(
        pool_, [this, target, tag] { return metadata_.find_tag(target->repository, tag); },
        std::optional<meta::TagRow>(), unread);
    if (!row) co_return std::nullopt;
    known.digest = row->digest;
    known.refuted = row->checked == meta::TagRow::kRefuted;
    // The monotonic clock began with this process (or boot): an age from the calendar. One that is
    // negative is unknown, so not fresh.
    Duration age = clock_.wall() - row->checked;
    if (age < Duration{}) age = kUnknownAge;
    known.confirmed = clock_.now() - age;
    known.next_check = clock_.now();
    known.upstream = std::make_shared<const std::string>(row->upstream);
    remember_still(*target, tag, known);
    co_return known;
}

// ---- the two ways to ask

Task<ManifestView> Manifests::manifest(TargetPtr target, oci::Reference reference, bool head) {
    std::exception_ptr unread;
    try {
        if (reference.is_digest())
            co_return co_await by_digest(target, reference.digest(), head, &unread);
        co_return co_await by_tag(target, reference.tag(), head, &unread);
    } catch (const Failure& failure) {
        if (!unread || failure.kind() != Kind::manifest_unknown) throw;
    }
    // It may be stored, whatever its upstream says.
    negatives_.forget(std::string(pair_key(target->repository, reference.text())));
    std::rethrow_exception(unread);
}

Task<ManifestView> Manifests::by_digest(TargetPtr target, oci::Digest digest, bool head,
                                        std::exception_ptr* unread) {
    const oci::Reference reference(digest);
    const bool in_memory = memory_.get(digest).has_value();
    auto manifest = co_await find_stored(digest, unread);
    if (manifest && !co_await is_linked(target, digest, unread)) {
        const bool by_head = head_may_prove(*target, manifest->private_of);
        if (!by_head) manifest = nullptr;
    } else if (manifest) {
        co_return stored_view(target, std::move(manifest), in_memory);
    }
    // Not here, or not for this repository: cache/gate.h.
    if (head || manifest || !co_await is_named(target, digest)) {
        auto told = co_await ask(target, reference, true, deadline());
        if (told.manifest->bytes) co_return told;
        if (manifest) manifest = co_await find_told(target, *told.manifest, *told.upstream, unread);
        if (manifest) co_return stored_view(target, std::move(manifest), in_memory);
        if (head) co_return told;
    }
    co_return co_await ask(target, reference, false, deadline());
}

ManifestView Manifests::stored_view(const TargetPtr& target, ManifestPtr manifest, bool in_memory) {
    blobs_.touches().add(manifest->digest, clock_.wall());
    ManifestView view;
    view.manifest = std::move(manifest);
    view.from = in_memory ? From::hit_memory : From::hit_disk;
    view.upstream = target->upstream_name;
    return view;
}

Task<ManifestView> Manifests::by_tag(TargetPtr target, std::string tag, bool head,
                                     std::exception_ptr* unread) {
    if (auto known = co_await find_tag(target, tag, unread))
        co_return co_await known_tag(target, tag, std::move(*known), head, unread);
    co_return co_await ask(target, oci::Reference(tag), head, deadline());
}

std::optional<Duration> Manifests::patience(const Target& target, std::string_view tag,
                                            const KnownTag& known, TimePoint asked_before) const {
    if (target.candidates.empty()) return std::nullopt;
    const TimePoint now = clock_.now();
    if (known.refuted && (known.manifest.expired() || now >= known.next_check))
        return options_.miss_timeout;
    const Duration ttl = target.freshness->ttl_of(tag), most = target.freshness->max_stale;
    const Duration age = now - known.confirmed;
    if (age <= ttl || now < known.next_check) return std::nullopt;
    const Duration idle = now - std::max(asked_before, known.confirmed);
    const bool first = ttl <= Duration{} || idle > std::max(ttl, kOften) ||
                       (most > Duration{} && age > most) || oci::is_signature_tag(tag);
    return first && is_usable(target.candidates.front()) ? kFirstWait : Duration{};
}

Task<ManifestView> Manifests::known_tag(TargetPtr target, std::string tag, KnownTag known,
                                        bool head, std::exception_ptr* unread) {
    const TimePoint asked_before{
        Duration(known.asked->exchange(clock_.now().time_since_epoch().count()))};
    ManifestPtr manifest = known.manifest.lock();
    const bool in_memory = manifest != nullptr;
    if (!in_memory) {
        manifest = co_await find_linked(target, known.digest, unread);
        known.manifest = manifest;
        if (manifest) remember_still(*target, tag, known);
    }
    const ManifestPtr answer = manifest || !head ? manifest : known.told;
    if (!answer) co_return co_await known_by_name(target, tag, std::move(known), head);
    if (const auto wait = patience(*target, tag, known, asked_before)) {
        const std::string key = flight_key("check", *target, tag);
        auto work = [this, target, tag, known, kept = manifest != nullptr] {
            return revalidate(target, tag, known, kept);
        };
        if (*wait == Duration{}) {
            flights_.start_behind(key, work);
        } else {
            try {
                auto checked = co_await flights_.run(key, work, clock_.now() + *wait);
                if (checked.manifest && (head || checked.manifest->bytes)) co_return checked;
            } catch (const Failure&) {
                // What is refuted is no answer while its bytes are not here either.
                if (known.refuted && !manifest) throw;
                // The stale answer below is the answer; while the HEAD goes on, nobody else waits.
                known.next_check = clock_.now() + kAskAgain;
                remember_still(*target, tag, known);
            }
        }
    }
    blobs_.touches().add(known.digest, clock_.wall());
    const From from = in_memory || !manifest ? From::hit_memory : From::hit_disk;
    co_return view(known, answer, from, target->freshness->ttl_of(tag));
}

// Known from a HEAD only: its bytes were never asked for. While that is fresh they are those of its
// digest, which may be gone since; later what the tag is now.
Task<ManifestView> Manifests::known_by_name(TargetPtr target, std::string tag, KnownTag known,
                                            bool head) {
    const TimePoint until = deadline();
    const Duration age = clock_.now() - known.confirmed;
    if (!head && !known.refuted && age <= target->freshness->ttl_of(tag)) {
        try {
            auto found = co_await ask(target, oci::Reference(known.digest), false, until);
            found.age = age;
            co_return found;
        } catch (const Failure& failure) {
            if (failure.kind() != Kind::manifest_unknown) throw;
        }
    }
    co_return co_await ask(target, oci::Reference(tag), head, until);
}

}  // namespace weir::cache
