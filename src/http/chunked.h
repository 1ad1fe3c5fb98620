// http/chunked.h: RFC 9112 section 7.1, the chunked transfer coding of a request body. Pure;
// fuzzed.
//
// Extensions are skipped and trailers dropped, both within a limit. Bare LF and sizes beyond 63
// bits are refused.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::http {

// Bytes of size lines, extensions and trailers that a body may have for each chunk and for its end.
inline constexpr size_t kMaxChunkLineBytes = 1024;
inline constexpr size_t kMaxTrailerBytes = 8 * 1024;

class ChunkDecoder {
public:
    enum class State { more, done, broken };
    struct Step {
        State state = State::more;
        size_t used = 0;        // bytes of the input that are finished with, `data` included
        std::string_view data;  // a view into the input; may be empty
    };
    // One run of data, or as far as the input goes. After `done`, what follows `used` is the next
    // request.
    Step decode(std::string_view input);

private:
    enum class At { size, size_digits, extension, size_lf, data, data_cr, data_lf, trailer };
    bool line_byte(char c);
    bool size_byte(char c);
    bool trailer_byte(char c);

    At at_ = At::size;
    uint64_t left_ = 0;
    size_t line_bytes_ = 0;
    bool trailer_line_empty_ = true;
    bool after_cr_ = false;
    bool done_ = false;
};

}  // namespace weir::http
