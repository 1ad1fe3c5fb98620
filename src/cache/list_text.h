// cache/list_text.h: a list in the form that it is kept in and served from: the JSON texts of its
// members, joined by commas. A page is a piece of that text, found by where its members begin; no
// serving loop reads or writes a list, it only sends pieces.
//
// Made once, on the pool; immutable from then on, shared by all who read it.
#pragma once
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "cache/answers.h"
#include "oci/digest.h"

namespace weir::cache {

// Limits of one list that is gathered from an upstream's pages.
inline constexpr uint64_t kMaxListBytes = 16ull << 20;
inline constexpr size_t kMaxListedTags = 1'000'000;
// Longer ones are left out.
inline constexpr size_t kMaxListedNameBytes = 255;
inline constexpr size_t kMaxReferrerBytes = 1ull << 20;  // a descriptor with its annotations

struct ListText {
    std::string items;
    std::vector<uint32_t> starts;  // of each member in `items`
    std::vector<uint64_t> types;   // of referrers: a hash of each one's artifactType
    bool sorted = true;            // bytewise, so that a tag is found by halving
    std::string next_query;        // where the upstream says that it goes on; "": this is the whole
    std::optional<TimePoint> fetched;  // nullopt: unknown, and so not fresh
    Answers::Charge charge;

    size_t count() const { return starts.size(); }
    std::string_view item(size_t number) const;
    // Where `count` members from `first` on end in `items`.
    size_t end_of(size_t first, size_t count) const;
    // The number of the first member behind the tag `last`; nullopt: it is not here. Long where
    // the list is not sorted.
    std::optional<size_t> after(std::string_view last) const;
    // A list of the same age with the members of that artifact type only.
    ListText filtered(std::string_view artifact_type) const;
    // With all that lies beside the text.
    uint64_t bytes() const;
};

// Adds the members of `document` ({"tags": [...]}, or {"manifests": [...]} of referrers) as far as
// the limits allow; in words why they are none.
std::expected<void, std::string> add_tags(ListText&, std::string_view document);
std::expected<void, std::string> add_referrers(ListText&, std::string_view document);
// From the text of a list that was kept.
ListText read_list(std::string items, bool referrers);

// The fall-back tag of `subject` names a list of referrers, and not the subject itself (as
// registries do that take "sha256-<hex>" for the digest), nor another image's index: an index whose
// members are artifacts.
bool is_referrers_index(std::string_view document, std::string_view media_type,
                        const oci::Digest& subject);

}  // namespace weir::cache
