// The promises of base/text.h.
#include "base/text.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

std::string all_bytes() {
    std::string text;
    for (int i = 0; i < 256; ++i) text.push_back(static_cast<char>(i));
    return text;
}

TEST(Hex, every_byte_survives) {
    const std::string text = all_bytes();
    const auto back = from_hex(to_hex(as_bytes(text)));
    ASSERT_TRUE(back);
    EXPECT_EQ(as_text(*back), text);
    EXPECT_EQ(to_hex(as_bytes("\x01\xab")), "01ab");
}

TEST(Hex, both_cases_are_read_and_nothing_else) {
    EXPECT_EQ(from_hex("aBCd"), from_hex("abcd"));
    for (const char* text : {"a", "abc", "0x", "gg", " 1", "1 ", "-1", "/0", ":0", "@0", "`0"})
        EXPECT_FALSE(from_hex(text)) << text;
    EXPECT_EQ(from_hex("")->size(), 0u);
}

// RFC 4648 section 10
TEST(Base64, agrees_with_the_standards_vectors) {
    const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                           {"f", "Zg=="},
                                                           {"fo", "Zm8="},
                                                           {"foo", "Zm9v"},
                                                           {"foob", "Zm9vYg=="},
                                                           {"fooba", "Zm9vYmE="},
                                                           {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, coded] : vectors) {
        EXPECT_EQ(to_base64(plain), coded);
        EXPECT_EQ(from_base64(coded), plain);
    }
}

TEST(Base64, every_byte_survives_with_and_without_padding) {
    const std::string text = all_bytes();
    std::string coded = to_base64(text);
    EXPECT_EQ(from_base64(coded), text);
    while (coded.back() == '=') coded.pop_back();
    EXPECT_EQ(from_base64(coded), text);
}

TEST(Base64, what_is_no_base64_is_refused) {
    for (const char* text : {"Z", "Zg=a", "Zm9vY", "Zm 9v", "Zm9v\n", "Zm-_", "=Zg"})
        EXPECT_FALSE(from_base64(text)) << text;
}

TEST(Ascii, only_ascii_letters_are_folded) {
    EXPECT_EQ(ascii_lower("AZaz@[`{\xc4"), "azaz@[`{\xc4");
    EXPECT_TRUE(iequals("Content-Type", "cONTENT-tYPE"));
    EXPECT_FALSE(iequals("a", "ab"));
    EXPECT_FALSE(iequals("@", "`"));
    EXPECT_TRUE(istarts_with("Bearer x", "bearer "));
    EXPECT_FALSE(istarts_with("Be", "bearer"));
}

TEST(Trim, takes_blanks_and_tabs_from_both_ends) {
    EXPECT_EQ(trim(" \t a b\t "), "a b");
    EXPECT_EQ(trim(" \t "), "");
    EXPECT_EQ(trim("\na\r"), "\na\r");
}

TEST(Split, keeps_empty_parts) {
    using Parts = std::vector<std::string_view>;
    EXPECT_EQ(split("a,,b,", ','), (Parts{"a", "", "b", ""}));
    EXPECT_EQ(split("", ','), (Parts{""}));
}

TEST(ParseU64, takes_digits_only_and_sees_overflow) {
    EXPECT_EQ(parse_u64("0"), 0u);
    EXPECT_EQ(parse_u64("0007"), 7u);
    EXPECT_EQ(parse_u64("18446744073709551615"), UINT64_MAX);
    for (const char* text : {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616", "a"})
        EXPECT_FALSE(parse_u64(text)) << text;
}

TEST(Percent, every_byte_survives) {
    const std::string text = all_bytes();
    EXPECT_EQ(percent_decode(percent_encode(text)), text);
    EXPECT_EQ(percent_decode(percent_encode(text, true)), text);
    EXPECT_EQ(percent_encode("a/b c~\xc3"), "a%2Fb%20c~%C3");
    EXPECT_EQ(percent_encode("a/b", true), "a/b");
}

TEST(Percent, a_broken_escape_is_refused) {
    for (const char* text : {"%", "%4", "a%", "%zz", "%4g", "%%41"})
        EXPECT_FALSE(percent_decode(text)) << text;
    EXPECT_EQ(percent_decode("%41+%2f"), "A+/");
}

TEST(HumanBytes, is_short) {
    EXPECT_EQ(human_bytes(0), "0 B");
    EXPECT_EQ(human_bytes(1023), "1023 B");
    EXPECT_EQ(human_bytes(1536), "1.5 KiB");
    EXPECT_EQ(human_bytes(uint64_t{3} << 30), "3.0 GiB");
    EXPECT_EQ(human_bytes(UINT64_MAX), "16.0 EiB");
}

TEST(EditDistance, counts_and_stops_at_the_limit) {
    EXPECT_EQ(edit_distance("kitten", "sitting", 10), 3u);
    EXPECT_EQ(edit_distance("", "abc", 10), 3u);
    EXPECT_EQ(edit_distance("same", "same", 10), 0u);
    EXPECT_EQ(edit_distance("abc", "xyz", 1), 2u);
}

}  // namespace
}  // namespace weir
