#include "sim/internet.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "client/url.h"
#include "crypto/hasher.h"
#include "oci/link.h"
#include "oci/manifest.h"

namespace weir::sim {
namespace {

using namespace std::chrono_literals;
constexpr auto kTokenLife = 60s;

Serving with_body(int status, std::string_view type, std::string body) {
    Serving serving;
    serving.status = status;
    serving.fields.list.emplace_back("Content-Type", type);
    serving.length = body.size();
    serving.content_length = body.size();
    serving.source = std::make_shared<const std::string>(std::move(body));
    return serving;
}

}  // namespace

const char* mood_name(Mood mood) {
    static constexpr const char* kNames[] = {"well", "refuses",   "hangs",  "fails",
                                             "busy", "throttles", "denies", "rejects"};
    return kNames[static_cast<size_t>(mood)];
}

const char* what_name(What what) {
    static constexpr const char* kNames[] = {"manifest", "blob", "tags", "referrers",
                                             "token",    "ping", "other"};
    return kNames[static_cast<size_t>(what)];
}

const char* fault_name(Fault::Kind kind) {
    static constexpr const char* kNames[] = {
        "none",        "cut",         "stall",        "flip",         "no_length",    "short_body",
        "more_length", "less_length", "wrong_offset", "ignore_range", "refuse_range", "nothing",
        "absent",      "error",       "slow",         "no_digest"};
    return kNames[static_cast<size_t>(kind)];
}

std::string Internet::url(size_t registry, size_t index) {
    mirror(registry, index);
    return fmt::format("https://m{}.r{}.sim", index, registry);
}

Mirror& Internet::mirror(size_t registry, size_t index) {
    if (mirrors_.size() <= registry) mirrors_.resize(registry + 1);
    if (mirrors_[registry].size() <= index) mirrors_[registry].resize(index + 1);
    return mirrors_[registry][index];
}

size_t Internet::count(What what, const std::string& method, const std::string& reference) const {
    return static_cast<size_t>(std::ranges::count_if(asks_, [&](const Ask& ask) {
        return ask.what == what && (method.empty() || ask.method == method) &&
               (reference.empty() || ask.reference == reference);
    }));
}

uint64_t Internet::blob_bytes() const {
    uint64_t sum = 0;
    for (const auto& [digest, given] : given_) sum += given.total;
    return sum;
}

// "m1.r0.sim", and on the CDN the same as the first part of the path.
void Internet::parse(Ask& ask, const client::Call& call) const {
    const auto url = client::Url::parse(call.url);
    if (!url) return;
    ask.host = url->host;
    ask.method = call.method;
    const auto question = url->target.find('?');
    std::string path = url->target.substr(0, question);
    if (question != std::string::npos) ask.query = url->target.substr(question + 1);
    std::string name = url->host;
    if (name == "auth.sim" || path == "/token") {
        ask.what = What::token;
        return;
    }
    if (name == "cdn.sim") {
        const auto slash = path.find('/', 1);
        name = path.substr(1, slash - 1);
        path = path.substr(slash);
    }
    if (sscanf(name.c_str(), "m%zu.r%zu.sim", &ask.mirror, &ask.registry) != 2) return;
    static const std::pair<std::string_view, What> kKinds[] = {
        {"/manifests/", What::manifest}, {"/blobs/", What::blob}, {"/referrers/", What::referrers}};
    if (path == "/v2/") ask.what = What::ping;
    if (!path.starts_with("/v2/")) return;
    path = path.substr(4);
    for (const auto& [mark, what] : kKinds) {
        const auto at = path.find(mark);
        if (at == std::string::npos) continue;
        ask.what = what;
        ask.repository = path.substr(0, at);
        ask.reference = path.substr(at + mark.size());
    }
    if (path.ends_with("/tags/list")) {
        ask.what = What::tags;
        ask.repository = path.substr(0, path.size() - 10);
    }
}

Serving Internet::serve(const client::Call& call) {
    Ask ask;
    ask.id = asks_.size();
    ask.at = loop_.now();
    parse(ask, call);
    std::optional<Serving> theirs;
    if (other) theirs = other(ask, call);
    Serving serving = theirs ? std::move(*theirs) : answer(ask, call);
    serving.id = ask.id;
    ask.status = serving.way == Serving::Way::answer ? serving.status : 0;
    asks_.push_back(ask);
    if (on_ask) on_ask(ask);
    return serving;
}

Serving Internet::moody(Serving serving, Mood mood) const {
    const Serving good = serving;
    switch (mood) {
        case Mood::well:
            return serving;
        case Mood::refuses:
            serving.way = Serving::Way::refuse;
            return serving;
        case Mood::hangs:
            serving.way = Serving::Way::silence;
            return serving;
        case Mood::fails:
            serving = status(500, "UNKNOWN");
            break;
        case Mood::busy:
            serving = status(503, "UNAVAILABLE");
            serving.fields.list.emplace_back("Retry-After", "3");
            break;
        case Mood::throttles:
            serving = status(429, "TOOMANYREQUESTS");
            serving.fields.list.emplace_back("Retry-After", "2");
            break;
        case Mood::denies:
            serving = status(403, "DENIED");
            break;
        case Mood::rejects:
            serving = status(401, "UNAUTHORIZED");
            break;
    }
    serving.latency = good.latency;
    return serving;
}

Serving Internet::status(int status, const std::string& code) const {
    return with_body(status, "application/json",
                     fmt::format(R"({{"errors":[{{"code":"{}","message":"said so"}}]}})", code));
}

Serving Internet::token(Ask& ask, const client::Call& call) {
    const auto scope = oci::query_parameter(ask.query, "scope").value_or("");
    const std::string value = fmt::format("token-{}", ++tokens_given_);
    tokens_[value] = Token{scope, loop_.now() + kTokenLife, !call.authorization.empty()};
    return with_body(200, "application/json",
                     fmt::format(R"({{"token":"{}","expires_in":{}}})", value, kTokenLife.count()));
}

bool Internet::let_in(const Ask& ask, const Mirror& site, const client::Call& call) const {
    const std::string& given = call.authorization.reveal();
    if (!given.starts_with("Bearer ")) return false;
    const auto token = tokens_.find(given.substr(7));
    return token != tokens_.end() && token->second.ends > loop_.now() &&
           (token->second.login || !site.closed) &&
           token->second.scope == fmt::format("repository:{}:pull", ask.repository);
}

Serving Internet::answer(Ask& ask, const client::Call& call) {
    const bool at_registry = ask.what != What::token && ask.what != What::other;
    if (ask.what == What::other) {
        if (on_wrong) on_wrong("a request nobody should make: " + call.url);
        return status(404, "NAME_UNKNOWN");
    }
    const Mirror& site = at_registry ? mirror(ask.registry, ask.mirror) : token_server_;
    Serving serving;
    if (ask.what == What::token) {
        serving = token(ask, call);
    } else if (ask.host == "cdn.sim" && !call.authorization.empty()) {
        if (on_wrong) on_wrong("a token reached the CDN");
    } else if (ask.host != "cdn.sim" && site.asks_for_token && !let_in(ask, site, call)) {
        serving = status(401, "UNAUTHORIZED");
        serving.fields.list.emplace_back(
            "WWW-Authenticate", fmt::format(R"(Bearer realm="https://{}/token",service="sim",)"
                                            R"(scope="repository:{}:pull")",
                                            site.closed ? ask.host : "auth.sim", ask.repository));
    } else {
        if (ask.what == What::ping) return with_body(200, "application/json", "{}");
        const Repository* repo = nullptr;
        if (ask.registry < content_.registries.size())
            repo = content_.registries[ask.registry].find(ask.repository);
        if (repo == nullptr) {
            serving = status(404, "NAME_UNKNOWN");
        } else if (ask.what == What::manifest) {
            serving = manifest(ask, *repo);
        } else if (ask.what == What::blob) {
            serving = blob(ask, *repo, call);
        } else if (ask.what == What::tags) {
            serving = tags(ask, *repo);
        } else {
            serving = site.has_referrers ? referrers(ask) : status(404, "NOT_FOUND");
        }
    }
    const Duration more = ask.fault.kind == Fault::Kind::slow
                              ? Duration(std::chrono::milliseconds(ask.fault.at))
                              : Duration{};
    serving.latency = site.latency + more;
    serving.bytes_per_second = site.bytes_per_second;
    serving.piece_bytes = site.piece_bytes;
    return moody(std::move(serving), site.mood);
}

Serving Internet::tags(Ask&, const Repository& repo) {
    std::vector<std::string> names;
    for (const auto& [name, changes] : repo.tags) names.push_back(name);
    return with_body(200, "application/json", oci::tag_list_body("x", names));
}

Serving Internet::referrers(Ask&) {
    return with_body(200, oci::kOciIndex, oci::empty_index());
}

void Internet::delivered(uint64_t id, uint64_t first, uint64_t bytes) {
    Ask& ask = asks_[id];
    ask.bytes += bytes;
    if (ask.what != What::blob || ask.status >= 300) return;
    const auto digest = oci::Digest::parse(ask.reference);
    if (!digest) return;
    Given& given = given_[*digest];
    // Registries share nothing: each may be asked for what another is giving.
    meta::Extents& by = given.by[ask.registry];
    const uint64_t before = by.total();
    by.insert(first, first + bytes);
    given.bytes.insert(first, first + bytes);
    given.total += bytes;
    if (ask.ranged || !given.no_part) given.twice += bytes - (by.total() - before);
    ask.next = first + bytes;
}

void Internet::ended(uint64_t id, client::End end) {
    Ask& ask = asks_[id];
    ask.over = true;
    ask.end = end;
    ask.ended_at = loop_.now();
    if (ask.what == What::blob && ask.ranged && ask.bytes == 0)
        if (const auto digest = oci::Digest::parse(ask.reference)) given_[*digest].no_part = true;
    if (on_end) on_end(ask);
}

}  // namespace weir::sim
