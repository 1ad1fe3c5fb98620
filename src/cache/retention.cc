#include "cache/retention.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>

#include <algorithm>
#include <map>
#include <set>

namespace weir::cache {
namespace {

using namespace std::chrono_literals;

bool matches(const KeepRule& rule, std::string_view tag) {
    if (rule.patterns.empty()) return true;
    const re2::StringPiece text(tag.data(), tag.size());
    // zot's patterns are not anchored: "v2" matches "v2.1" and "rev2".
    return std::any_of(rule.patterns.begin(), rule.patterns.end(),
                       [&](const auto& pattern) { return re2::RE2::PartialMatch(text, *pattern); });
}

bool within(WallTime when, Duration age, WallTime now) {
    return now - when <= std::chrono::duration_cast<std::chrono::microseconds>(age);
}

bool has_rule(const KeepRule& rule) {
    return rule.most_recently_pushed || rule.most_recently_pulled || rule.pushed_within ||
           rule.pulled_within;
}

// The indices of `items` that the rule keeps. `items` are those its patterns match.
template <class Info>
std::set<size_t> kept_by(const KeepRule& rule, std::span<const Info> all, std::vector<size_t> items,
                         WallTime now) {
    std::set<size_t> kept;
    if (!has_rule(rule)) {
        kept.insert(items.begin(), items.end());
        return kept;
    }
    for (size_t i : items) {
        if (rule.pushed_within && within(all[i].pushed, *rule.pushed_within, now)) kept.insert(i);
        // zot: what was pushed within that time may not have been pulled yet.
        if (rule.pulled_within && (within(all[i].pulled, *rule.pulled_within, now) ||
                                   within(all[i].pushed, *rule.pulled_within, now)))
            kept.insert(i);
    }
    auto keep_newest = [&](uint32_t count, auto time_of) {
        std::sort(items.begin(), items.end(), [&](size_t a, size_t b) {
            const auto left = time_of(all[a]), right = time_of(all[b]);
            return left != right ? left > right : a < b;
        });
        for (size_t k = 0; k < items.size() && k < count; ++k) kept.insert(items[k]);
    };
    if (rule.most_recently_pushed)
        keep_newest(*rule.most_recently_pushed, [](const Info& info) { return info.pushed; });
    if (rule.most_recently_pulled)
        keep_newest(*rule.most_recently_pulled, [](const Info& info) { return info.pulled; });
    return kept;
}

// What a tag that the rule does not keep is not.
std::string why_not(const KeepRule& rule) {
    std::vector<std::string> all;
    if (rule.most_recently_pushed)
        all.push_back(fmt::format("not among the {} pushed last", *rule.most_recently_pushed));
    if (rule.most_recently_pulled)
        all.push_back(fmt::format("not among the {} pulled last", *rule.most_recently_pulled));
    if (rule.pushed_within)
        all.push_back(fmt::format("not pushed within {}", duration_text(*rule.pushed_within)));
    if (rule.pulled_within)
        all.push_back(fmt::format("not pulled within {}", duration_text(*rule.pulled_within)));
    return fmt::format("{}", fmt::join(all, ", "));
}

}  // namespace

std::string duration_text(Duration duration) {
    using namespace std::chrono;
    if (duration % 1h == Duration{}) return fmt::format("{}h", duration / 1h);
    if (duration % 1min == Duration{}) return fmt::format("{}m", duration / 1min);
    if (duration % 1s == Duration{}) return fmt::format("{}s", duration / 1s);
    return fmt::format("{}ms", duration / 1ms);
}

const RetentionPolicy* Retention::policy_of(std::string_view repository) const {
    for (const RetentionPolicy& policy : policies)
        for (const Glob& glob : policy.repositories)
            if (glob.matches(repository)) return &policy;
    return nullptr;
}

std::vector<Removal> tags_to_remove(const RetentionPolicy& policy, Duration delay,
                                    std::span<const meta::TagInfo> tags, WallTime now) {
    if (!policy.has_keep_tags) return {};
    // A tag belongs to the first rule whose patterns it matches; the others don't count it.
    std::vector<std::vector<size_t>> items(policy.keep_tags.size());
    std::map<size_t, size_t> rule_of;
    for (size_t i = 0; i < tags.size(); ++i) {
        const auto rule = std::find_if(policy.keep_tags.begin(), policy.keep_tags.end(),
                                       [&](const KeepRule& r) { return matches(r, tags[i].name); });
        if (rule == policy.keep_tags.end()) continue;
        rule_of[i] = static_cast<size_t>(rule - policy.keep_tags.begin());
        items[rule_of[i]].push_back(i);
    }
    std::set<size_t> kept;
    for (size_t k = 0; k < items.size(); ++k)
        kept.merge(kept_by(policy.keep_tags[k], tags, std::move(items[k]), now));
    std::vector<Removal> removals;
    for (size_t i = 0; i < tags.size(); ++i) {
        if (kept.contains(i) || within(tags[i].pushed, delay, now)) continue;
        const auto rule = rule_of.find(i);
        removals.push_back({tags[i].name, tags[i].digest,
                            rule == rule_of.end()
                                ? "no keepTags pattern matches it"
                                : fmt::format("keepTags[{}]: {}", rule->second,
                                              why_not(policy.keep_tags[rule->second]))});
    }
    return removals;
}

std::vector<meta::ManifestInfo> untagged_to_remove(const RetentionPolicy& policy,
                                                   std::span<const meta::ManifestInfo> untagged,
                                                   WallTime now) {
    if (!policy.delete_untagged) return {};
    std::set<size_t> kept;
    if (policy.keep_untagged && has_rule(*policy.keep_untagged)) {
        std::vector<size_t> all(untagged.size());
        for (size_t i = 0; i < all.size(); ++i) all[i] = i;
        kept = kept_by(*policy.keep_untagged, untagged, std::move(all), now);
    }
    std::vector<meta::ManifestInfo> removals;
    for (size_t i = 0; i < untagged.size(); ++i)
        if (!kept.contains(i)) removals.push_back(untagged[i]);
    return removals;
}

}  // namespace weir::cache
