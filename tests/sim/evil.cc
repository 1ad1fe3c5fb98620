#include "sim/evil.h"

#include <fmt/format.h>

#include <algorithm>

#include "oci/manifest.h"

namespace weir::sim {
namespace {

using namespace std::chrono_literals;

constexpr int kStatuses[] = {201, 202, 204, 205, 206, 300, 304, 400, 400, 401, 401, 402,
                             403, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413,
                             414, 415, 416, 418, 421, 425, 426, 428, 429, 429, 431, 451,
                             500, 500, 501, 502, 503, 503, 504, 507, 511, 520, 599};
constexpr const char* kChallenges[] = {
    R"(Basic realm="portal")",
    R"(Bearer realm="https://nowhere.sim/token",service="s")",
    R"(Bearer realm="https://silent.sim/token",service="s")",
    R"(Bearer realm="https://evil.sim/token",service="s",scope="repository:x:pull")",
    R"(Bearer realm="https://auth.sim/token",service="s",scope="repository:*:pull")",
    R"(Bearer service="without a realm")",
    R"(Negotiate)",
    R"(Bearer realm=")",
    ""};
constexpr const char* kAway[] = {"https://nowhere.sim/x",
                                 "https://silent.sim/x",
                                 "https://evil.sim/x",
                                 "/v2/",
                                 "https://",
                                 "x",
                                 "http://plain.sim/x",
                                 ""};
constexpr const char* kRetry[] = {"0", "1", "5", "86400", "-1", "soon", "99999999999999999999"};

Text make_text(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
}

Serving with_body(int status, std::string body, std::string_view type) {
    Serving serving;
    serving.status = status;
    if (!type.empty()) serving.fields.list.emplace_back("Content-Type", type);
    serving.length = body.size();
    serving.content_length = body.size();
    serving.source = make_text(std::move(body));
    return serving;
}

}  // namespace

const Text* Evil::truth(const oci::Digest& digest) const {
    if (!knows.contains(digest)) return nullptr;
    if (const auto blob = content_.blobs.find(digest); blob != content_.blobs.end())
        return &blob->second;
    const auto document = content_.manifests.find(digest);
    return document == content_.manifests.end() ? nullptr : &document->second.bytes;
}

bool Evil::gave(const oci::Digest& digest) const {
    const Text* bytes = truth(digest);
    const auto given = given_.find(digest);
    if (bytes == nullptr) return false;
    return (*bytes)->empty() ||
           (given != given_.end() && given->second.contains(0, (*bytes)->size()));
}

std::optional<Serving> Evil::answer(Ask& ask, const client::Call& call) {
    Serving serving;
    if (ask.host == "nowhere.sim" || ask.host == "plain.sim") {
        serving.way = Serving::Way::refuse;
        return serving;
    }
    if (ask.host == "silent.sim") {
        serving.way = Serving::Way::silence;
        return serving;
    }
    if (ask.host == "evil.sim") {
        if (chance(0.5)) return refusal();
        return with_body(200, R"({"token":"t","expires_in":-1})", "application/json");
    }
    if (ask.host == "cdn.sim" || ask.registry != registry_ || ask.what == What::token)
        return std::nullopt;
    ++asked_;
    if (const auto range = range_of(call); range && call.method == "GET") {
        ask.ranged = true;
        ask.first = range->first;
        ask.last = range->last;
    }
    const auto way = random_.below(20);
    if (way == 0) {
        serving.way = Serving::Way::silence;
    } else if (way == 1) {
        serving.way = Serving::Way::refuse;
    } else if (way < 6) {
        serving = refusal();
    } else if (way < 8) {
        serving = away(ask);
    } else if (way == 8) {
        // Nothing but a status.
        serving.status = 200;
        if (chance(0.5)) serving.content_length = 0;
    } else if (ask.what == What::manifest) {
        serving = manifest(ask);
    } else if (ask.what == What::blob) {
        serving = blob(ask);
    } else {
        serving = list(ask);
    }
    spoil(serving);
    if (const auto digest = oci::Digest::parse(ask.reference);
        digest && serving.way == Serving::Way::answer && serving.status < 400)
        yes_.insert(*digest);
    return serving;
}

void Evil::ended(const Ask& ask) {
    const auto right = right_.find(ask.id);
    if (right == right_.end() || ask.bytes == 0) return;
    const uint64_t end = ask.what == What::blob ? ask.next : ask.bytes;
    meta::Extents& given = given_[right->second.digest];
    const uint64_t first = end - ask.bytes, but = right->second.but.value_or(end);
    given.insert(first, std::min(but, end));
    if (but + 1 < end) given.insert(std::max(first, but + 1), end);
}

Serving Evil::status(int status) {
    return with_body(status, R"({"errors":[{"code":"UNKNOWN","message":"no"}]})",
                     "application/json");
}

Serving Evil::refusal() {
    Serving serving = status(kStatuses[random_.below(std::size(kStatuses))]);
    if (chance(0.5) || serving.status == 401)
        serving.fields.list.emplace_back("WWW-Authenticate",
                                         kChallenges[random_.below(std::size(kChallenges))]);
    if (chance(0.4))
        serving.fields.list.emplace_back("Retry-After", kRetry[random_.below(std::size(kRetry))]);
    if (chance(0.3)) serving.fields.list.emplace_back("ratelimit-remaining", "0;w=21600");
    return serving;
}

// Redirects: nowhere, in a circle, to another registry.
Serving Evil::away(const Ask& ask) {
    Serving serving = status(chance(0.7) ? 307 : 301 + static_cast<int>(random_.below(3)));
    const std::string own = fmt::format("https://m0.r{}.sim/v2/{}", registry_, ask.repository);
    const char* kind = ask.what == What::blob ? "blobs" : "manifests";
    std::string place = kAway[random_.below(std::size(kAway))];
    if (chance(0.2)) place = fmt::format("{}/{}/{}", own, kind, ask.reference);
    if (chance(0.3)) {
        // It gives what is public there to anybody.
        const std::string what = chance(0.5) ? any().text() : ask.reference;
        place = fmt::format("https://m0.r0.sim/v2/lib/app0/{}/{}", kind, what);
        if (const auto digest = oci::Digest::parse(what)) yes_.insert(*digest);
    }
    if (!place.empty()) serving.fields.list.emplace_back("Location", place);
    return serving;
}

// A manifest or an index that names what others have.
std::string Evil::lying_document() {
    const auto descriptor = [this](std::string_view type) {
        return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}}})", type, any().text(),
                           chance(0.5) ? 1 + random_.below(100'000) : UINT64_MAX >> 1);
    };
    const bool index = chance(0.4);
    std::string list;
    for (uint64_t i = random_.below(6); i > 0; --i)
        list += (list.empty() ? "" : ",") +
                descriptor(index ? oci::kOciManifest : "application/vnd.oci.image.layer.v1.tar");
    std::string type(index ? oci::kOciIndex : oci::kOciManifest);
    if (chance(0.1)) type = std::string(5000, 'm');
    if (chance(0.1)) type = "text/html";
    return fmt::format(
        R"({{"schemaVersion":{},"mediaType":"{}",{}"{}":[{}],"blobs":[{}],"annotations":{{"n":"{}"}}}})",
        chance(0.9) ? 2 : 1, type,
        index ? "" : "\"config\":" + descriptor("application/vnd.oci.image.config.v1+json") + ",",
        index ? "manifests" : "layers", list, list, random_.next());
}

Serving Evil::manifest(Ask& ask) {
    const auto digest = oci::Digest::parse(ask.reference);
    const Text* right = digest ? truth(*digest) : nullptr;
    if (right != nullptr && content_.manifests.contains(*digest) && chance(0.3)) {
        Serving serving = with_body(200, **right, content_.manifests.at(*digest).media_type);
        if (ask.method != "HEAD") right_.emplace(ask.id, Right{*digest, std::nullopt});
        return serving;
    }
    std::string body = lying_document();
    if (chance(0.1)) body = std::string(1 + random_.below(200), '[');
    if (chance(0.05)) body = std::string(5u << 20, ' ');
    std::string type(chance(0.8) ? oci::kOciManifest : oci::kOciIndex);
    if (chance(0.1)) type = "text/html; charset=utf-8";
    Serving serving = with_body(200, std::move(body), type);
    if (chance(0.4)) serving.fields.list.emplace_back("Docker-Content-Digest", any().text());
    if (digest && chance(0.4))
        serving.fields.list.emplace_back("Docker-Content-Digest", digest->text());
    return serving;
}

Serving Evil::blob(Ask& ask) {
    const auto digest = oci::Digest::parse(ask.reference);
    const Text* right = digest ? truth(*digest) : nullptr;
    Serving serving;
    serving.source = right != nullptr ? *right : make_text(std::string(20'000, 'x'));
    serving.length = serving.source->size();
    serving.content_length = serving.length;
    if (chance(0.5)) serving.fields.list.emplace_back("Docker-Content-Digest", any().text());
    const bool true_bytes = right != nullptr && chance(0.5);
    if (!true_bytes && serving.length > 0) serving.flip_at = random_.below(serving.length);
    const uint64_t size = serving.length;
    if (ask.ranged && ask.first < size && chance(0.6)) part(serving, ask);
    if (right != nullptr && ask.method != "HEAD") {
        Right what{*digest, std::nullopt};
        if (serving.flip_at) what.but = serving.first + *serving.flip_at;
        right_.emplace(ask.id, what);
    }
    return serving;
}

// A 206: what was asked for, or not; and said in one way or another.
void Evil::part(Serving& serving, Ask& ask) {
    static constexpr const char* kShapes[] = {"bytes {}-{}/{}", "bytes {}-{}/*",
                                              "items {}-{}/{}", "bytes {1}-{0}/{2}",
                                              "bytes {}-{}",    ""};
    const uint64_t size = serving.length;
    serving.status = 206;
    serving.first = chance(0.7) ? ask.first : random_.below(size);
    serving.length = size - serving.first;
    serving.content_length = serving.length;
    ask.next = serving.first;
    const std::string shape = kShapes[chance(0.6) ? 0 : random_.below(std::size(kShapes))];
    if (!shape.empty())
        serving.fields.list.emplace_back(
            "Content-Range", fmt::format(fmt::runtime(shape), serving.first, size - 1, size));
}

Serving Evil::list(Ask& ask) {
    std::string names;
    for (uint64_t i = random_.below(50); i > 0; --i) names += fmt::format("\"t{}\",", i);
    std::string body = fmt::format(R"({{"name":"x","tags":[{}"z"]}})", names);
    if (ask.what == What::referrers || chance(0.1)) body = lying_document();
    if (chance(0.1)) body = std::string(10'000, '[');
    if (chance(0.05)) body = std::string(17u << 20, ' ');
    Serving serving = with_body(200, std::move(body), "application/json");
    if (chance(0.3))
        serving.fields.list.emplace_back(
            "Link", fmt::format(R"(</v2/{}/tags/list?last=z>; rel="next")", ask.repository));
    return serving;
}

// Whatever it is, it may come by drops, without end, cut, with another length or with none.
void Evil::spoil(Serving& serving) {
    serving.latency =
        chance(0.2) ? Duration(std::chrono::milliseconds(random_.below(20'000))) : 5ms;
    serving.bytes_per_second = chance(0.3) ? 10 + random_.below(3000) : 4 << 20;
    serving.piece_bytes = chance(0.3) ? 1 + random_.below(100) : 4096;
    if (serving.bytes_per_second < 4000)
        serving.piece_bytes = std::min<uint64_t>(serving.piece_bytes, 1000);
    if (!serving.source || serving.length == 0) return;
    if (chance(0.1)) serving.cut_at = random_.below(serving.length);
    if (chance(0.1)) serving.stall_at = random_.below(serving.length);
    if (chance(0.1)) serving.content_length.reset();
    if (chance(0.1))
        serving.content_length = random_.below(3) == 0 ? 0 : 1ull << (10 + random_.below(53));
    if (chance(0.05)) {
        serving.endless = true;
        serving.bytes_per_second = std::min<uint64_t>(serving.bytes_per_second, 100'000);
        serving.content_length.reset();
    }
}

}  // namespace weir::sim
