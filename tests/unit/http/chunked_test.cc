// RFC 9112 section 7.1.
#include "http/chunked.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace weir::http {
namespace {

struct Decoded {
    std::string data;
    size_t used = 0;
    bool operator==(const Decoded&) const = default;
};

// Fed `step` bytes at a time; nullopt when it is broken, or not complete.
std::optional<Decoded> decode(std::string_view text, size_t step = SIZE_MAX) {
    ChunkDecoder decoder;
    Decoded out;
    while (out.used < text.size()) {
        auto input = text.substr(out.used, step);
        while (!input.empty()) {
            const auto result = decoder.decode(input);
            out.data += result.data;
            out.used += result.used;
            input.remove_prefix(result.used);
            if (result.state == ChunkDecoder::State::broken) return std::nullopt;
            if (result.state == ChunkDecoder::State::done) return out;
        }
    }
    return std::nullopt;
}

TEST(Chunked, joins_the_chunks_and_stops_at_the_end) {
    const std::string text = "5\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\n\r\nGET /";
    const auto out = decode(text);
    ASSERT_TRUE(out);
    EXPECT_EQ(out->data, "hello 0123456789");
    EXPECT_EQ(text.substr(out->used), "GET /");
}

TEST(Chunked, pieces_of_any_size_give_the_same) {
    const std::string text =
        "4;name=\"va lue\"\r\nwiki\r\n0005\r\npedia\r\n0;last\r\nTrailer: x\r\nB: y\r\n\r\nrest";
    const auto whole = decode(text);
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->data, "wikipedia");
    for (size_t step = 1; step < 20; ++step) EXPECT_EQ(decode(text, step), whole) << step;
}

TEST(Chunked, data_may_look_like_framing) {
    const auto out = decode("7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n");
    ASSERT_TRUE(out);
    EXPECT_EQ(out->data, "0\r\n\r\n\r\n");
}

TEST(Chunked, refuses_what_two_readers_could_read_differently) {
    for (const char* text :
         {"\r\n", "x\r\n", "-1\r\na\r\n", "+1\r\na\r\n", "0x1\r\na\r\n", " 1\r\na\r\n",
          "1\na\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\r\nab\r\n0\r\n\r\n", "1\r\na0\r\n\r\n",
          "1\ra\r\n", "1\r\r\n", "1;a\nb\r\na\r\n0\r\n\r\n", "0\r\n\n", "0\r\nX: y\n\r\n",
          "0\r\n\rX\r\n", "10000000000000000\r\n", "ffffffffffffffff\r\n", "1;\x01\r\na\r\n"})
        EXPECT_FALSE(decode(text)) << text;
}

TEST(Chunked, size_lines_and_trailers_are_bounded) {
    EXPECT_TRUE(decode("1;" + std::string(500, 'x') + "\r\na\r\n0\r\n\r\n"));
    EXPECT_FALSE(decode("1;" + std::string(kMaxChunkLineBytes, 'x') + "\r\na\r\n0\r\n\r\n"));
    EXPECT_FALSE(decode("0\r\nX: " + std::string(kMaxTrailerBytes, 'x') + "\r\n\r\n"));
}

}  // namespace
}  // namespace weir::http
