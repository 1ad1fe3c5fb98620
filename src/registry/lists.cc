// The answers that are lists: tags, referrers, the catalog.
#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/failure.h"
#include "base/text.h"
#include "oci/link.h"
#include "oci/manifest.h"
#include "registry/answers.h"
#include "registry/fields.h"
#include "registry/registry.h"

namespace weir::registry {
namespace {

// A list up to this size is sent as one text of its own, a larger one in pieces that are shared.
constexpr size_t kOneTextBytes = 16 * 1024;

// `head`, a piece of a text that others send too, `tail`.
class SharedPieces : public http::Source {
public:
    SharedPieces(std::string head, cache::ListView view, std::string_view tail)
        : head_(std::move(head)), view_(std::move(view)), tail_(tail) {}

    Task<std::optional<http::Piece>> next(uint64_t max) override {
        size_t at = given_;
        for (const std::string_view piece : {std::string_view(head_), view_.text(), tail_}) {
            if (at >= piece.size()) {
                at -= piece.size();
                continue;
            }
            const auto part = piece.substr(at, max);
            given_ += part.size();
            co_return http::Piece(std::as_bytes(std::span(part)));
        }
        co_return std::nullopt;
    }

private:
    const std::string head_;
    const cache::ListView view_;
    const std::string_view tail_;
    size_t given_ = 0;  // of all three
};

http::Response list_answer(const char* route, std::string_view content_type) {
    http::Response response;
    response.set("Content-Type", content_type);
    response.fields += kApiVersionLine;
    response.notes.route = route;
    return response;
}

// The body is `head`, the page, "]}".
void set_list(http::Response& response, std::string head, cache::ListView view) {
    constexpr std::string_view kTail = "]}";
    const size_t size = head.size() + view.length + kTail.size();
    if (size <= kOneTextBytes) {
        head.append(view.text()).append(kTail);
        response.set_body(std::make_shared<const std::string>(std::move(head)));
        return;
    }
    response.content_length = size;
    response.body = std::make_unique<SharedPieces>(std::move(head), std::move(view), kTail);
}

// A Link leads to where the client came from.
std::string base_of(const Route& route) {
    return route.before.empty() ? "/v2/" : "/" + std::string(route.before) + "/v2/";
}

// What the answers from an upstream's list have in common.
void describe(http::Response& response, const cache::ListView& view, const cache::Target& target,
              std::string_view path, std::string_view ns) {
    response.set("X-Cache", cache::from_name(view.from));
    if (view.stale) response.set("Warning", "299 - \"stale: the upstream does not answer\"");
    if (!view.next_query.empty()) response.set("Link", next_link_value(path, view.next_query, ns));
    if (!ns.empty()) response.set("OCI-Namespace", one_line(ns));
    response.notes.cache = cache::from_name(view.from);
    response.notes.upstream = target.upstream_name;
}

}  // namespace

// GET /v2/<name>/tags/list   (distribution-spec 1.1, "Listing Tags")
Task<http::Response> Registry::tags(http::Request& request, const Asked& asked) {
    const std::string name(asked.route.name);
    auto view = co_await cache_.tags(asked.target, query_for_upstream(request.query));
    auto response = list_answer("tags", "application/json");
    describe(response, view, *asked.target, base_of(asked.route) + name + "/tags/list", asked.ns);
    // A valid name needs no escapes.
    set_list(response, R"({"name":")" + name + R"(","tags":[)", std::move(view));
    co_return response;
}

// GET /v2/<name>/referrers/<digest>   (distribution-spec 1.1, "Listing Referrers")
Task<http::Response> Registry::referrers(http::Request& request, const Asked& asked) {
    const auto digest = oci::Digest::parse(asked.route.reference);
    if (!digest) throw Failure(Kind::digest_invalid, "not a sha256 or sha512 digest");
    const std::string path =
        base_of(asked.route) + std::string(asked.route.name) + "/referrers/" + digest->text();
    auto view = co_await cache_.referrers(asked.target, *digest, query_for_upstream(request.query));
    auto response = list_answer("referrers", oci::kOciIndex);
    if (view.filters_applied) response.set("OCI-Filters-Applied", "artifactType");
    describe(response, view, *asked.target, path, asked.ns);
    set_list(response, oci::index_head(), std::move(view));
    co_return response;
}

// GET /v2/_catalog: what is cached here, under local names.
Task<http::Response> Registry::catalog(http::Request& request) {
    if (!here().targets->config().catalog)
        throw Failure(Kind::name_unknown, "the catalog is switched off (weir.catalog)");
    size_t limit = kMaxCatalogEntries;
    if (const auto given = oci::query_parameter(request.query, "n")) {
        const auto number = parse_u64(*given);
        if (!number) throw Failure(Kind::request_invalid, "n is not a number");
        limit = static_cast<size_t>(std::min<uint64_t>(*number, kMaxCatalogEntries));
    }
    const auto last = oci::query_parameter(request.query, "last").value_or(std::string());
    std::vector<std::string> names;
    if (limit > 0) names = co_await cache_.catalog(last, limit + 1);
    const bool more = names.size() > limit;
    if (more) names.resize(limit);
    auto response = list_answer("catalog", "application/json");
    response.set_body(std::make_shared<const std::string>(oci::catalog_body(names)));
    if (more)
        response.set("Link", next_link_value("/v2/_catalog",
                                             "n=" + std::to_string(limit) +
                                                 "&last=" + percent_encode(names.back()),
                                             {}));
    co_return response;
}

}  // namespace weir::registry
