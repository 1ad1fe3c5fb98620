#include "base/failure.h"

#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "base/log.h"

namespace weir {

const char* kind_name(Kind kind) {
    switch (kind) {
        case Kind::name_invalid:
            return "name_invalid";
        case Kind::tag_invalid:
            return "tag_invalid";
        case Kind::digest_invalid:
            return "digest_invalid";
        case Kind::manifest_invalid:
            return "manifest_invalid";
        case Kind::name_unknown:
            return "name_unknown";
        case Kind::manifest_unknown:
            return "manifest_unknown";
        case Kind::blob_unknown:
            return "blob_unknown";
        case Kind::unauthorized:
            return "unauthorized";
        case Kind::denied:
            return "denied";
        case Kind::unsupported:
            return "unsupported";
        case Kind::request_invalid:
            return "request_invalid";
        case Kind::too_large:
            return "too_large";
        case Kind::range_invalid:
            return "range_invalid";
        case Kind::too_many:
            return "too_many";
        case Kind::upstream_unreachable:
            return "upstream_unreachable";
        case Kind::upstream_bad:
            return "upstream_bad";
        case Kind::upstream_timeout:
            return "upstream_timeout";
        case Kind::upstream_refused:
            return "upstream_refused";
        case Kind::upstream_denied:
            return "upstream_denied";
        case Kind::upstream_rejected:
            return "upstream_rejected";
        case Kind::target_forbidden:
            return "target_forbidden";
        case Kind::no_space:
            return "no_space";
        case Kind::overloaded:
            return "overloaded";
        case Kind::draining:
            return "draining";
        case Kind::cancelled:
            return "cancelled";
        case Kind::config_invalid:
            return "config_invalid";
        case Kind::io:
            return "io";
        case Kind::internal:
            return "internal";
    }
    return "internal";
}

void check_failed(const char* what, std::source_location where) {
    std::fprintf(stderr, "weir: check failed: %s (%s:%u, %s)\n", what, where.file_name(),
                 static_cast<unsigned>(where.line()), where.function_name());
    log::flush();
    std::abort();
}

}  // namespace weir
