#include "cache/manifests.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "cache/past_disk.h"
#include "crypto/hasher.h"
#include "oci/manifest.h"
#include "oci/media_type.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;
using upstream::Outcome;
// After an upstream gave no answer, its tags are not asked for again for so long.
constexpr Duration kAskAgain = 5s;
// A TTL of 0 waits so long for the upstream before the stale answer.
constexpr Duration kZeroTtlWait = 300ms;
// Of a manifest in memory, beside its bytes.
constexpr uint64_t kManifestOverheadBytes = 512;
// What a known tag points to: what a HEAD told of it, its upstream's name, a manifest's block.
constexpr uint64_t kTagBytes = 2 * sizeof(Manifest) + 512;
// What the tree of a larger one may take makes it wait for its turn.
constexpr size_t kLargeManifestBytes = 256 * 1024;
constexpr size_t kLargeAtOnce = 1;
constexpr size_t kLargeWaiting = 1024;

std::string_view sum_text(const oci::Digest& digest) {
    return as_text(digest.sum());
}

std::string flight_key(const char* verb, const Target& target, std::string_view reference) {
    return fmt::format("{} {} {}", verb, target.repository, reference);
}

// What was stored before weir looked at types is given as bytes.
std::string served_type(std::string_view type) {
    return std::string(oci::may_be_manifest_type(type) ? type : oci::kOctetStream);
}

Manifest manifest_of(meta::ManifestRow row) {
    Manifest manifest;
    manifest.digest = row.digest;
    manifest.digest_text = row.digest.text();
    manifest.media_type = served_type(row.media_type);
    manifest.size = row.bytes.size();
    manifest.bytes = std::make_shared<const std::string>(std::move(row.bytes));
    return manifest;
}

bool is_usable(const Candidate& candidate) {
    return candidate.upstream->usable(0, candidate.repository, upstream::Purpose::manifest);
}

// A HEAD without a digest is asked again as a GET; what has neither is no answer.
void refuse_empty(const oci::Reference& reference, upstream::ManifestAnswer& answer) {
    if (answer.outcome != Outcome::ok || !answer.bytes.empty()) return;
    if (reference.is_digest() || answer.digest) return;
    answer.outcome = Outcome::failed;
    answer.detail = fmt::format("{} tells no digest", answer.mirror);
}

// What a HEAD tells: all but the bytes.
std::shared_ptr<const Manifest> told_manifest(const oci::Reference& reference,
                                              const upstream::ManifestAnswer& answer) {
    auto manifest = std::make_shared<Manifest>();
    if (reference.is_digest()) {
        manifest->digest = reference.digest();
    } else {
        manifest->digest = answer.digest.value();
    }
    manifest->digest_text = manifest->digest.text();
    manifest->media_type = served_type(answer.media_type);
    manifest->size = answer.size;
    return manifest;
}

struct Checked {
    meta::ManifestRow row;
    std::vector<oci::Digest> references;
    bool kept = true;
    std::shared_ptr<const Manifest> manifest;  // takes the row's bytes, in the end
};

// Whether the bytes are what the reference names, and what they refer to. On the pool: hashing and
// parsing.
Checked check_manifest(const oci::Reference& reference, upstream::ManifestAnswer& answer) {
    auto algorithm = oci::Digest::Algorithm::sha256;
    if (answer.digest) algorithm = answer.digest->algorithm();
    if (reference.is_digest()) algorithm = reference.digest().algorithm();
    Checked checked;
    checked.row.digest = crypto::digest_of(algorithm, answer.bytes);
    const bool as_asked = !reference.is_digest() || checked.row.digest == reference.digest();
    const bool as_said = !answer.digest || answer.digest->algorithm() != algorithm ||
                         *answer.digest == checked.row.digest;
    if (!as_asked || !as_said)
        throw Failure(Kind::upstream_bad, fmt::format("{} sent a manifest that is not {}",
                                                      answer.mirror, reference.text()));
    auto parsed = oci::parse_manifest(answer.bytes, answer.media_type);
    if (!parsed)
        throw Failure(Kind::upstream_bad, fmt::format("{} sent a manifest that can't be served: {}",
                                                      answer.mirror, parsed.error()));
    checked.row.media_type =
        oci::known_manifest_type(answer.media_type) ? answer.media_type : parsed->media_type;
    checked.row.bytes = std::move(answer.bytes);
    for (const auto& blob : parsed->blobs) checked.references.push_back(blob.digest);
    for (const auto& child : parsed->manifests) checked.references.push_back(child.digest);
    return checked;
}

}  // namespace

Manifests::Manifests(const Options& options, const MemoryShares& shares, meta::Metadata& metadata,
                     Pool& pool, Clock& clock, Scope& scope, Blobs& blobs, Answers& answers)
    : options_(options),
      metadata_(metadata),
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
      loads_(scope) {}

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
    tags_.put_if(
        std::string(pair_key(target.repository, tag)), std::move(known), as_of, kTagBytes,
        [&](const KnownTag& now) { return now.digest == digest && now.confirmed == confirmed; });
}

void Manifests::remember_missing(const Target& target, const oci::Reference& reference) {
    const Freshness& freshness = *target.freshness;
    const bool signature = !reference.is_digest() && oci::is_signature_tag(reference.tag());
    negatives_.remember(std::string(pair_key(target.repository, reference.text())),
                        signature ? freshness.signature_negative_ttl : freshness.negative_ttl);
}

void Manifests::throw_negative(const oci::Reference& reference) const {
    throw NegativeHit(Kind::manifest_unknown,
                      fmt::format("manifest {} is not known", reference.text()));
}

ManifestView Manifests::view(const KnownTag& known, ManifestPtr manifest, From from,
                             Duration ttl) const {
    ManifestView view;
    view.age = clock_.now() - known.confirmed;
    view.stale = view.age > ttl;
    view.from = view.stale ? From::stale : from;
    view.manifest = std::move(manifest);
    view.upstream = known.upstream;
    return view;
}

std::optional<ManifestView> Manifests::manifest_now(const TargetPtr& target,
                                                    std::string_view reference) {
    if (reference.find(':') == std::string_view::npos) {
        auto known = tags_.get(pair_key(target->repository, reference));
        if (!known) return std::nullopt;
        auto manifest = known->manifest.lock();
        if (!manifest) return std::nullopt;
        const Duration ttl = target->freshness->ttl_of(reference);
        if (clock_.now() - known->confirmed > ttl) return std::nullopt;
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
            return row ? answers_.hold(manifest_of(std::move(*row))) : nullptr;
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
    // The monotonic clock began with this process (or boot): an age from the calendar, never in the
    // future.
    const Duration age = std::max<Duration>(clock_.wall() - row->checked, Duration{});
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
    if (auto manifest = co_await find_stored(digest, unread)) {
        if (!co_await is_linked(target, digest, unread)) {
            // Known through another repository: this one's upstream has to confirm that it has it
            // too.
            if (negatives_.holds(pair_key(target->repository, reference.text())))
                throw_negative(reference);
            co_await flights_.run(
                flight_key("head", *target, reference.text()),
                [this, target, reference] { return ask_head(target, reference); }, deadline());
            const uint64_t as_of = metadata_.removals();
            auto put = [this, target, digest] {
                metadata_.link(target->repository, digest);
                return true;
            };
            if (co_await ask_disk(pool_, std::move(put), false)) {
                // While the upstream was asked it may have been collected: a link alone keeps
                // nothing.
                if (!co_await find_stored(digest, unread))
                    co_return co_await ask(target, reference, head, deadline());
                remember_link(*target, digest, as_of);
            }
        }
        blobs_.touches().add(digest, clock_.wall());
        ManifestView view;
        view.manifest = std::move(manifest);
        view.from = in_memory ? From::hit_memory : From::hit_disk;
        view.upstream = target->upstream_name;
        co_return view;
    }
    co_return co_await ask(target, reference, head, deadline());
}

Task<ManifestView> Manifests::by_tag(TargetPtr target, std::string tag, bool head,
                                     std::exception_ptr* unread) {
    if (auto known = co_await find_tag(target, tag, unread))
        co_return co_await known_tag(target, tag, std::move(*known), head, unread);
    co_return co_await ask(target, oci::Reference(tag), head, deadline());
}

Task<ManifestView> Manifests::ask(TargetPtr target, oci::Reference reference, bool head,
                                  TimePoint until) {
    if (negatives_.holds(pair_key(target->repository, reference.text()))) throw_negative(reference);
    co_return co_await flights_.run(
        flight_key(head ? "head" : "get", *target, reference.text()),
        [this, target, reference, head] {
            return head ? ask_head(target, reference) : download(target, reference);
        },
        until);
}

Task<ManifestView> Manifests::known_tag(TargetPtr target, std::string tag, KnownTag known,
                                        bool head, std::exception_ptr* unread) {
    const Duration ttl = target->freshness->ttl_of(tag);
    ManifestPtr manifest = known.manifest.lock();
    const bool in_memory = manifest != nullptr;
    if (!in_memory) {
        manifest = co_await find_stored(known.digest, unread);
        known.manifest = manifest;
        if (manifest) remember_still(*target, tag, known);
    }
    const ManifestPtr answer = manifest || !head ? manifest : known.told;
    if (!answer) co_return co_await known_by_name(target, tag, std::move(known), head);
    if (clock_.now() - known.confirmed > ttl && clock_.now() >= known.next_check &&
        !target->candidates.empty()) {
        const std::string key = flight_key("check", *target, tag);
        auto work = [this, target, tag, known, kept = manifest != nullptr] {
            return revalidate(target, tag, known, kept);
        };
        if (ttl > Duration{} || !is_usable(target->candidates.front())) {
            flights_.start_behind(key, work);
        } else {
            try {
                auto checked = co_await flights_.run(key, work, clock_.now() + kZeroTtlWait);
                if (checked.manifest && (head || checked.manifest->bytes)) co_return checked;
            } catch (const Failure&) {
                // The stale answer below is the answer; while the HEAD goes on, nobody else waits.
                known.next_check = clock_.now() + kAskAgain;
                remember_still(*target, tag, known);
            }
        }
    }
    blobs_.touches().add(known.digest, clock_.wall());
    const From from = in_memory || !manifest ? From::hit_memory : From::hit_disk;
    co_return view(known, answer, from, ttl);
}

// Known from a HEAD only: its bytes were never asked for. While that is fresh they are those of its
// digest, which may be gone since; later what the tag is now.
Task<ManifestView> Manifests::known_by_name(TargetPtr target, std::string tag, KnownTag known,
                                            bool head) {
    const TimePoint until = deadline();
    const Duration age = clock_.now() - known.confirmed;
    if (!head && age <= target->freshness->ttl_of(tag)) {
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

// ---- upstream work

Task<ManifestView> Manifests::download(TargetPtr target, oci::Reference reference) {
    Verdict verdict;
    const TimePoint until = clock_.now() + options_.miss_timeout * 9 / 10;
    for (const Candidate& candidate : target->candidates) {
        auto answer = co_await candidate.upstream->manifest(candidate.repository, reference, false,
                                                            until, target->accept);
        upstream::Answer said = answer;  // without the bytes
        if (answer.outcome == Outcome::ok) {
            try {
                ManifestView view;
                view.upstream = std::make_shared<const std::string>(candidate.upstream->name());
                view.manifest = co_await keep(target, reference, std::move(answer), view.upstream);
                view.from = From::miss;
                co_return view;
            } catch (const Failure& failure) {
                if (failure.kind() != Kind::upstream_bad) throw;
                said.outcome = Outcome::failed;
                said.detail = failure.what();
            }
        }
        verdict.add(said);
    }
    if (verdict.all_not_found()) remember_missing(*target, reference);
    throw verdict.failure(Kind::manifest_unknown, fmt::format("manifest {}", reference.text()));
}

Task<ManifestView> Manifests::ask_head(TargetPtr target, oci::Reference reference) {
    Verdict verdict;
    const TimePoint until = clock_.now() + options_.miss_timeout * 9 / 10;
    for (const Candidate& candidate : target->candidates) {
        auto answer = co_await candidate.upstream->manifest(candidate.repository, reference, true,
                                                            until, target->accept);
        refuse_empty(reference, answer);
        if (answer.outcome != Outcome::ok) {
            verdict.add(answer);
            continue;
        }
        ManifestView view;
        view.from = From::miss;
        view.upstream = std::make_shared<const std::string>(candidate.upstream->name());
        if (!answer.bytes.empty()) {
            view.manifest = co_await keep(target, reference, std::move(answer), view.upstream);
            co_return view;
        }
        view.manifest = told_manifest(reference, answer);
        // Clients that resolve by HEAD then GET by digest: the tag is remembered from here.
        if (!reference.is_digest())
            co_await confirm(target, reference.tag(), view.manifest, view.upstream);
        co_return view;
    }
    if (verdict.all_not_found()) remember_missing(*target, reference);
    throw verdict.failure(Kind::manifest_unknown, fmt::format("manifest {}", reference.text()));
}

Task<Manifests::ManifestPtr> Manifests::keep(TargetPtr target, oci::Reference reference,
                                             upstream::ManifestAnswer answer,
                                             std::shared_ptr<const std::string> upstream) {
    const WallTime wall = clock_.wall();
    const std::string tag = reference.is_digest() ? "" : reference.tag();
    const uint64_t as_of = metadata_.removals();
    Semaphore::Permit turn;
    if (answer.bytes.size() > kLargeManifestBytes) turn = co_await large_.acquire(deadline());
    auto checked = co_await pool_.run([this, target, reference, &answer, upstream, wall, tag] {
        Checked c = check_manifest(reference, answer);
        c.row.created = c.row.accessed = wall;
        c.row.upstream = *upstream;
        try {
            metadata_.put_manifest(c.row, target->repository, c.references, tag);
        } catch (const Failure& failure) {
            if (!is_disk_fault(failure)) throw;
            log::warn("cache", "manifest {} is served but not kept: {}", c.row.digest.text(),
                      failure.what());
            c.kept = false;
        }
        c.manifest = answers_.hold(manifest_of(std::move(c.row)));
        return c;
    });
    const ManifestPtr manifest = std::move(checked.manifest);
    // Memory never says more than the database.
    if (!checked.kept) co_return manifest;
    remember(manifest, as_of);
    remember_link(*target, manifest->digest, as_of);
    for (const auto& digest : checked.references) {
        blobs_.linked(target->repository, digest, as_of);
        remember_link(*target, digest, as_of);
    }
    if (!tag.empty()) {
        KnownTag known;
        known.as_of = as_of;
        known.digest = manifest->digest;
        known.confirmed = known.next_check = clock_.now();
        known.upstream = std::move(upstream);
        known.manifest = manifest;
        remember_tag(*target, tag, std::move(known));
        negatives_.forget(std::string(pair_key(target->repository, tag)));
    }
    co_return manifest;
}

Task<> Manifests::confirm(TargetPtr target, std::string tag, ManifestPtr told,
                          std::shared_ptr<const std::string> upstream) {
    meta::TagRow row;
    row.digest = told->digest;
    row.checked = clock_.wall();
    row.upstream = *upstream;
    KnownTag known;
    known.as_of = metadata_.removals();
    auto put = [this, target, tag, row] {
        metadata_.put_tag(target->repository, tag, row);
        return true;
    };
    if (!co_await ask_disk(pool_, std::move(put), false)) co_return;
    known.digest = told->digest;
    known.confirmed = known.next_check = clock_.now();
    known.upstream = std::move(upstream);
    if (auto manifest = memory_.get(told->digest)) known.manifest = *manifest;
    known.told = std::move(told);
    remember_tag(*target, tag, std::move(known));
}

// The one HEAD behind stale answers.
Task<ManifestView> Manifests::revalidate(TargetPtr target, std::string tag, KnownTag known,
                                         bool kept) {
    const oci::Reference reference(tag);
    Verdict verdict;
    const TimePoint until = clock_.now() + options_.miss_timeout;
    for (const Candidate& candidate : target->candidates) {
        auto answer = co_await candidate.upstream->manifest(candidate.repository, reference, true,
                                                            until, target->accept);
        refuse_empty(reference, answer);
        auto upstream = std::make_shared<const std::string>(candidate.upstream->name());
        if (answer.outcome == Outcome::ok) {
            ManifestView view;
            view.upstream = upstream;
            if (!answer.bytes.empty()) {
                view.manifest = co_await keep(target, reference, std::move(answer), upstream);
                co_return view;
            }
            const auto told = told_manifest(reference, answer);
            auto stored = co_await find_stored(told->digest, nullptr);
            // A tag that was only resolved before stays a name for a digest: bytes are for those
            // who ask for them.
            if (!stored && kept) co_return co_await download(target, reference);
            co_await confirm(target, tag, told, upstream);
            view.manifest = stored ? stored : told;
            co_return view;
        }
        verdict.add(answer);
        // Another registry of the same name must not take over only because this one is silent.
        if (upstream::is_no_answer(answer.outcome) && known.upstream &&
            *known.upstream == *upstream)
            break;
    }
    known.next_check = clock_.now() + kAskAgain;
    remember_still(*target, tag, known);
    throw verdict.failure(Kind::manifest_unknown, fmt::format("tag {}", tag));
}

}  // namespace weir::cache
