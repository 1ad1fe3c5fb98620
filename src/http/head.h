// http/head.h: RFC 9112 sections 2 to 6, the head of a request. Pure; fuzzed.
//
// Strict where a lenient reader could disagree with another about where a request ends (request
// smuggling): bare LF, folded lines, blanks before a colon, NUL, repeated or listed Content-Length,
// Content-Length beside Transfer-Encoding, any coding but a single "chunked", no or several Host
// fields are all refused.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "http/message.h"

namespace weir::http {

struct HeadLimits {
    size_t max_head_bytes = 32 * 1024;
    size_t max_url_bytes = 8 * 1024;
    size_t max_fields = 128;
};

// Views point into the bytes that were parsed. Reused from request to request, so that it allocates
// once a connection.
struct Head {
    Method method = Method::other;
    std::string_view method_text, target, path, query, host;
    bool http10 = false;
    bool keep_alive = false;
    bool chunked = false;
    bool expect_continue = false;
    std::optional<uint64_t> content_length;
    std::vector<std::pair<std::string_view, std::string_view>> fields;
    size_t bytes = 0;    // of the head, empty line included: the body or the next request follows
    size_t scanned = 0;  // while incomplete: how far the search for the empty line has come

    void clear();
};

struct HeadError {
    int status = 400;
    const char* what = "";
};

enum class HeadState { incomplete, complete, invalid };

// `bytes` starts at the first byte of a request; call again with more after `incomplete` (the bytes
// may have moved), with the same Head, and clear() it for the next request. `incomplete` is never
// returned for max_head_bytes or more.
HeadState parse_head(std::string_view bytes, const HeadLimits&, Head&, HeadError&);

}  // namespace weir::http
