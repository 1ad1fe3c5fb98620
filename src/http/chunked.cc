#include "http/chunked.h"

#include <algorithm>

namespace weir::http {
namespace {
int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}
bool is_line_text(char c) {
    const auto u = static_cast<unsigned char>(c);
    return c == '\t' || (u >= 0x20 && u != 0x7f);
}
}  // namespace

// chunk-size [chunk-ext] CRLF
bool ChunkDecoder::size_byte(char c) {
    if (++line_bytes_ > kMaxChunkLineBytes) return false;
    switch (at_) {
        case At::size:
        case At::size_digits:
            if (const int digit = hex_digit(c); digit >= 0) {
                if (left_ >> 59 != 0) return false;
                left_ = left_ << 4 | static_cast<uint64_t>(digit);
                at_ = At::size_digits;
                return true;
            }
            if (at_ == At::size) return false;
            at_ = c == '\r' ? At::size_lf : At::extension;
            return c == '\r' || c == ';' || c == ' ' || c == '\t';
        case At::extension:
            if (c == '\r') at_ = At::size_lf;
            return c == '\r' || is_line_text(c);
        default:  // size_lf
            if (c != '\n') return false;
            at_ = left_ > 0 ? At::data : At::trailer;
            line_bytes_ = 0;
            return true;
    }
}

// *(field-line CRLF) CRLF
bool ChunkDecoder::trailer_byte(char c) {
    if (++line_bytes_ > kMaxTrailerBytes) return false;
    if (after_cr_) {
        after_cr_ = false;
        if (c != '\n') return false;
        done_ = trailer_line_empty_;
        trailer_line_empty_ = true;
        return true;
    }
    if (c == '\r') {
        after_cr_ = true;
        return true;
    }
    trailer_line_empty_ = false;
    return is_line_text(c);
}

bool ChunkDecoder::line_byte(char c) {
    switch (at_) {
        case At::data_cr:
            at_ = At::data_lf;
            return c == '\r';
        case At::data_lf:
            at_ = At::size;
            return c == '\n';
        case At::trailer:
            return trailer_byte(c);
        default:
            return size_byte(c);
    }
}

ChunkDecoder::Step ChunkDecoder::decode(std::string_view input) {
    Step step;
    while (step.used < input.size() && !done_) {
        if (at_ == At::data) {
            const auto length = std::min<uint64_t>(left_, input.size() - step.used);
            step.data = input.substr(step.used, length);
            step.used += length;
            left_ -= length;
            if (left_ == 0) at_ = At::data_cr;
            return step;
        }
        if (!line_byte(input[step.used++])) {
            step.state = State::broken;
            return step;
        }
    }
    if (done_) step.state = State::done;
    return step;
}

}  // namespace weir::http
