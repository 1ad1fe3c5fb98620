// Manifests, the size of a blob, and lists: one attempt at one mirror each.
#include <fmt/format.h>

#include "base/text.h"
#include "oci/link.h"
#include "oci/manifest.h"
#include "upstream/content_range.h"
#include "upstream/curfew.h"
#include "upstream/impl.h"

namespace weir::upstream {
namespace {

// A portal's or proxy's page in place of what was asked for.
bool is_web_page(std::string_view media_type) {
    return iequals(media_type, "text/html");
}

// The mirror lacks the method, not the object.
bool lacks_method(int status) {
    return status == 405 || status == 501;
}

ManifestAnswer manifest_of(const Asked& asked, std::string bytes, bool head) {
    ManifestAnswer answer;
    take(answer, asked);
    if (answer.outcome != Outcome::ok) return answer;
    const auto& fields = asked.reply.head.fields;
    answer.media_type = oci::media_type_without_parameters(fields.get("Content-Type"));
    answer.digest = oci::Digest::parse(fields.get("Docker-Content-Digest"));
    answer.size = head ? asked.reply.head.content_length.value_or(0) : bytes.size();
    answer.bytes = std::move(bytes);
    if (is_web_page(answer.media_type)) {
        answer.outcome = Outcome::failed;
        answer.detail = fmt::format("{} answers with a web page", answer.mirror);
    }
    return answer;
}

// Stops a body that is not wanted once its head is known.
class HeadSink : public client::Sink {
public:
    client::BodyAction on_head(const client::ReplyHead&) override {
        return client::BodyAction::stop;
    }
    client::BodyAction on_data(std::span<const std::byte>) override {
        return client::BodyAction::stop;
    }
};

}  // namespace

Task<ManifestAnswer> Upstream::Impl::manifest_at(std::shared_ptr<Site> site, std::string repository,
                                                 oci::Reference reference, bool head,
                                                 TimePoint deadline) {
    const auto leash = std::make_shared<client::Leash>();
    const Curfew curfew(leash, deadline);
    Request request;
    request.path = fmt::format("{}/manifests/{}", repository, reference.text());
    request.fields.emplace_back("Accept", oci::kAcceptAllManifests);
    request.repository = std::move(repository);
    request.purpose = Purpose::manifest;
    request.max_body_bytes = options.max_manifest_bytes;
    if (head && options.use_head) {
        request.method = "HEAD";
        const Asked asked = co_await ask(site, request, nullptr, leash, deadline);
        ManifestAnswer answer = manifest_of(asked, {}, true);
        const bool whole = answer.digest && !answer.media_type.empty();
        if (answer.outcome == Outcome::ok ? whole : !lacks_method(asked.status())) co_return answer;
        request.method = "GET";  // ECR and others leave the digest out of a HEAD's answer
    }
    const auto sink = std::make_shared<client::TextSink>();
    const Asked asked = co_await ask(site, std::move(request), sink, leash, deadline);
    co_return manifest_of(asked, std::move(sink->text), false);
}

Task<BlobHeadAnswer> Upstream::Impl::blob_head_at(std::shared_ptr<Site> site,
                                                  std::string repository, oci::Digest digest,
                                                  TimePoint deadline) {
    const auto leash = std::make_shared<client::Leash>();
    const Curfew curfew(leash, deadline);
    Request request;
    request.method = "HEAD";
    request.path = fmt::format("{}/blobs/{}", repository, digest.text());
    request.repository = std::move(repository);
    request.purpose = Purpose::blob;
    Asked asked = co_await ask(site, request, nullptr, leash, deadline);
    BlobHeadAnswer answer;
    take(answer, asked);
    const auto& length = asked.reply.head.content_length;
    if (answer.outcome == Outcome::ok && length) {
        answer.size = *length;
        co_return answer;
    }
    // A signed CDN address may be good for GET alone, and some answers to HEAD have no length.
    const bool signed_for_get =
        !asked.same_origin && (asked.status() == 403 || asked.status() == 400);
    if (answer.outcome != Outcome::ok && !lacks_method(asked.status()) && !signed_for_get)
        co_return answer;
    request.method = "GET";
    Request part = request;
    part.fields.emplace_back("Range", "bytes=0-0");
    asked = co_await ask(site, std::move(part), std::make_shared<HeadSink>(), leash, deadline);
    if (refuses_range(asked.status(), asked.same_origin) && size_told(asked.reply.head) != 0)
        asked =
            co_await ask(site, std::move(request), std::make_shared<HeadSink>(), leash, deadline);
    take(answer, asked);
    const auto range = ContentRange::parse(asked.reply.head.fields.get("Content-Range"));
    if (asked.status() == 416 && range && range->whole == 0) {
        answer.outcome = Outcome::ok;  // an empty blob
        answer.detail.clear();
        co_return answer;
    }
    if (answer.outcome != Outcome::ok) co_return answer;
    const bool partial = asked.status() == 206;
    const auto size =
        partial ? (range ? range->whole : std::nullopt) : asked.reply.head.content_length;
    if (!size) {
        answer.outcome = Outcome::failed;
        answer.detail = fmt::format("{} does not tell the blob's size", answer.mirror);
    }
    answer.size = size.value_or(0);
    co_return answer;
}

Task<ListAnswer> Upstream::Impl::list_at(std::shared_ptr<Site> site, std::string repository,
                                         ListKind kind, std::string reference, std::string query,
                                         TimePoint deadline) {
    const auto leash = std::make_shared<client::Leash>();
    const Curfew curfew(leash, deadline);
    const bool referrers = kind == ListKind::referrers;
    Request request;
    request.path = referrers ? fmt::format("{}/referrers/{}", repository, reference)
                             : fmt::format("{}/tags/list", repository);
    if (!query.empty()) request.path += "?" + query;
    request.fields.emplace_back("Accept", referrers ? oci::kOciIndex : "application/json");
    request.repository = std::move(repository);
    request.purpose = Purpose::list;
    request.max_body_bytes = options.max_list_bytes;
    const auto sink = std::make_shared<client::TextSink>();
    const Asked asked = co_await ask(site, std::move(request), sink, leash, deadline);
    ListAnswer answer;
    take(answer, asked);
    if (referrers && lacks_method(asked.status())) answer.outcome = Outcome::not_found;
    if (answer.outcome != Outcome::ok) co_return answer;
    const auto& fields = asked.reply.head.fields;
    answer.content_type = oci::media_type_without_parameters(fields.get("Content-Type"));
    if (is_web_page(answer.content_type)) {
        answer.outcome = referrers ? Outcome::not_found : Outcome::failed;
        answer.detail = fmt::format("{} answers with a web page", answer.mirror);
        co_return answer;
    }
    answer.body = std::move(sink->text);
    for (const auto header : fields.all("Link"))
        if (const auto next = oci::next_link(header)) answer.next_query = oci::link_query(*next);
    answer.filters_applied = fields.has("OCI-Filters-Applied");
    co_return answer;
}

}  // namespace weir::upstream
