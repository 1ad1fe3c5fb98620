// cache/manifests.h: manifests by digest and tag, and how long a tag is believed.
//
// What is given is decided in cache/gate.h, for tags as for digests; a tag is a name, not a proof.
//
// A tag that is known is answered at once: fresh, or, while it is asked for at least once in its
// TTL, stale while one HEAD revalidates it behind the answer. One that was asked for more seldom,
// or not confirmed within Freshness::max_stale, or is a signature's, or has a TTL of 0, is asked
// for first, for a moment, before the stale answer. One that its upstream has refuted (it has not
// got what the tag led to) is not given before the upstream was asked. 401, 403, 429, 5xx and
// time-outs change nothing that is known.
#pragma once
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/semaphore.h"
#include "cache/answers.h"
#include "cache/blobs.h"
#include "cache/lookup.h"
#include "cache/memory.h"

namespace weir::cache {

// Any loop.
class Manifests {
public:
    Manifests(const Options&, const MemoryShares&, meta::Metadata&, store::Space&, Pool&, Clock&,
              Scope&, Blobs&, Answers&);

    std::optional<ManifestView> manifest_now(const TargetPtr&, std::string_view reference);
    Task<ManifestView> manifest(TargetPtr, oci::Reference, bool head);
    uint64_t memory_bytes() const { return memory_.weight(); }
    uint64_t tag_bytes() const { return tags_.weight() + open_.weight(); }
    uint64_t link_bytes() const { return links_.weight(); }
    uint64_t negative_bytes() const { return negatives_.weight(); }
    // Lets go of what counts no more since something was removed. Not on a loop.
    void forget_removed();

private:
    using ManifestPtr = std::shared_ptr<const Manifest>;
    // `unread`: set when the database could not be asked on the way (cache/past_disk.h).
    Task<ManifestView> by_digest(TargetPtr, oci::Digest, bool head, std::exception_ptr* unread);
    Task<ManifestView> by_tag(TargetPtr, std::string tag, bool head, std::exception_ptr* unread);
    Task<ManifestView> known_tag(TargetPtr, std::string tag, KnownTag known, bool head,
                                 std::exception_ptr* unread);
    Task<ManifestView> known_by_name(TargetPtr, std::string tag, KnownTag known, bool head);
    Task<std::optional<KnownTag>> find_tag(TargetPtr, std::string tag, std::exception_ptr* unread);
    // Whatever repository it came through; verified when it comes from the database.
    Task<ManifestPtr> find_stored(oci::Digest, std::exception_ptr* unread);
    struct Loaded {
        ManifestPtr manifest;  // null: it is not stored
        std::exception_ptr unread;
    };
    Task<Loaded> load(oci::Digest);
    Task<bool> is_linked(TargetPtr, oci::Digest, std::exception_ptr* unread);
    Task<bool> is_named(TargetPtr, oci::Digest);
    // What the repository may serve; null otherwise.
    Task<ManifestPtr> find_linked(TargetPtr, oci::Digest, std::exception_ptr* unread);
    // The same, after a HEAD has told this: it is linked now if that proves it.
    Task<ManifestPtr> find_told(TargetPtr, const Manifest& told, std::string upstream,
                                std::exception_ptr* unread);
    Task<ManifestPtr> link(TargetPtr, ManifestPtr, std::exception_ptr* unread);
    // An upstream has not got the digest.
    Task<> refute(TargetPtr, oci::Digest);
    // How long the upstream is waited for before the stale answer; nullopt: it isn't asked now.
    std::optional<Duration> patience(const Target&, std::string_view tag, const KnownTag&,
                                     TimePoint asked_before) const;

    // manifests_ask.cc. From an upstream, unless it said no a moment ago.
    Task<ManifestView> ask(TargetPtr, oci::Reference, bool head, TimePoint until);
    // Upstream work; each is the body of a flight.
    Task<ManifestView> download(TargetPtr, oci::Reference);
    Task<ManifestView> ask_head(TargetPtr, oci::Reference);
    // `kept`: the bytes of what is known are here.
    Task<ManifestView> revalidate(TargetPtr, std::string tag, KnownTag known, bool kept);
    Task<ManifestPtr> keep(TargetPtr, oci::Reference, upstream::ManifestAnswer,
                           std::shared_ptr<const std::string> upstream);
    // `told`: by the HEAD that confirms it. `served`: what is here of it for this repository.
    Task<> confirm(TargetPtr, std::string tag, ManifestPtr told, ManifestPtr served,
                   std::shared_ptr<const std::string> upstream);

    void remember_tag(const Target&, const std::string& tag, KnownTag);
    // Adds to what is known of a tag that was looked up before a wait; what came meanwhile stays.
    void remember_still(const Target&, const std::string& tag, KnownTag);
    void remember(const ManifestPtr&, uint64_t as_of);
    void remember_link(const Target&, const oci::Digest&, uint64_t as_of);
    Task<> remember_missing(TargetPtr, oci::Reference);
    static Manifest make(meta::ManifestRow);
    static std::string flight_key(const char* verb, const Target&, std::string_view reference);
    ManifestView stored_view(const TargetPtr&, ManifestPtr, bool in_memory);
    ManifestView view(const KnownTag&, ManifestPtr, From, Duration ttl) const;
    [[noreturn]] void throw_negative(const oci::Reference&) const;
    TimePoint deadline() const { return clock_.now() + options_.miss_timeout; }

    // After an upstream gave no answer, its tags are not asked for again for so long.
    static constexpr Duration kAskAgain = std::chrono::seconds(5);

    const Options& options_;
    meta::Metadata& metadata_;
    store::Space& space_;
    Pool& pool_;
    Clock& clock_;
    Blobs& blobs_;
    Answers& answers_;
    Semaphore large_;  // of large ones so many are read into a tree at once
    Believed<oci::Digest, ManifestPtr, oci::DigestHash> memory_;
    // What is in no memory but still being read by somebody: too large for it, or pushed out.
    Believed<oci::Digest, std::weak_ptr<const Manifest>, oci::DigestHash> open_;
    Believed<std::string, KnownTag> tags_;
    Believed<std::string, bool> links_;
    Negatives negatives_;
    Flight<std::string, ManifestView> flights_;
    Flight<oci::Digest, Loaded> loads_;
};

}  // namespace weir::cache
