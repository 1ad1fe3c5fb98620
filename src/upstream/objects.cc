// Manifests, the size of a blob, and lists: one attempt at one mirror each.
#include <fmt/format.h>

#include "base/text.h"
#include "crypto/hasher.h"
#include "oci/link.h"
#include "oci/manifest.h"
#include "oci/media_type.h"
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

// A "no" to a HEAD that the GET has to repeat: where a HEAD is not known, it is answered with an
// odd 4xx or a length that is none. A 404 is an answer (RFC 9110 section 9.3.2): what is missing
// costs one request.
bool get_decides(const Asked& asked) {
    return lacks_method(asked.status) || asked.outcome == Outcome::rejected ||
           asked.reply.end == client::End::protocol;
}

// Collects a manifest and sums it while it comes, on the transfer thread: by the digest that was
// asked for, or by the one that the answer claims.
class ManifestSink : public client::TextSink {
public:
    explicit ManifestSink(std::optional<oci::Digest> wanted) : wanted_(wanted) {}
    client::BodyAction on_head(const client::ReplyHead& head) override {
        claimed_ = oci::Digest::parse(head.fields.get("Docker-Content-Digest"));
        text.clear();
        hasher_.reset();
        if (const auto& name = wanted_ ? wanted_ : claimed_) hasher_.emplace(name->algorithm());
        return client::BodyAction::go_on;
    }
    client::BodyAction on_data(std::span<const std::byte> data) override {
        if (hasher_) hasher_->update(data);
        return TextSink::on_data(data);
    }
    // What came is what was asked for, and what it claims to be.
    bool is_right() const {
        if (!hasher_) return true;
        const oci::Digest sum = hasher_->digest();
        const bool as_claimed =
            !claimed_ || claimed_->algorithm() != sum.algorithm() || *claimed_ == sum;
        return as_claimed && (!wanted_ || *wanted_ == sum);
    }

private:
    const std::optional<oci::Digest> wanted_;
    std::optional<oci::Digest> claimed_;
    std::optional<crypto::Hasher> hasher_;
};

ManifestAnswer manifest_of(const Asked& asked) {
    ManifestAnswer answer;
    take(answer, asked);
    if (answer.outcome != Outcome::ok) return answer;
    const auto& fields = asked.reply.head.fields;
    answer.media_type = oci::media_type_without_parameters(fields.get("Content-Type"));
    answer.digest = oci::Digest::parse(fields.get("Docker-Content-Digest"));
    if (is_web_page(answer.media_type)) {
        answer.outcome = Outcome::failed;
        answer.detail = fmt::format("{} answers with a web page", asked.host);
    }
    return answer;
}

// What a HEAD tells; nullopt when it leaves out, or plays down, what a GET would tell: digest,
// length and a type that only manifests have. An absent field has no value, and a length of 0 is
// none.
std::optional<ManifestAnswer> told_by_head(const Asked& asked, const oci::Reference& reference,
                                           uint64_t max_bytes) {
    ManifestAnswer answer = manifest_of(asked);
    if (answer.outcome != Outcome::ok) return answer;
    const auto& length = asked.reply.head.content_length;
    const bool fits = length && *length > 0 && *length <= max_bytes;
    const bool named =
        answer.digest && (!reference.is_digest() || *answer.digest == reference.digest());
    if (!fits || !named || !oci::known_manifest_type(answer.media_type)) return std::nullopt;
    answer.size = *length;
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

bool is_of_nothing(const oci::Digest& digest) {
    return digest == crypto::digest_of(digest.algorithm(), "");
}

// A blob's size as an answer to HEAD, or to GET of its first byte, tells it; nullopt when it does
// not.
std::optional<uint64_t> size_told(const Asked& asked, const oci::Digest& digest) {
    const auto range = ContentRange::parse(asked.reply.head.fields.get("Content-Range"));
    auto size = asked.reply.head.content_length;
    if (asked.status == 206 || asked.status == 416) size = range ? range->whole : std::nullopt;
    if (size == 0 && !is_of_nothing(digest)) return std::nullopt;
    return size;
}

// The list without a limit on its pages; nullopt when there is none in the query.
std::optional<std::string> without_page_size(std::string_view query) {
    std::string kept;
    bool found = false;
    for (const auto part : split(query, '&')) {
        if (part == "n" || part.starts_with("n=")) {
            found = true;
            continue;
        }
        if (!kept.empty()) kept += '&';
        kept += part;
    }
    return found ? std::optional(kept) : std::nullopt;
}

}  // namespace

Task<ManifestAnswer> Upstream::Impl::manifest_at(std::shared_ptr<Site> site, std::string repository,
                                                 oci::Reference reference, bool head,
                                                 std::string accept, TimePoint deadline) {
    const auto leash = std::make_shared<client::Leash>();
    const Curfew curfew(leash, deadline);
    Request request;
    request.path = fmt::format("{}/manifests/{}", repository, reference.text());
    request.fields.emplace_back("Accept", oci::accept_manifests(accept));
    request.repository = std::move(repository);
    request.purpose = Purpose::manifest;
    request.max_body_bytes = options.max_manifest_bytes;
    if (head && options.use_head) {
        request.method = "HEAD";
        const Asked asked = co_await ask(site, request, nullptr, leash, deadline);
        auto answer = told_by_head(asked, reference, options.max_manifest_bytes);
        if (answer && !get_decides(asked)) co_return *std::move(answer);
        request.method = "GET";
    }
    std::optional<oci::Digest> wanted;
    if (reference.is_digest()) wanted = reference.digest();
    const auto sink = std::make_shared<ManifestSink>(wanted);
    const Asked asked = co_await ask(site, std::move(request), sink, leash, deadline);
    ManifestAnswer answer = manifest_of(asked);
    if (answer.outcome != Outcome::ok) co_return answer;
    // A schema 1 manifest has another digest than its bytes: why it can't be served is said of
    // those.
    const bool signed_inside = answer.media_type.starts_with(oci::kSchema1Prefix);
    if (!sink->is_right() && !signed_inside) {
        answer.outcome = Outcome::failed;
        answer.detail =
            fmt::format("{} sent a manifest that is not {}", asked.host, reference.text());
        co_return answer;
    }
    answer.bytes = std::move(sink->text);
    answer.size = answer.bytes.size();
    co_return answer;
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
    if (answer.outcome == Outcome::ok) {
        answer.size = size_told(asked, digest);
        if (answer.size) co_return answer;
    }
    // A signed CDN address may be good for GET alone, and some answers to HEAD have no length.
    const bool signed_for_get = !asked.same_origin && (asked.status == 403 || asked.status == 400);
    if (answer.outcome != Outcome::ok && !get_decides(asked) && !signed_for_get) co_return answer;
    const bool is_there = answer.outcome == Outcome::ok;
    request.method = "GET";
    Request part = request;
    part.fields.emplace_back("Range", "bytes=0-0");
    asked = co_await ask(site, std::move(part), std::make_shared<HeadSink>(), leash, deadline);
    if (refuses_range(asked.status, asked.same_origin) && !size_told(asked, digest))
        asked =
            co_await ask(site, std::move(request), std::make_shared<HeadSink>(), leash, deadline);
    const auto size = size_told(asked, digest);
    if (asked.status == 416 && (size || is_there)) asked.outcome = Outcome::ok;
    // The HEAD said that it is there: that the GET does not tell more takes nothing away.
    if (is_there && asked.outcome != Outcome::ok && asked.outcome != Outcome::not_found)
        co_return answer;
    take(answer, asked);
    if (answer.outcome == Outcome::ok) {
        answer.size = size;
        answer.detail.clear();
    }
    co_return answer;
}

Task<ListAnswer> Upstream::Impl::list_at(std::shared_ptr<Site> site, std::string repository,
                                         ListKind kind, std::string reference, std::string query,
                                         TimePoint deadline) {
    const auto leash = std::make_shared<client::Leash>();
    const Curfew curfew(leash, deadline);
    const bool referrers = kind == ListKind::referrers;
    Request request;
    const std::string path = referrers ? fmt::format("{}/referrers/{}", repository, reference)
                                       : fmt::format("{}/tags/list", repository);
    const auto with = [&](const std::string& q) { return q.empty() ? path : path + "?" + q; };
    request.path = with(query);
    request.fields.emplace_back("Accept", referrers ? oci::kOciIndex : "application/json");
    request.repository = std::move(repository);
    request.purpose = Purpose::list;
    request.max_body_bytes = options.max_list_bytes;
    auto sink = std::make_shared<client::TextSink>();
    Asked asked = co_await ask(site, request, sink, leash, deadline);
    if (const auto all = without_page_size(query); all && asked.outcome == Outcome::rejected) {
        // Too large a page, or none that it understands: it may choose.
        request.path = with(*all);
        sink = std::make_shared<client::TextSink>();
        asked = co_await ask(site, std::move(request), sink, leash, deadline);
    }
    ListAnswer answer;
    take(answer, asked);
    // The API is missing, or led away to what is none: the caller falls back.
    const bool no_api = lacks_method(asked.status) ||
                        (asked.outcome == Outcome::rejected && asked.status != 410) ||
                        (asked.elsewhere && asked.status != 0);
    if (referrers && answer.outcome != Outcome::ok && no_api) answer.outcome = Outcome::not_found;
    if (answer.outcome != Outcome::ok) co_return answer;
    const auto& fields = asked.reply.head.fields;
    answer.content_type = oci::media_type_without_parameters(fields.get("Content-Type"));
    if (is_web_page(answer.content_type)) {
        answer.outcome = referrers ? Outcome::not_found : Outcome::failed;
        answer.detail = fmt::format("{} answers with a web page", asked.host);
        co_return answer;
    }
    answer.body = std::move(sink->text);
    for (const auto header : fields.all("Link"))
        if (const auto next = oci::next_link(header)) answer.next_query = oci::link_query(*next);
    answer.filters_applied = fields.has("OCI-Filters-Applied");
    co_return answer;
}

}  // namespace weir::upstream
