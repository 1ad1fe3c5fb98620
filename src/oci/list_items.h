// oci/list_items.h: the members of a long list in a JSON document, as pieces of its text: what is
// served again as it came needs no tree of it. Pure; documents of up to 4 GiB.
#pragma once
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace weir::oci {

struct ListItem {
    uint32_t first = 0;  // in the document
    uint32_t length = 0;
};

struct ListItems {
    std::vector<ListItem> items;
    bool present = false;  // the document has a member of that name, be it null
    bool named = false;    // it has a member "name"
};

// The members of the array `key` of a document that is a JSON object; in words why not. The whole
// document is checked, so each piece is JSON too.
std::expected<ListItems, std::string> list_items(std::string_view document, std::string_view key);

// Where the members of `joined` begin, which are JSON texts with one comma between them.
std::vector<uint32_t> item_starts(std::string_view joined);

// The JSON text of the member `key` of a JSON object; empty when there is none.
std::string_view raw_member(std::string_view object, std::string_view key);

// The text that a JSON string is the text of; empty for anything else.
std::string string_of(std::string_view raw);

}  // namespace weir::oci
