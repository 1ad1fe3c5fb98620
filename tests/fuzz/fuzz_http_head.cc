// The head of a request: the same however it is cut into pieces, views inside its bytes, and no two
// ways to frame a body.
#include <algorithm>
#include <string>

#include "fuzz/input.h"
#include "http/head.h"

using weir::check;
using weir::fuzz::inside;
using namespace weir::http;

namespace {

constexpr HeadLimits kLimits{.max_head_bytes = 2048, .max_url_bytes = 256, .max_fields = 16};

void verify(const Head& head, std::string_view bytes) {
    check(head.bytes > 0 && head.bytes <= bytes.size() && head.bytes <= kLimits.max_head_bytes,
          "a head is within its limit");
    const std::string_view own = bytes.substr(0, head.bytes);
    check(own.ends_with("\r\n\r\n"), "a head ends with an empty line");
    for (std::string_view part : {head.method_text, head.target, head.query, head.host})
        check(inside(part, own), "views lie within the head");
    check(inside(head.path, own) || head.path == "/", "so does the path, unless it is the root's");
    check(!head.method_text.empty() && !head.target.empty(), "there is a method and a target");
    check(head.target.size() <= kLimits.max_url_bytes, "a target is within its limit");
    check(head.fields.size() <= kLimits.max_fields, "fields are within their limit");
    check(!(head.chunked && head.content_length), "one framing");
    check(!(head.http10 && head.chunked), "HTTP/1.0 knows no chunks");
    for (const auto& [name, value] : head.fields) {
        check(inside(name, own) && inside(value, own), "fields lie within the head");
        check(!name.empty() && name.find_first_of(std::string_view(" \t\r\n:\0", 6)) == name.npos,
              "a name is a token");
        check(value.find_first_of(std::string_view("\r\n\0", 3)) == value.npos,
              "a value is one line");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto text = weir::fuzz::text_of(data, size);
    Head head;
    HeadError error;
    const HeadState state = parse_head(text, kLimits, head, error);
    if (state == HeadState::incomplete)
        check(size < kLimits.max_head_bytes, "a head that is too long is refused");
    if (state == HeadState::invalid)
        check(error.status >= 400 && error.status < 600, "a refusal has a status");
    if (state == HeadState::complete) verify(head, text);

    // In pieces, each at another address. An error may be told earlier, but never another outcome.
    Head pieces;
    HeadError later;
    HeadState last = HeadState::incomplete;
    const size_t step = 1 + size / 64;
    for (size_t end = 0; last == HeadState::incomplete; end += step) {
        const std::string copy(text.substr(0, std::min(end, size)));
        last = parse_head(copy, kLimits, pieces, later);
        if (last == HeadState::complete) {
            verify(pieces, copy);
            check(state == HeadState::complete && pieces.bytes == head.bytes,
                  "the same head in pieces");
            check(pieces.fields.size() == head.fields.size(), "the same fields in pieces");
        }
        if (end >= size) break;
    }
    check(last == state, "the same outcome in pieces");
    return 0;
}
