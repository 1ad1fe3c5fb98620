#include "cache/list_text.h"

#include <algorithm>

#include "base/text.h"
#include "crypto/hasher.h"
#include "oci/list_items.h"
#include "oci/manifest.h"

namespace weir::cache {
namespace {

uint64_t hash_of(std::string_view text) {
    return std::hash<std::string_view>{}(text);
}

// Without its quotes.
std::string_view inside(std::string_view raw) {
    return raw.size() < 2 ? std::string_view() : raw.substr(1, raw.size() - 2);
}

std::string artifact_type_of(std::string_view descriptor) {
    return oci::string_of(oci::raw_member(descriptor, "artifactType"));
}

// Room for one more.
bool fits(const ListText& list, std::string_view item) {
    return list.items.size() + item.size() + 1 <= kMaxListBytes && list.count() < kMaxListedTags;
}

void add(ListText& list, std::string_view item) {
    if (!list.items.empty()) list.items += ',';
    list.starts.push_back(static_cast<uint32_t>(list.items.size()));
    list.items += item;
}

std::string_view piece(std::string_view document, const oci::ListItem& item) {
    return document.substr(item.first, item.length);
}

}  // namespace

std::string_view ListText::item(size_t number) const {
    const size_t first = starts[number];
    return std::string_view(items).substr(first, end_of(number, 1) - first);
}

size_t ListText::end_of(size_t first, size_t count) const {
    const size_t next = first + count;
    return next < starts.size() ? starts[next] - 1 : items.size();
}

std::optional<size_t> ListText::after(std::string_view last) const {
    const auto text = [this](size_t number) { return inside(item(number)); };
    if (!sorted) {
        for (size_t i = 0; i < count(); ++i)
            if (text(i) == last) return i + 1;
        return std::nullopt;
    }
    size_t low = 0, high = count();
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (text(middle) <= last)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

ListText ListText::filtered(std::string_view artifact_type) const {
    ListText kept;
    kept.fetched = fetched;
    kept.next_query = next_query;
    const uint64_t wanted = hash_of(artifact_type);
    for (size_t i = 0; i < count(); ++i)
        if (types[i] == wanted && artifact_type_of(item(i)) == artifact_type) add(kept, item(i));
    return kept;
}

uint64_t ListText::bytes() const {
    return sizeof(ListText) + items.capacity() + starts.capacity() * sizeof(uint32_t) +
           types.capacity() * sizeof(uint64_t) + next_query.capacity();
}

std::expected<void, std::string> add_tags(ListText& list, std::string_view document) {
    const auto found = oci::list_items(document, "tags");
    if (!found) return std::unexpected(found.error());
    // null, or left out beside a name: a repository without tags.
    if (!found->present && !found->named) return std::unexpected("not a list of tags");
    if (list.items.empty()) list.items.reserve(std::min<size_t>(document.size(), kMaxListBytes));
    for (const auto& place : found->items) {
        const auto item = piece(document, place);
        if (item.front() != '"') return std::unexpected("a tag that is not a string");
        if (item.size() > kMaxListedNameBytes + 2) continue;
        if (!fits(list, item)) break;
        if (list.count() > 0 && inside(list.item(list.count() - 1)) >= inside(item))
            list.sorted = false;
        add(list, item);
    }
    list.items.shrink_to_fit();
    list.starts.shrink_to_fit();
    return {};
}

std::expected<void, std::string> add_referrers(ListText& list, std::string_view document) {
    const auto found = oci::list_items(document, "manifests");
    if (!found) return std::unexpected(found.error());
    if (!found->present) return std::unexpected("not a list of referrers");
    for (const auto& place : found->items) {
        const auto item = piece(document, place);
        if (item.front() != '{') return std::unexpected("a referrer that is not a descriptor");
        if (item.size() > kMaxReferrerBytes) continue;
        if (!fits(list, item)) break;
        add(list, item);
        list.types.push_back(hash_of(artifact_type_of(item)));
    }
    return {};
}

ListText read_list(std::string items, bool referrers) {
    ListText list;
    list.items = std::move(items);
    list.starts = oci::item_starts(list.items);
    list.starts.shrink_to_fit();
    for (size_t i = 0; referrers && i < list.count(); ++i)
        list.types.push_back(hash_of(artifact_type_of(list.item(i))));
    for (size_t i = 1; !referrers && list.sorted && i < list.count(); ++i)
        list.sorted = inside(list.item(i - 1)) < inside(list.item(i));
    return list;
}

bool is_referrers_index(std::string_view document, std::string_view media_type,
                        const oci::Digest& subject) {
    if (crypto::digest_of(subject.algorithm(), document) == subject) return false;
    const auto found = oci::list_items(document, "manifests");
    if (!found || !found->present) return false;
    const auto own = oci::string_of(oci::raw_member(document, "mediaType"));
    if ((own.empty() ? media_type : own) != oci::kOciIndex) return false;
    return std::ranges::all_of(found->items, [&](const oci::ListItem& place) {
        const auto item = piece(document, place);
        return !artifact_type_of(item).empty() || oci::raw_member(item, "platform").empty();
    });
}

}  // namespace weir::cache
