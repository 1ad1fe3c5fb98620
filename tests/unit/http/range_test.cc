// RFC 9110 section 14.
#include "http/range.h"

#include <gtest/gtest.h>

#include "base/failure.h"

namespace weir::http {
namespace {

// "0-9 90-99" for what the header selects of `size` bytes; "whole" when it is to be ignored, "none"
// for 416.
std::string selected(std::string_view header, uint64_t size) {
    const auto specs = parse_range(header);
    if (!specs) return "whole";
    std::string text;
    for (const auto& range : resolve(*specs, size)) {
        EXPECT_GT(range.length, 0u);
        EXPECT_LE(range.first + range.length, size);
        if (!text.empty()) text += ' ';
        text += fmt::format("{}-{}", range.first, range.first + range.length - 1);
    }
    return text.empty() ? "none" : text;
}

TEST(Range, selects_a_closed_range) {
    EXPECT_EQ(selected("bytes=0-9", 100), "0-9");
    EXPECT_EQ(selected("bytes=99-99", 100), "99-99");
    EXPECT_EQ(selected("bytes=0-0", 1), "0-0");
}

TEST(Range, open_end_and_suffix_reach_the_end) {
    EXPECT_EQ(selected("bytes=0-", 100), "0-99");
    EXPECT_EQ(selected("bytes=98-", 100), "98-99");
    EXPECT_EQ(selected("bytes=-1", 100), "99-99");
    EXPECT_EQ(selected("bytes=-100", 100), "0-99");
}

TEST(Range, an_end_past_the_whole_is_clamped) {
    EXPECT_EQ(selected("bytes=98304-1031929", 1031929), "98304-1031928");
    EXPECT_EQ(selected("bytes=-500", 100), "0-99");
    EXPECT_EQ(selected("bytes=5-18446744073709551615", 100), "5-99");
}

TEST(Range, what_lies_outside_the_whole_is_unsatisfiable) {
    EXPECT_EQ(selected("bytes=100-", 100), "none");
    EXPECT_EQ(selected("bytes=100-200", 100), "none");
    EXPECT_EQ(selected("bytes=-0", 100), "none");
    EXPECT_EQ(selected("bytes=0-", 0), "none");
    EXPECT_EQ(selected("bytes=-5", 0), "none");
}

TEST(Range, a_position_beyond_64_bits_is_past_every_whole) {
    EXPECT_EQ(selected("bytes=0-99999999999999999999999", 100), "0-99");
    EXPECT_EQ(selected("bytes=99999999999999999999999-", 100), "none");
    EXPECT_EQ(selected("bytes=-99999999999999999999999", 100), "0-99");
    EXPECT_EQ(selected("bytes=-1", UINT64_MAX), "18446744073709551614-18446744073709551614");
}

TEST(Range, several_ranges_keep_their_order_and_lose_what_is_unsatisfiable) {
    EXPECT_EQ(selected("bytes=0-0,-1", 100), "0-0 99-99");
    EXPECT_EQ(selected("bytes=50-59, 10-19", 100), "50-59 10-19");
    EXPECT_EQ(selected("bytes=0-9,500-600,90-", 100), "0-9 90-99");
    EXPECT_EQ(selected("bytes=500-600,700-", 100), "none");
}

TEST(Range, asking_for_more_than_the_whole_gives_the_whole_once) {
    EXPECT_EQ(selected("bytes=0-,0-", 100), "0-99");
    EXPECT_EQ(selected("bytes=0-59,50-99", 100), "0-99");
    EXPECT_EQ(selected("bytes=0-49,50-99", 100), "0-49 50-99");
}

TEST(Range, blanks_and_empty_elements_of_the_list_are_ignored) {
    EXPECT_EQ(selected("  bytes=0-9  ", 100), "0-9");
    EXPECT_EQ(selected("bytes= 0-9 ,\t20-29", 100), "0-9 20-29");
    EXPECT_EQ(selected("bytes=,0-9,,", 100), "0-9");
    EXPECT_EQ(selected("BYTES=0-9", 100), "0-9");
}

TEST(Range, a_malformed_header_is_ignored) {
    for (const char* header :
         {"", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=--1", "bytes=9-0", "bytes=a-b",
          "bytes=0-9-", "bytes=+0-9", "bytes=0x0-9", "bytes=0 - 9", "bytes 0-9", "items=0-9",
          "bytes=0-9;10-19", "bytes=0-9,x", "bytes=1", "=0-9", "bytes==0-9"})
        EXPECT_EQ(selected(header, 100), "whole") << header;
}

TEST(Range, more_ranges_than_the_limit_are_refused) {
    std::string header = "bytes=0-0";
    for (size_t i = 1; i < kMaxRanges; ++i) header += fmt::format(",{}-{}", 2 * i, 2 * i);
    EXPECT_EQ(resolve(parse_range(header).value(), 10'000).size(), kMaxRanges);
    try {
        parse_range(header + ",9999-9999");
        ADD_FAILURE() << "not refused";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::request_invalid);
    }
}

TEST(Range, overlapping_ones_become_one_in_the_place_of_the_first) {
    EXPECT_EQ(selected("bytes=0-9,5-19", 100), "0-19");
    EXPECT_EQ(selected("bytes=50-59,0-9,5-19", 100), "50-59 0-19");
    EXPECT_EQ(selected("bytes=5-19,50-59,0-9", 100), "0-19 50-59");
    EXPECT_EQ(selected("bytes=20-29,0-9,9-20", 100), "0-29");
    EXPECT_EQ(selected("bytes=0-9,0-9", 100), "0-9");
    EXPECT_EQ(selected("bytes=0-30,10-12,20-22", 100), "0-30");
    EXPECT_EQ(selected("bytes=10-19,-5,0-3", 100), "10-19 95-99 0-3");
}

TEST(Range, that_touch_stay_the_parts_that_were_asked_for) {
    EXPECT_EQ(selected("bytes=0-9,10-19,20-29", 100), "0-9 10-19 20-29");
}

// 1024 times the whole, and 1024 times nearly nothing: never more bytes than the blob has.
TEST(Range, can_not_be_used_to_amplify) {
    std::string wholes = "bytes=0-", overlaps = "bytes=0-1";
    for (size_t i = 1; i < kMaxRanges; ++i) {
        wholes += ",0-";
        overlaps += fmt::format(",{}-{}", i, i + 1);
    }
    for (const auto& header : {wholes, overlaps}) {
        uint64_t sum = 0;
        for (const auto& range : resolve(parse_range(header).value(), 5000)) sum += range.length;
        EXPECT_LE(sum, 5000u);
    }
    EXPECT_EQ(resolve(parse_range(overlaps).value(), 5000).size(), 1u);
}

TEST(Range, content_range_names_both_ends_and_the_whole) {
    EXPECT_EQ(content_range({0, 10}, 100), "bytes 0-9/100");
    EXPECT_EQ(content_range({99, 1}, 100), "bytes 99-99/100");
    EXPECT_EQ(unsatisfied_range(100), "bytes */100");
}

}  // namespace
}  // namespace weir::http
