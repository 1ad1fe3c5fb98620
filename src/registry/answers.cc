#include "registry/answers.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "base/failure.h"
#include "base/random.h"
#include "base/redact.h"
#include "base/text.h"
#include "registry/blob_source.h"
#include "registry/errors.h"
#include "registry/fields.h"

namespace weir::registry {
namespace {

bool is_head(const http::Request& request) {
    return request.method == http::Method::head;
}

// The client has this very content.
bool unchanged(const http::Request& request, std::string_view digest) {
    const std::string_view known = request.field("If-None-Match");
    return !known.empty() && none_match_hits(known, digest);
}

http::Response not_modified(std::shared_ptr<const std::string> fields) {
    http::Response response(304);
    response.shared_fields = std::move(fields);
    return response;
}

http::Response unsatisfiable(const cache::BlobView& view) {
    Failure failure(Kind::range_invalid, fmt::format("no byte of the {} of this blob is in the "
                                                     "range",
                                                     view.size));
    failure.size = view.size;
    return error_response(std::make_exception_ptr(failure), 0);
}

http::Response multipart(const cache::BlobView& view, const std::string& fields,
                         std::vector<http::ByteRange> ranges) {
    auto source = std::make_unique<MultipartSource>(
        view, std::move(ranges),
        fmt::format("weir{:016x}{:016x}", system_random().next(), system_random().next()));
    http::Response response(206);
    response.fields = fields.substr(kOctetStreamLine.size());
    response.set("Content-Type", source->content_type());
    response.content_length = source->length();
    response.body = std::move(source);
    return response;
}

}  // namespace

http::Response ping_answer() {
    static const auto fields = std::make_shared<const std::string>(
        "Content-Type: application/json\r\n" + std::string(kApiVersionLine));
    static const auto body = std::make_shared<const std::string>("{}");
    http::Response response(200);
    response.shared_fields = fields;
    response.set_body(body);
    response.notes.route = "ping";
    return response;
}

http::Response manifest_answer(const http::Request& request, const cache::ManifestView& view,
                               std::shared_ptr<const std::string> fields) {
    http::Response response;
    if (unchanged(request, view.manifest->digest_text)) {
        response = not_modified(std::move(fields));
    } else {
        response.shared_fields = std::move(fields);
        response.content_length = view.manifest->size;
        // What is being sent holds the manifest, so that its bytes count while they are read
        // (cache/answers.h) and all who read them share them.
        if (const auto& bytes = view.manifest->bytes)
            response.body = std::shared_ptr<const std::string>(view.manifest, bytes.get());
    }
    response.notes.route = "manifest";
    response.notes.cache = cache::from_name(view.from);
    response.notes.upstream = view.upstream;
    return response;
}

std::vector<http::RangeSpec> asked_ranges(const http::Request& request, std::string_view digest) {
    if (is_head(request)) return {};  // RFC 9110 14.2: a Range means something to a GET only
    const std::string_view header = request.field("Range");
    if (header.empty()) return {};
    const std::string_view condition = request.field("If-Range");
    if (!condition.empty() && !if_range_holds(condition, digest)) return {};
    return http::parse_range(header).value_or(std::vector<http::RangeSpec>());
}

bool asks_for_more_than_all(const std::vector<http::RangeSpec>& asked, uint64_t size) {
    if (asked.size() < 2) return false;
    const auto ranges = http::resolve(asked, size);
    return ranges.size() == 1 && ranges.front().first == 0 && ranges.front().length == size;
}

http::Response blob_answer(const http::Request& request, const cache::BlobView& view,
                           std::shared_ptr<const std::string> fields,
                           const std::vector<http::RangeSpec>& asked) {
    http::Response response;
    std::vector<http::ByteRange> ranges;
    const bool whole = asked.empty() || asks_for_more_than_all(asked, view.size);
    if (!whole) ranges = http::resolve(asked, view.size);

    if (request.has("If-None-Match") && unchanged(request, view.digest.text())) {
        response = not_modified(std::move(fields));
    } else if (whole) {
        response.shared_fields = std::move(fields);
        response.content_length = view.size;
        if (view.size > 0 && !is_head(request))
            response.body = std::make_unique<BlobSource>(view.reader(0, view.size));
    } else if (ranges.empty()) {
        response = unsatisfiable(view);
    } else if (ranges.size() == 1) {
        response.status = 206;
        response.set("Content-Range", http::content_range(ranges.front(), view.size));
        response.shared_fields = std::move(fields);
        response.content_length = ranges.front().length;
        response.body =
            std::make_unique<BlobSource>(view.reader(ranges.front().first, ranges.front().length));
    } else {
        response = multipart(view, *fields, std::move(ranges));
    }
    response.notes.route = "blob";
    response.notes.cache = cache::from_name(view.from);
    response.notes.upstream = view.upstream;
    return response;
}

std::string query_for_upstream(std::string_view query) {
    std::string kept;
    for (const std::string_view pair : split(query, '&')) {
        const auto name = percent_decode(pair.substr(0, pair.find('=')));
        if (!name || *name == "ns" || names_secret(*name)) continue;
        if (!kept.empty()) kept += '&';
        kept += pair;
    }
    return kept;
}

std::string next_link_value(std::string_view path, std::string_view next_query,
                            std::string_view ns) {
    std::string query = query_for_upstream(next_query);
    std::erase_if(query, [](char c) {
        return static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f ||
               c == '<' || c == '>' || c == '"';
    });
    if (!ns.empty()) {
        if (!query.empty()) query += '&';
        query += "ns=" + percent_encode(ns);
    }
    return fmt::format("<{}?{}>; rel=\"next\"", path, query);
}

}  // namespace weir::registry
