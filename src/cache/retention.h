// cache/retention.h: which tags stay: zot's rules, exactly (zot's storage.retention). Pure.
//
// The first policy whose repository globs match is used; none: everything stays. Within it a tag
// belongs to the first keepTags entry whose patterns it matches, and stays if one of that entry's
// rules keeps it; what matches none goes. Without any keepTags list every tag stays.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/glob.h"
#include "meta/upkeep.h"

namespace re2 {
class RE2;
}

namespace weir::cache {

// keepTags[] and keepUntagged: rules that are given are OR-ed; a list of patterns alone keeps what
// matches.
struct KeepRule {
    std::vector<std::shared_ptr<const re2::RE2>> patterns;  // on tags; empty: all
    std::optional<uint32_t> most_recently_pushed;
    std::optional<uint32_t> most_recently_pulled;
    std::optional<Duration> pushed_within;
    std::optional<Duration> pulled_within;
};

struct RetentionPolicy {
    std::vector<Glob> repositories;
    bool delete_referrers = false;
    bool delete_untagged = true;
    std::vector<KeepRule> keep_tags;  // `has_keep_tags` tells an empty list from none
    bool has_keep_tags = false;
    std::optional<KeepRule> keep_untagged;
};

struct Retention {
    std::vector<RetentionPolicy> policies;
    bool dry_run = false;
    Duration delay = std::chrono::hours(1);  // grace after a push
    // nullptr: no policy for this repository.
    const RetentionPolicy* policy_of(std::string_view repository) const;
};

struct Removal {
    std::string name;  // tag
    oci::Digest digest;
    std::string reason;  // "keepTags[1]: not among the 3 pushed last, not pulled within 720h"
};

// As the configuration writes durations: "720h", "90s", "1ms".
std::string duration_text(Duration);

// The tags of one repository that go under `policy` at `now`. Pushed within `delay`: stays.
std::vector<Removal> tags_to_remove(const RetentionPolicy& policy, Duration delay,
                                    std::span<const meta::TagInfo> tags, WallTime now);
// Of manifests without a tag, those that no keepUntagged rule keeps.
std::vector<meta::ManifestInfo> untagged_to_remove(const RetentionPolicy& policy,
                                                   std::span<const meta::ManifestInfo> untagged,
                                                   WallTime now);

}  // namespace weir::cache
