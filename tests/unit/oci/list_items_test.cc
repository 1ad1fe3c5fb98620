// The members of long lists, as pieces of their document.
#include "oci/list_items.h"

#include <gtest/gtest.h>

namespace weir::oci {
namespace {

using Texts = std::vector<std::string>;

Texts pieces(std::string_view document, std::string_view key) {
    Texts texts;
    const auto found = list_items(document, key);
    if (!found) return {"error: " + found.error()};
    for (const auto& item : found->items)
        texts.emplace_back(document.substr(item.first, item.length));
    return texts;
}

TEST(ListItems, are_the_texts_of_the_members) {
    EXPECT_EQ(pieces(R"({"name":"x","tags":["b","a"]})", "tags"), (Texts{"\"b\"", "\"a\""}));
    EXPECT_EQ(pieces(" {\n \"tags\" : [ \"b\" ,\t\"a,]\\\"\" ] , \"more\": {\"x\":[1]} } ", "tags"),
              (Texts{"\"b\"", "\"a,]\\\"\""}));
    EXPECT_EQ(pieces(R"({"m":[{"a":[1,{"b":"}]"}]},null,true,-1.5e3,[]]})", "m"),
              (Texts{R"({"a":[1,{"b":"}]"}]})", "null", "true", "-1.5e3", "[]"}));
}

TEST(ListItems, a_list_that_is_null_empty_or_left_out_has_none) {
    for (const char* body : {R"({"name":"x","tags":[]})", R"({"name":"x","tags":null})",
                             R"({"name":"x"})", R"({"other":{"tags":["a"]},"name":""})"}) {
        const auto found = list_items(body, "tags");
        ASSERT_TRUE(found) << body;
        EXPECT_TRUE(found->items.empty()) << body;
        EXPECT_TRUE(found->named) << body;
    }
    EXPECT_TRUE(list_items(R"({"tags":null})", "tags")->present);
    EXPECT_FALSE(list_items(R"({"errors":[]})", "tags")->present);
}

TEST(ListItems, what_is_no_such_document_is_refused) {
    for (const char* body :
         {"", "[]", "<html>", "null", R"({"tags":{}})", R"({"tags":"x"})", R"({"tags":["a")",
          R"({"tags":["a"]}x)", R"({"tags":["a",]})", R"({"tags":[a]})"})
        EXPECT_FALSE(list_items(body, "tags")) << body;
    const std::string deep = "{\"tags\":" + std::string(3'000'000, '[');
    EXPECT_FALSE(list_items(deep, "tags"));
}

TEST(ListItems, a_million_are_found) {
    std::string body = R"({"name":"x","tags":["0")";
    for (int i = 1; i < 1'000'000; ++i) body += ",\"" + std::to_string(i % 10) + "\"";
    body += "]}";
    const auto found = list_items(body, "tags");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->items.size(), 1'000'000u);
}

TEST(ItemStarts, are_found_again_in_what_was_joined) {
    EXPECT_EQ(item_starts(R"("a","b,c",{"x":[1,2]},7)"), (std::vector<uint32_t>{0, 4, 10, 22}));
    EXPECT_TRUE(item_starts("").empty());
}

TEST(RawMember, is_the_last_of_that_name_and_only_of_the_object_itself) {
    EXPECT_EQ(raw_member(R"({"a":{"t":1},"t":"x"})", "t"), "\"x\"");
    EXPECT_EQ(raw_member(R"({"t":1,"t":2})", "t"), "2");
    EXPECT_EQ(raw_member(R"({"a":{"t":1}})", "t"), "");
    EXPECT_EQ(raw_member("[1]", "t"), "");
}

TEST(StringOf, reads_escapes) {
    EXPECT_EQ(string_of("\"a/b\""), "a/b");
    EXPECT_EQ(string_of("\"a\\u002bb\""), "a+b");
    EXPECT_EQ(string_of("7"), "");
    EXPECT_EQ(string_of(""), "");
}

}  // namespace
}  // namespace weir::oci
