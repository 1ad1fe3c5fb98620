#include "registry/registry.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "base/failure.h"
#include "base/metrics.h"
#include "base/text.h"
#include "cache/lookup.h"
#include "oci/link.h"
#include "oci/manifest.h"
#include "oci/media_type.h"
#include "registry/answers.h"
#include "registry/errors.h"

namespace weir::registry {
namespace {

bool reads(const http::Request& request) {
    return request.method == http::Method::get || request.method == http::Method::head;
}

// The name that the client came to: the Host field, else what TLS was told.
std::string_view host_of(const http::Request& request) {
    return request.host.empty() ? request.sni : request.host;
}

oci::Digest digest_or_fail(std::string_view text) {
    if (const auto digest = oci::Digest::parse(text)) return *digest;
    throw Failure(Kind::digest_invalid,
                  fmt::format("\"{}\" is not a sha256 or sha512 digest", text));
}

bool short_enough(const PairKeyView& key) {
    return key.first.size() + key.second.size() <= kMaxMemoKeyBytes;
}

// What a memo of an answer points to: names, and the field lines (fields.h) of one answer.
uint64_t held_bytes(std::string_view ns, std::string_view reference) {
    constexpr uint64_t kFieldLinesBytes = 640 + oci::kMaxMediaTypeBytes;
    return kFieldLinesBytes + 2 * ns.size() + reference.size();
}

// What looks like a digest must be one; anything else must be a tag.
oci::Reference reference_or_fail(std::string_view text) {
    if (text.find(':') != std::string_view::npos) return oci::Reference(digest_or_fail(text));
    if (!oci::valid_tag(text))
        throw Failure(Kind::tag_invalid, fmt::format("\"{}\" is not a valid tag", text));
    return oci::Reference(std::string(text));
}

// What a failed look-up says of the cache: it knew, or somebody was asked.
const char* cache_state(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const cache::NegativeHit&) {
        return cache::from_name(cache::From::negative);
    } catch (const Failure& failure) {
        switch (failure.kind()) {
            case Kind::manifest_unknown:
            case Kind::blob_unknown:
            case Kind::too_many:
            case Kind::upstream_unreachable:
            case Kind::upstream_bad:
            case Kind::upstream_timeout:
            case Kind::upstream_refused:
            case Kind::upstream_denied:
            case Kind::upstream_rejected:
            case Kind::target_forbidden:
                return cache::from_name(cache::From::miss);
            default:
                return "";
        }
    } catch (...) {
        return "";
    }
}

Paths paths_of(const Targets& targets) {
    return targets.config().tolerant_paths ? Paths::tolerant : Paths::strict;
}

// What a repository's meaning depends on besides its name. No two can be mistaken for each other: a
// host and a path hold no blank, and what ns holds comes last.
std::string first_key(const http::Request& request, const Route& route, std::string_view ns) {
    std::string key(host_of(request));
    if (!route.before.empty()) key.append(" /").append(route.before);
    if (route.escaped) key.append(" %");
    if (!ns.empty()) key.append(" ?").append(ns);
    return key;
}

// The repository was asked and has no such thing.
bool is_absence(Kind kind) {
    return kind == Kind::manifest_unknown || kind == Kind::blob_unknown ||
           kind == Kind::name_unknown;
}

// The target of a request whose client names manifest types that weir does not know.
cache::TargetPtr with_accepted(const cache::TargetPtr& target, const http::Request& request) {
    std::string accept;
    for (const auto& [name, value] : request.fields)
        if (iequals(name, "Accept"))
            accept += fmt::format("{}{}", accept.empty() ? "" : ",", value);
    auto types = oci::more_manifest_types(accept);
    if (types.empty()) return target;
    auto with_types = std::make_shared<cache::Target>(*target);
    with_types->accept = std::move(types);
    return with_types;
}

std::vector<cache::WantedRange> wanted(const std::vector<http::RangeSpec>& specs) {
    std::vector<cache::WantedRange> ranges;
    ranges.reserve(specs.size());
    for (const auto& spec : specs) ranges.push_back({.first = spec.first, .last = spec.last});
    return ranges;
}

}  // namespace

Registry::Registry(log::Format access_format, const std::vector<Loop*>& loops, cache::Cache& cache,
                   std::shared_ptr<const Targets> targets, uint64_t memo_bytes)
    : cache_(cache), targets_(std::move(targets)) {
    for (Loop* loop : loops)
        places_.push_back(std::make_unique<Place>(*loop, access_format, memo_bytes / loops.size()));
}

Registry::~Registry() = default;

void Registry::set_targets(std::shared_ptr<const Targets> targets) {
    std::lock_guard lock(mutex_);
    targets_ = std::move(targets);
    generation_.fetch_add(1, std::memory_order_release);
}

void Registry::flush() {
    for (auto& place : places_) place->access.flush();
}

Registry::Place& Registry::here() {
    const Loop* loop = &Loop::current();
    for (auto& place : places_) {
        if (place->loop != loop) continue;
        if (place->generation != generation_.load(std::memory_order_acquire)) {
            std::lock_guard lock(mutex_);
            place->generation = generation_.load(std::memory_order_relaxed);
            place->targets = targets_;
            place->hot.clear();
            place->resolved.clear();
            gauge_memos(*place);
        }
        return *place;
    }
    check(false, "a request comes on a serving loop");
    std::unreachable();
}

void Registry::gauge_memos(Place& place) {
    static auto& gauge =
        metrics::gauge(cache::kMemoryGauge, cache::kMemoryGaugeHelp, {{"kind", "memos"}});
    const uint64_t now = place.hot.bytes() + place.resolved.bytes();
    gauge.Increment(static_cast<double>(now) - static_cast<double>(place.gauged_bytes));
    place.gauged_bytes = now;
}

// ---- the hot path ------------------------------------------------------------------------------

std::optional<http::Response> Registry::handle_now(http::Request& request) {
    if (!reads(request)) return std::nullopt;
    if (request.target == "/v2/") return ping_answer();
    Place& place = here();
    const PairKeyView key{host_of(request), request.target};
    Hot* hot = short_enough(key) ? place.hot.find(key) : nullptr;
    if (hot == nullptr) return std::nullopt;
    return answer_hot(request, *hot);
}

std::optional<http::Response> Registry::answer_hot(http::Request& request, Hot& hot) {
    if (hot.kind == RouteKind::manifest) {
        const auto view = cache_.manifest_now(hot.target, hot.reference);
        if (!view) return std::nullopt;
        return manifest_answer(
            request, *view,
            hot.manifest.of(*view, hot.ns, hot.reference.find(':') == hot.reference.npos));
    }
    if (may_redirect(request)) return std::nullopt;
    const auto view = cache_.blob_now(hot.target, hot.digest);
    if (!view) return std::nullopt;
    return blob_answer(request, *view, hot.blob.of(*view, hot.ns),
                       asked_ranges(request, hot.reference));
}

// ---- everything else ---------------------------------------------------------------------------

Resolved Registry::resolve(Place& place, const http::Request& request, const Asked& asked) {
    const std::string first = first_key(request, asked.route, asked.ns);
    const PairKeyView key{first, asked.route.name};
    const bool remembered = short_enough(key);
    if (remembered)
        if (const auto* known = place.resolved.find(key)) return *known;
    auto resolved = place.targets->resolve({.host = host_of(request),
                                            .ns = asked.ns,
                                            .repository = asked.route.name,
                                            .before = asked.route.before,
                                            .escaped = asked.route.escaped});
    if (!resolved.target) throw Failure(Kind::name_unknown, resolved.unknown);
    if (remembered) {
        constexpr uint64_t kTargetBytes = 512;  // with its candidates, without what targets share
        uint64_t held = kTargetBytes + 3 * resolved.target->repository.size();
        if (resolved.otherwise) held += kTargetBytes + 3 * resolved.otherwise->repository.size();
        place.resolved.insert(key, resolved, held);
        gauge_memos(place);
    }
    return resolved;
}

std::unique_ptr<Registry::Asked> Registry::understand(Place& place, const http::Request& request) {
    auto asked = std::make_unique<Asked>();
    asked->route = parse_route(request.path, paths_of(*place.targets), asked->buffer);
    const Route& route = asked->route;
    if (route.kind == RouteKind::ping && !place.targets->serves(route.before))
        throw Failure(Kind::name_unknown,
                      fmt::format("nothing is served at \"/{}\" before /v2/", route.before));
    if (route.kind == RouteKind::ping || route.kind == RouteKind::catalog) return asked;
    if (route.kind == RouteKind::unknown)
        throw Failure(Kind::name_unknown, "no such endpoint; images are pulled under /v2/");
    if (!oci::valid_name(route.name))
        throw Failure(Kind::name_invalid,
                      fmt::format("\"{}\" is not a valid repository name", route.name));
    asked->ns = oci::query_parameter(request.query, "ns").value_or(std::string());
    const Resolved resolved = resolve(place, request, *asked);
    asked->target = resolved.target;
    asked->otherwise = resolved.otherwise;
    return asked;
}

Task<http::Response> Registry::handle(http::Request& request) {
    if (!reads(request))
        throw Failure(Kind::unsupported, "this registry is a cache: it can only be pulled from");
    Place& place = here();
    const auto asked = understand(place, request);
    if (asked->otherwise) {
        try {
            co_return co_await answer(place, request, *asked);
        } catch (const Failure& failure) {
            if (!is_absence(failure.kind())) throw;
        }
        asked->target = asked->otherwise;
    }
    co_return co_await answer(place, request, *asked);
}

Task<http::Response> Registry::answer(Place& place, http::Request& request, const Asked& asked) {
    const Route& route = asked.route;
    switch (route.kind) {
        case RouteKind::ping:
            co_return ping_answer();
        case RouteKind::catalog:
            co_return co_await catalog(request);
        case RouteKind::tags:
            co_return co_await tags(request, asked);
        case RouteKind::referrers:
            co_return co_await referrers(request, asked);
        case RouteKind::manifest:
        case RouteKind::blob:
            break;
        case RouteKind::unknown:
            std::unreachable();
    }
    Hot hot;
    hot.kind = route.kind;
    hot.target = asked.target;
    hot.ns = asked.ns;
    hot.reference = route.reference;
    if (route.kind == RouteKind::blob) {
        hot.digest = digest_or_fail(route.reference);
    } else {
        reference_or_fail(route.reference);
    }
    if (auto response = answer_hot(request, hot)) {
        const PairKeyView key{host_of(request), request.target};
        if (short_enough(key)) {
            const uint64_t held = held_bytes(hot.ns, hot.reference);
            place.hot.insert(key, std::move(hot), held);
            gauge_memos(place);
        }
        co_return std::move(*response);
    }
    if (route.kind == RouteKind::blob) co_return co_await blob(request, asked);
    co_return co_await manifest(request, asked);
}

// GET|HEAD /v2/<name>/manifests/<reference>   (distribution-spec 1.1, "Pulling manifests")
Task<http::Response> Registry::manifest(http::Request& request, const Asked& asked) {
    const auto reference = reference_or_fail(asked.route.reference);
    const bool head = request.method == http::Method::head;
    const auto view =
        co_await cache_.manifest(with_accepted(asked.target, request), reference, head);
    ManifestFields fields;
    co_return manifest_answer(request, view, fields.of(view, asked.ns, !reference.is_digest()));
}

// A whole blob, for a client that is meant to fetch from the durable tier itself.
bool Registry::may_redirect(const http::Request& request) {
    return request.method == http::Method::get && !request.has("range") &&
           here().targets->redirects(request.peer);
}

// 307 to a presigned URL; nullopt: the blob is not in the durable tier (yet), weir serves it.
Task<std::optional<http::Response>> Registry::redirect(const Asked& asked, oci::Digest digest) {
    const auto valid = std::chrono::duration_cast<std::chrono::seconds>(
        here().targets->config().storage.redirect.validity);
    const auto url = co_await cache_.redirect(asked.target, digest, valid);
    if (!url) co_return std::nullopt;
    http::Response response(307);
    response.set("Location", *url);
    response.set("Docker-Content-Digest", digest.text());
    // The signature runs out: nobody may keep this answer.
    response.set("Cache-Control", "no-store");
    response.set("X-Cache", cache::from_name(cache::From::hit_s3));
    response.notes.route = "blob";
    response.notes.cache = cache::from_name(cache::From::hit_s3);
    response.notes.upstream = asked.target->upstream_name;
    co_return response;
}

// GET|HEAD /v2/<name>/blobs/<digest>   (distribution-spec 1.1, "Pulling blobs")
Task<http::Response> Registry::blob(http::Request& request, const Asked& asked) {
    const auto digest = digest_or_fail(asked.route.reference);
    const bool head = request.method == http::Method::head;
    if (may_redirect(request))
        if (auto elsewhere = co_await redirect(asked, digest)) co_return std::move(*elsewhere);
    auto specs = asked_ranges(request, asked.route.reference);
    auto view = co_await cache_.blob(asked.target, digest, wanted(specs), head);
    if (asks_for_more_than_all(specs, view.size)) {
        specs.clear();
        view = co_await cache_.blob(asked.target, digest, wanted(specs), head);
    }
    BlobFields fields;
    co_return blob_answer(request, view, fields.of(view, asked.ns), specs);
}

// ---- for logs and metrics ----------------------------------------------------------------------

http::Response Registry::failed(const http::Request* request, std::exception_ptr error) {
    auto response = error_response(error, request == nullptr ? 0 : request->id);
    if (request == nullptr) return response;
    std::string buffer;
    const Route route = parse_route(request->path, paths_of(*here().targets), buffer);
    response.notes.route = route_name(route.kind);
    response.notes.cache = cache_state(error);
    if (route.name.empty()) return response;
    const auto ns = oci::query_parameter(request->query, "ns").value_or(std::string());
    const std::string first = first_key(*request, route, ns);
    if (!short_enough({first, route.name})) return response;
    if (const auto* known = here().resolved.find({first, route.name}))
        response.notes.upstream = known->target->upstream_name;
    return response;
}

void Registry::finished(const http::Request& request, const http::Response& response,
                        const http::Outcome& outcome) {
    metrics_.count(response, outcome);
    Place& place = here();
    if (place.targets->config().log.access) place.access.add(request, response, outcome);
}

}  // namespace weir::registry
