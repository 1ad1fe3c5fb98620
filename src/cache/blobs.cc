#include "cache/blobs.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "cache/past_disk.h"
#include "cache/readable.h"
#include "cache/remote_origin.h"

namespace weir::cache {
namespace {
using namespace std::chrono_literals;
// How often another upstream's fetch is looked at by who waits for it.
constexpr Duration kLookTime = 20ms;

std::string_view sum_text(const oci::Digest& digest) {
    return as_text(digest.sum());
}

std::string group_of(const Target& target) {
    return fetch_group(origins_of(target), login_scope(target));
}

uint64_t size_of(const Told& told, const oci::Digest& digest) {
    if (!told.size)
        throw Failure(Kind::upstream_bad, fmt::format("{} does not tell the size of blob {}",
                                                      told.upstream, digest.text()));
    return *told.size;
}

}  // namespace

Blobs::Blobs(const Options& options, const MemoryShares& shares, meta::Metadata& metadata,
             store::Store& store, store::Space& space, Pool& pool, Clock& clock, Random& random,
             Scope& scope)
    : options_(options),
      metadata_(metadata),
      store_(store),
      pool_(pool),
      clock_(clock),
      index_(shares.index / 4 * 3, metadata),
      files_(options.open_files, metadata, decltype(files_)::Weigh::entries),
      links_(shares.links / 2, metadata),
      negatives_(shares.negative / 3, clock),
      bad_origins_(options.bad_origin_entries),
      no_room_(options.bad_origin_entries),
      permits_(options.max_fetches, options.max_queued_fetches),
      context_{options, metadata, store, space, pool, clock, random, scope, permits_, bad_origins_},
      table_(context_),
      relays_(options, scope, pool, clock, table_),
      proofs_(scope),
      asked_once_(shares.index / 4) {
    context_.lose = [&metadata](const oci::Digest& digest, uint64_t generation) {
        metadata.remove_blob(digest, generation);
    };
}

void Blobs::set_tiers(Tiers tiers) {
    tiers_ = std::move(tiers);
    context_.make_room = tiers_.make_room;
    context_.stored = tiers_.stored;
    context_.settled = tiers_.settled;
    if (auto* upkeep = tiers_.upkeep)
        context_.lose = [upkeep](const oci::Digest& digest, uint64_t generation) {
            upkeep->lost_on_disk(digest, generation);
        };
    if (const uint64_t bound = tiers_.admit_min_bytes; bound > 0)
        context_.admits = [this, bound](const oci::Digest& digest, uint64_t size) {
            if (size < bound || asked_once_.get(digest)) return true;
            asked_once_.put(digest, true, entry_bytes(digest));
            return false;
        };
}

std::shared_ptr<const void> Blobs::hold(const oci::Digest& digest) {
    {
        std::lock_guard lock(uses_->mutex);
        ++uses_->counts[digest];
    }
    return std::shared_ptr<const void>(this, [uses = uses_, digest](const void*) {
        std::lock_guard lock(uses->mutex);
        auto at = uses->counts.find(digest);
        if (--at->second == 0) uses->counts.erase(at);
    });
}

bool Blobs::in_use(const oci::Digest& digest) const {
    std::lock_guard lock(uses_->mutex);
    return uses_->counts.contains(digest);
}

Origins Blobs::origins_for(const Target& target, const Known& known) {
    Origins origins = origins_of(target);
    if (tiers_.remote && known.in_durable_tier && known.linked)
        origins.insert(origins.begin(), make_remote_origin(*tiers_.remote, *tiers_.upkeep, pool_,
                                                           target.repository));
    return origins;
}

Task<std::optional<std::string>> Blobs::redirect(TargetPtr target, oci::Digest digest,
                                                 std::chrono::seconds valid) {
    if (!tiers_.remote) co_return std::nullopt;
    const Known known = co_await look_up(target, digest);
    if (!known.in_durable_tier || !known.linked) co_return std::nullopt;
    co_return co_await tiers_.remote->presigned_get(digest, valid);
}

void Blobs::remember_link(std::string_view repository, const oci::Digest& digest, uint64_t as_of) {
    links_.put(std::string(pair_key(repository, sum_text(digest))), true, as_of);
}

void Blobs::forget(const oci::Digest& digest) {
    index_.erase(digest);
    files_.erase(digest);
}

void Blobs::forget_removed() {
    files_.drop_stale();
    index_.drop_stale();
    links_.drop_stale();
}

std::string Blobs::negative_key(const Target& target, const oci::Digest& digest) const {
    return std::string(pair_key(target.repository, sum_text(digest)));
}

std::optional<BlobView> Blobs::blob_now(const TargetPtr& target, const oci::Digest& digest) {
    if (!links_.get(pair_key(target->repository, sum_text(digest)))) return std::nullopt;
    auto stored = index_.get(digest);
    if (!stored) return std::nullopt;
    auto file = files_.get(digest);
    if (!file) return std::nullopt;
    touches_.add(digest, clock_.wall());
    BlobView view;
    view.digest = digest;
    view.size = stored->size;
    view.from = From::hit_disk;
    view.upstream = std::move(stored->upstream);
    view.readable = std::make_shared<StoredReadable>(*this, target, digest, view.size,
                                                     std::move(*file), hold(digest));
    return view;
}

Task<Blobs::Known> Blobs::look_up(TargetPtr target, oci::Digest digest) {
    Known known;
    known.stored = index_.get(digest);
    known.linked = links_.get(pair_key(target->repository, sum_text(digest))).has_value();
    if (known.stored && known.linked) co_return known;
    struct Found {
        std::optional<meta::BlobRow> blob;
        bool linked = false;
        bool named = true;
    };
    Found otherwise;
    otherwise.linked = known.linked;
    const uint64_t as_of = metadata_.removals();
    const auto found = co_await ask_disk(
        pool_,
        [this, target, digest] {
            Found f;
            f.blob = metadata_.find_blob(digest);
            f.linked = metadata_.linked(target->repository, digest);
            if (!f.linked) f.named = metadata_.named(target->repository, digest);
            return f;
        },
        std::move(otherwise), &known.unread);
    if (found.blob) known.private_of = found.blob->private_of;
    if (found.blob && found.blob->in_s3) known.in_durable_tier = found.blob->size;
    if (found.blob && found.blob->on_disk) {
        known.stored = StoredBlob{found.blob->size, found.blob->generation,
                                  std::make_shared<const std::string>(found.blob->upstream), as_of};
        constexpr uint64_t kNameBytes = 96;  // of its upstream
        index_.put(digest, *known.stored, as_of, kNameBytes);
    } else if (!found.linked) {
        known.stored.reset();
    }
    known.linked = found.linked;
    known.named = found.named;
    if (known.linked) remember_link(target->repository, digest, as_of);
    co_return known;
}

Task<std::shared_ptr<const File>> Blobs::open_file(oci::Digest digest, StoredBlob stored) {
    if (auto file = files_.get(digest)) co_return *file;
    auto file = co_await store_.open(digest, stored.generation);
    if (!file) co_return nullptr;
    const uint64_t size = co_await pool_.run([file] { return file->size(); });
    if (size != stored.size) {
        log::warn("cache", "the file of {} has {} bytes instead of {}: dropped", digest.text(),
                  size, stored.size);
        co_await pool_.run([this, digest, stored] { context_.lose(digest, stored.generation); });
        if (tiers_.erasures) {
            co_await tiers_.erasures->erase({digest, stored.generation, stored.size});
            co_await tiers_.erasures->report();
        } else {
            co_await store_.erase(digest, stored.generation);
            context_.space.release(stored.size);
        }
        co_return nullptr;
    }
    files_.put(digest, file, stored.as_of);
    co_return file;
}

Task<Told> Blobs::ask_upstream(TargetPtr target, oci::Digest digest) {
    Verdict verdict;
    const TimePoint deadline = clock_.now() + options_.miss_timeout * 9 / 10;
    for (const Candidate& candidate : target->candidates) {
        const auto answer =
            co_await candidate.upstream->blob_head(candidate.repository, digest, deadline);
        if (answer.outcome == upstream::Outcome::ok)
            co_return Told{candidate.upstream->name(), answer.size, "", std::nullopt};
        verdict.add(answer);
    }
    if (verdict.all_not_found()) co_await remember_missing(target, digest);
    throw verdict.failure(Kind::blob_unknown, fmt::format("blob {}", digest.text()));
}

Task<> Blobs::remember_missing(TargetPtr target, oci::Digest digest) {
    negatives_.remember(negative_key(*target, digest), target->freshness->negative_ttl);
    if (missing_) co_await missing_(target, digest);
}

Task<> Blobs::link(TargetPtr target, oci::Digest digest, Proof proof) {
    const uint64_t as_of = metadata_.removals();
    if (links_.get(pair_key(target->repository, sum_text(digest)))) co_return;
    auto put = [this, target, digest, proof] {
        const bool of_fetch = proof == Proof::fetch && !metadata_.find_manifest(digest);
        if (proof == Proof::gate || of_fetch) {
            metadata_.link(target->repository, digest);
            return true;
        }
        link_by_word(metadata_, target->repository, digest);
        return metadata_.linked(target->repository, digest);
    };
    if (co_await ask_disk(pool_, std::move(put), false))
        remember_link(target->repository, digest, as_of);
}

Task<Told> Blobs::claim(TargetPtr target, oci::Digest digest, TimePoint deadline) {
    const std::string key = negative_key(*target, digest);
    if (negatives_.holds(key))
        throw NegativeHit(Kind::blob_unknown, fmt::format("blob {} is not known", digest.text()));
    co_return co_await proofs_.run(
        key, [this, target, digest] { return ask_upstream(target, digest); }, deadline);
}

Task<std::optional<Told>> Blobs::pass_gate(TargetPtr target, oci::Digest digest, bool head,
                                           Known& known, TimePoint deadline) {
    std::optional<Told> told;
    const auto running = table_.find(digest, group_of(*target));
    // Its own upstream has answered for it already.
    const bool under_way = running && running->running() && running->proven(target->repository);
    const bool by_head = known.here() && head_may_prove(*target, known.private_of);
    if (!under_way && (head || by_head || !known.named)) {
        try {
            told = co_await claim(target, digest, deadline);
        } catch (const NegativeHit&) {
            throw;
        } catch (const Failure& failure) {
            // Some registries answer every HEAD with 404. What its own manifest names may be there.
            const bool bytes_decide = !head && by_head && known.named;
            if (failure.kind() != Kind::blob_unknown || !bytes_decide) throw;
            negatives_.forget(negative_key(*target, digest));
        }
        if (told && known.here() && proves(*told, {digest, known.size(), known.private_of, ""})) {
            co_await link(target, digest, Proof::gate);
            known.linked = true;
            co_return told;
        }
    }
    known.anew = known.here();
    known.stored.reset();
    known.in_durable_tier.reset();
    co_return told;
}

Task<BlobView> Blobs::blob(TargetPtr target, oci::Digest digest, std::vector<WantedRange> wanted,
                           bool head) {
    const TimePoint deadline = clock_.now() + options_.miss_timeout;
    const Known known = co_await look_up(target, digest);
    try {
        co_return co_await blob(target, digest, std::move(wanted), head, known, deadline);
    } catch (const Failure& failure) {
        if (!known.unread || failure.kind() != Kind::blob_unknown) throw;
    }
    // It may be stored, whatever its upstream says.
    negatives_.forget(negative_key(*target, digest));
    std::rethrow_exception(known.unread);
}

Task<BlobView> Blobs::blob(TargetPtr target, oci::Digest digest, std::vector<WantedRange> wanted,
                           bool head, Known known, TimePoint deadline) {
    std::optional<Told> told;
    if (!known.linked) told = co_await pass_gate(target, digest, head, known, deadline);
    if (known.stored) {
        touches_.add(digest, clock_.wall());
        BlobView view;
        view.digest = digest;
        view.size = known.stored->size;
        view.from = From::hit_disk;
        view.upstream = known.stored->upstream;
        std::shared_ptr<const File> file;
        bool broken = false;
        try {
            file = co_await open_file(digest, *known.stored);
        } catch (const Failure& failure) {
            if (!is_disk_fault(failure)) throw;
            log::warn("cache", "{} is read past the disk: {}", digest.text(), failure.what());
            broken = true;
        }
        if (file || broken) {
            view.readable = std::make_shared<StoredReadable>(*this, target, digest, view.size,
                                                             std::move(file), hold(digest));
            co_return view;
        }
        // The file is gone: what else is known of the blob is asked anew.
        forget(digest);
        known = co_await look_up(target, digest);
        known.stored.reset();
    }
    if (!head)
        co_return co_await fetch(target, digest, std::move(wanted), known, std::move(told),
                                 deadline);
    BlobView view;
    view.digest = digest;
    view.from = From::miss;
    view.upstream = target->upstream_name;
    if (known.linked && known.in_durable_tier) {
        view.size = *known.in_durable_tier;
        view.from = From::hit_s3;
        co_return view;
    }
    const auto running = table_.find(digest, group_of(*target));
    if (running && running->size() && (known.linked || running->proven(target->repository))) {
        view.size = *running->size();
        view.from = From::joined;
        co_return view;
    }
    if (!told) told = co_await claim(target, digest, deadline);
    view.size = size_of(*told, digest);
    co_return view;
}

// Somebody else's fetch is no proof that this repository has the blob, nor is what an earlier one
// left.
Task<bool> Blobs::may_join(TargetPtr target, oci::Digest digest, const Known& known,
                           std::shared_ptr<Fetch> fetch, std::optional<Told>& told,
                           TimePoint deadline) {
    if (known.linked || fetch->proven(target->repository)) co_return true;
    if (!told) told = co_await claim(target, digest, deadline);
    const auto size = fetch->size();
    co_return !size || proves(*told, {digest, *size, fetch->private_of(), ""});
}

Task<BlobView> Blobs::fetch(TargetPtr target, oci::Digest digest, std::vector<WantedRange> wanted,
                            Known known, std::optional<Told> told, TimePoint deadline) {
    if (negatives_.holds(negative_key(*target, digest)))
        throw NegativeHit(Kind::blob_unknown, fmt::format("blob {} is not known", digest.text()));
    const Origins origins = origins_for(*target, known);
    if (origins.empty())
        throw Failure(Kind::blob_unknown, fmt::format("blob {} is not stored here", digest.text()));
    const std::string group = group_of(*target);
    // What is stored is no use to who has no claim to it.
    if (!known.anew && co_await wait_for_another(digest, group, deadline)) {
        known = co_await look_up(target, digest);
        if (known.stored)
            co_return co_await blob(target, digest, std::move(wanted), false, known, deadline);
    }
    const auto running = table_.find(digest, group);
    if (running && !co_await may_join(target, digest, known, running, told, deadline))
        co_return co_await relay(target, digest, known, std::move(told), deadline);
    // Those who come while others are relayed share their transfer, and no fetch is begun in vain.
    if (const auto until = no_room_.get(digest); until && clock_.now() < *until)
        co_return co_await relay(target, digest, known, std::move(told), deadline);
    BlobView view;
    view.digest = digest;
    bool apart = false, missing = false;
    std::shared_ptr<Fetch> fetch;
    std::exception_ptr failed;
    std::optional<Fetch::Interest> interest;
    try {
        const auto joined =
            table_.join_or_start(digest, wanted, origins, {login_scope(*target), known.anew});
        fetch = joined.fetch;
        interest.emplace(fetch);
        view.from = joined.fresh ? From::miss : From::joined;
        if (joined.fresh && known.in_durable_tier && known.linked) view.from = From::hit_s3;
        view.size = co_await fetch->head(deadline, wanted);
    } catch (const Failure& failure) {
        missing = failure.kind() == Kind::blob_unknown;
        if (failure.kind() == Kind::no_space) no_room_.put(digest, clock_.now() + kNoRoomTime);
        if (!is_disk_fault(failure)) failed = std::current_exception();
        apart = true;
    }
    if (missing) co_await remember_missing(target, digest);
    if (failed) std::rethrow_exception(failed);
    if (!apart) apart = !co_await may_join(target, digest, known, fetch, told, deadline);
    if (apart) co_return co_await relay(target, digest, known, std::move(told), deadline);
    // A whole blob is linked when it is stored; the chunks of a range may outlive this process. Of
    // a copy that it has no claim to, the last byte decides.
    const bool by_told = told && !fetch->proven(target->repository);
    const bool of_fetch = by_told && proves(*told, {digest, view.size, fetch->private_of(), ""});
    if (!known.linked && !known.anew && (by_told || !wanted.empty()))
        co_await link(target, digest, of_fetch ? Proof::fetch : Proof::word);
    view.upstream = std::make_shared<const std::string>(fetch->upstream_name());
    if (const auto failure = fetch->failure()) view.from = From::relay;
    view.readable = std::make_shared<FetchReadable>(std::move(fetch), relays_);
    co_return view;
}

// Other upstreams are about to give it: false where they don't, or one of this target's runs.
Task<bool> Blobs::wait_for_another(oci::Digest digest, std::string group, TimePoint deadline) {
    const TimePoint until = std::min(deadline, clock_.now() + Fetch::kNearTime);
    std::shared_ptr<Fetch> waited;
    while (clock_.now() < until && !table_.find(digest, group)) {
        const auto other = table_.nearly_there(digest, group);
        if (!other) break;
        waited = other;
        co_await sleep_for(kLookTime);
    }
    co_return waited && waited->verified();
}

Task<BlobView> Blobs::relay(TargetPtr target, oci::Digest digest, Known known,
                            std::optional<Told> told, TimePoint deadline) {
    BlobView view;
    view.digest = digest;
    view.from = From::relay;
    view.upstream = target->upstream_name;
    if (known.linked && known.in_durable_tier) {
        view.size = *known.in_durable_tier;
    } else {
        if (!told) told = co_await claim(target, digest, deadline);
        view.size = size_of(*told, digest);
    }
    view.readable =
        std::make_shared<RelayReadable>(relays_, digest, view.size, origins_for(*target, known));
    co_return view;
}

Task<std::unique_ptr<BlobReader>> Blobs::read_past_disk(TargetPtr target, RelayRequest rest) {
    const auto digest = rest.digest;
    log::warn("cache", "the file of {} can't be read; the rest comes from elsewhere",
              digest.text());
    forget(digest);
    const auto row = co_await ask_disk(
        pool_, [this, digest] { return metadata_.find_blob(digest); },
        std::optional<meta::BlobRow>());
    Known known;
    known.linked = true;  // or it would not have been given
    if (row && row->in_s3) known.in_durable_tier = row->size;
    rest.origins = origins_for(*target, known);
    if (rest.origins.empty())
        throw Failure(Kind::io,
                      fmt::format("{} can't be read, and nobody else has it", digest.text()));
    co_return relays_.open(std::move(rest));
}

Task<> Blobs::stop() {
    relays_.stop();
    co_await table_.stop();
}

}  // namespace weir::cache
