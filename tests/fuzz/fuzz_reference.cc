// Names, tags, references, Link headers, queries and tag lists: what comes from a URL or an
// upstream's paged answer.
#include "base/text.h"
#include "fuzz/input.h"
#include "oci/error_body.h"
#include "oci/link.h"
#include "oci/list_items.h"
#include "oci/manifest.h"
#include "oci/name.h"

using weir::check;
using namespace weir::oci;

namespace {

void names(std::string_view text) {
    if (valid_name(text)) {
        check(text.size() <= kMaxNameBytes, "a name is short");
        check(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/") == text.npos,
              "a name is plain");
        check(!text.contains("..") && !text.contains("//"), "a name is no path out");
        check(text.size() + 2 > kMaxNameBytes ||
                  (valid_name(std::string(text) + "/a") && valid_name("a/" + std::string(text))),
              "names of names are names");
    }
    const auto reference = Reference::parse(text);
    if (valid_tag(text)) check(reference && !reference->is_digest(), "a tag is a reference");
    if (reference) {
        check(reference->text() == text, "a reference is written as it was read");
        check(reference->is_digest() == text.contains(':'), "a tag has no colon");
        if (reference->is_digest()) {
            const std::string tag = referrers_tag(reference->digest());
            check(valid_tag(tag) && is_signature_tag(tag), "the referrers tag is a tag");
        }
    }
    if (is_signature_tag(text)) check(valid_tag(text), "a signature tag is a tag");
}

void links(std::string_view text) {
    if (const auto target = next_link(text)) {
        check(text.contains(*target), "a link's target is as the upstream wrote it");
        const std::string query = link_query(*target);
        check(target->contains(query) && !query.contains('#'), "a query is part of its target");
    }
    for (std::string_view name : {"last", "n", ""}) {
        if (const auto value = query_parameter(text, name)) {
            const std::string query = std::string(name) + "=" + weir::percent_encode(*value);
            check(query_parameter(query, name) == value, "a parameter survives encoding");
        }
    }
    query_parameter("last=1&n=2", text);
}

void lists(std::string_view text) {
    if (const auto tags = list_items(text, "tags")) {
        std::string joined;
        for (const auto& item : tags->items) {
            check(item.length > 0 && item.first + item.length <= text.size(),
                  "a piece of the text");
            if (!joined.empty()) joined += ',';
            joined += text.substr(item.first, item.length);
        }
        const auto starts = item_starts(joined);
        check(starts.size() == tags->items.size(), "what is joined is found again");
        const auto again = list_items("{\"tags\":[" + joined + "]}", "tags");
        check(again && again->items.size() == starts.size(), "and is a list again");
        for (const auto& item : tags->items) string_of(text.substr(item.first, item.length));
    }
    item_starts(text);
    raw_member(text, "artifactType");
    const auto errors = list_items(error_body(text, text, R"({"tags":[]})"), "tags");
    check(errors && !errors->present, "an error is no tag list, whatever its words");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto text = weir::fuzz::text_of(data, size);
    names(text);
    links(text);
    lists(text);
    return 0;
}
