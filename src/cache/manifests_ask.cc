// cache/manifests_ask.cc: how Manifests asks upstreams, and what it keeps of their answers.
#include <fmt/format.h>

#include "base/log.h"
#include "cache/manifests.h"
#include "cache/past_disk.h"
#include "crypto/hasher.h"
#include "oci/manifest.h"
#include "oci/media_type.h"

namespace weir::cache {
namespace {

using upstream::Outcome;
// What the tree of a larger one may take makes it wait for its turn.
constexpr size_t kLargeManifestBytes = 256 * 1024;

// 0: it did not tell, and no manifest is empty.
uint64_t told_size(const upstream::ManifestAnswer& answer) {
    return std::optional<uint64_t>(answer.size).value_or(0);
}

// A HEAD counts only with the digest, the length and a manifest's type; the GET follows otherwise.
bool tells_all(const oci::Reference& reference, const upstream::ManifestAnswer& answer) {
    if (!reference.is_digest() && !answer.digest) return false;
    const bool another = reference.is_digest() && answer.digest &&
                         answer.digest->algorithm() == reference.digest().algorithm() &&
                         *answer.digest != reference.digest();
    return !another && told_size(answer) > 0 && oci::known_manifest_type(answer.media_type);
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
    manifest->media_type = answer.media_type;
    manifest->size = told_size(answer);
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
    const auto parsed = oci::parse_manifest(answer.bytes, answer.media_type);
    const bool as_asked = !reference.is_digest() || checked.row.digest == reference.digest();
    const bool as_said = !answer.digest || answer.digest->algorithm() != algorithm ||
                         *answer.digest == checked.row.digest;
    // What can't be served is said first: a schema 1 manifest has another digest than its bytes.
    if (parsed && (!as_asked || !as_said))
        throw Failure(Kind::upstream_bad, fmt::format("{} sent a manifest that is not {}",
                                                      answer.mirror, reference.text()));
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

std::string Manifests::flight_key(const char* verb, const Target& target,
                                  std::string_view reference) {
    return fmt::format("{} {} {}", verb, target.repository, reference);
}

void Manifests::throw_negative(const oci::Reference& reference) const {
    throw NegativeHit(Kind::manifest_unknown,
                      fmt::format("manifest {} is not known", reference.text()));
}

Task<> Manifests::remember_missing(TargetPtr target, oci::Reference reference) {
    const Freshness& freshness = *target->freshness;
    const bool signature = !reference.is_digest() && oci::is_signature_tag(reference.tag());
    negatives_.remember(std::string(pair_key(target->repository, reference.text())),
                        signature ? freshness.signature_negative_ttl : freshness.negative_ttl);
    if (reference.is_digest()) co_await refute(target, reference.digest());
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
    if (verdict.all_not_found()) co_await remember_missing(target, reference);
    throw verdict.failure(Kind::manifest_unknown, fmt::format("manifest {}", reference.text()));
}

Task<ManifestView> Manifests::ask_head(TargetPtr target, oci::Reference reference) {
    Verdict verdict;
    const TimePoint until = clock_.now() + options_.miss_timeout * 9 / 10;
    for (const Candidate& candidate : target->candidates) {
        auto answer = co_await candidate.upstream->manifest(candidate.repository, reference, true,
                                                            until, target->accept);
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
        if (!tells_all(reference, answer)) co_return co_await download(target, reference);
        view.manifest = told_manifest(reference, answer);
        // Clients that resolve by HEAD then GET by digest: the tag is remembered from here.
        if (!reference.is_digest()) {
            auto served = co_await find_told(target, *view.manifest, *view.upstream, nullptr);
            co_await confirm(target, reference.tag(), view.manifest, std::move(served),
                             view.upstream);
        }
        co_return view;
    }
    if (verdict.all_not_found()) co_await remember_missing(target, reference);
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
        if (answer.with_login) c.row.private_of = *upstream;
        try {
            // The database is part of the disk's account.
            if (!space_.grow_metadata(2 * c.row.bytes.size()))  // with the log
                throw Failure(Kind::no_space, "the disk has no room for it");
            metadata_.put_manifest(c.row, target->repository, c.references, tag);
        } catch (const Failure& failure) {
            if (!is_disk_fault(failure)) throw;
            log::warn("cache", "manifest {} is served but not kept: {}", c.row.digest.text(),
                      failure.what());
            c.kept = false;
        }
        c.manifest = answers_.hold(make(std::move(c.row)));
        return c;
    });
    const ManifestPtr manifest = std::move(checked.manifest);
    // Memory never says more than the database.
    if (!checked.kept) co_return manifest;
    remember(manifest, as_of);
    remember_link(*target, manifest->digest, as_of);
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

Task<> Manifests::confirm(TargetPtr target, std::string tag, ManifestPtr told, ManifestPtr served,
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
    known.manifest = served;
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
        auto upstream = std::make_shared<const std::string>(candidate.upstream->name());
        if (answer.outcome == Outcome::ok) {
            ManifestView view;
            view.upstream = upstream;
            if (!answer.bytes.empty()) {
                view.manifest = co_await keep(target, reference, std::move(answer), upstream);
                co_return view;
            }
            if (!tells_all(reference, answer)) co_return co_await download(target, reference);
            const auto told = told_manifest(reference, answer);
            auto served = co_await find_told(target, *told, *upstream, nullptr);
            // A tag that was only resolved before stays a name for a digest: bytes are for those
            // who ask for them.
            if (!served && kept) {
                // The upstream's word, although its bytes are still to come.
                known.refuted = true;
                remember_still(*target, tag, known);
                co_return co_await download(target, reference);
            }
            co_await confirm(target, tag, told, served, upstream);
            view.manifest = served ? served : told;
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
