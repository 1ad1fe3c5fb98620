// Manifests and blobs of the simulated registries, and what goes wrong with them.
#include <fmt/format.h>

#include "base/text.h"
#include "sim/internet.h"

namespace weir::sim {
namespace {

using Kind = Fault::Kind;

Serving absent() {
    Serving serving;
    serving.status = 404;
    serving.content_length = 0;
    return serving;
}

Serving failing() {
    Serving serving;
    serving.status = 500;
    serving.content_length = 0;
    return serving;
}

}  // namespace

Serving Internet::manifest(Ask& ask, const Repository& repo) {
    auto digest = oci::Digest::parse(ask.reference);
    if (!digest) digest = repo.tag(ask.reference);
    const Mirror& site = mirror(ask.registry, ask.mirror);
    if (!digest || !repo.manifests.contains(*digest) || site.lacks.contains(*digest))
        return absent();
    const Document& document = content_.manifests.at(*digest);
    if (fault) ask.fault = fault(ask, document.bytes->size());
    if (ask.fault.kind == Kind::absent) return absent();
    if (ask.fault.kind == Kind::error) return failing();
    Serving serving;
    serving.source = document.bytes;
    serving.length = document.bytes->size();
    serving.content_length = document.bytes->size();
    serving.fields.list.emplace_back("Content-Type", document.media_type);
    if (ask.fault.kind != Kind::no_digest)
        serving.fields.list.emplace_back("Docker-Content-Digest", digest->text());
    const uint64_t at = ask.fault.at % std::max<uint64_t>(serving.length, 1);
    if (ask.fault.kind == Kind::flip) serving.flip_at = at;
    if (ask.fault.kind == Kind::cut) serving.cut_at = at;
    if (ask.fault.kind == Kind::stall) serving.stall_at = at;
    return serving;
}

Serving Internet::blob(Ask& ask, const Repository& repo, const client::Call& call) {
    const auto digest = oci::Digest::parse(ask.reference);
    const Mirror& site = mirror(ask.registry, ask.mirror);
    if (!digest || !repo.blobs.contains(*digest) || site.lacks.contains(*digest)) return absent();
    if (site.redirects && ask.host != "cdn.sim" && call.method == "GET") {
        Serving serving;
        serving.status = 307;
        serving.content_length = 0;
        serving.fields.list.emplace_back(
            "Location", fmt::format("https://cdn.sim/m{}.r{}.sim/v2/{}/blobs/{}", ask.mirror,
                                    ask.registry, ask.repository, ask.reference));
        return serving;
    }
    const Text& whole = content_.blobs.at(*digest);
    const auto range = range_of(call);
    if (range && call.method == "GET") {
        ask.ranged = true;
        ask.first = range->suffix > 0 ? whole->size() - std::min(range->suffix, whole->size())
                                      : range->first;
        ask.last = range->last;
    }
    if (fault) ask.fault = fault(ask, whole->size() - std::min(ask.first, whole->size()));
    if (ask.fault.kind == Kind::absent) return absent();
    if (ask.fault.kind == Kind::error) return failing();
    return blob_bytes(ask, whole, *digest);
}

Serving Internet::blob_bytes(Ask& ask, const Text& whole, const oci::Digest& digest) {
    const uint64_t size = whole->size();
    if (ask.fault.kind == Kind::ignore_range) ask.ranged = false;
    Serving serving;
    if (ask.fault.kind == Kind::refuse_range && ask.ranged) {
        given(digest).damaged = true;  // what is here comes again
        serving.status = 416;
        serving.content_length = 0;
        return serving;
    }
    if (ask.fault.kind == Kind::nothing && size > 0) {
        if (ask.method != "HEAD") given(digest).damaged = true;
        serving.content_length = 0;
        return serving;
    }
    serving.source = whole;
    serving.fields.list.emplace_back("Content-Type", "application/octet-stream");
    serving.fields.list.emplace_back("Docker-Content-Digest", digest.text());
    if (!ask.ranged) {
        if (ask.first > 0) given(digest).damaged = true;  // the Range was ignored
        serving.length = size;
        serving.content_length = size;
        ask.next = 0;
    } else if (ask.first >= size) {
        serving.status = 416;
        serving.source = nullptr;
        serving.content_length = 0;
        serving.fields.list.emplace_back("Content-Range", fmt::format("bytes */{}", size));
        return serving;
    } else {
        const uint64_t end = std::min(size, ask.last ? *ask.last + 1 : size);
        serving.status = 206;
        serving.first = ask.first;
        serving.length = end - ask.first;
        serving.content_length = serving.length;
        ask.next = ask.first;
    }
    spoil(serving, ask, whole, digest);
    if (serving.status == 206)
        serving.fields.list.emplace_back(
            "Content-Range",
            fmt::format("bytes {}-{}/{}", serving.first, serving.first + serving.length - 1,
                        ask.fault.kind == Kind::more_length   ? size + ask.fault.at
                        : ask.fault.kind == Kind::less_length ? size - ask.fault.at
                                                              : size));
    return serving;
}

void Internet::spoil(Serving& serving, Ask& ask, const Text& whole, const oci::Digest& digest) {
    if (serving.length == 0) ask.fault = {};
    Fault& wrong = ask.fault;
    const uint64_t at = wrong.at % std::max<uint64_t>(serving.length, 1);
    switch (wrong.kind) {
        case Kind::cut:
            serving.cut_at = at;
            return;
        case Kind::stall:
            serving.stall_at = at;
            return;
        case Kind::no_length:
            serving.content_length.reset();
            return;
        case Kind::flip:
            serving.flip_at = at;
            break;
        case Kind::short_body:
            serving.content_length.reset();
            serving.length = at;
            break;
        case Kind::more_length:
            wrong.at = 1 + at % 1000;
            if (serving.status == 200) *serving.content_length += wrong.at;
            break;
        case Kind::less_length:
            // A part that ends after the claimed size would be no sensible Content-Range.
            wrong.at = 1 + at % 1000;
            if (serving.length <= wrong.at) {
                wrong = {};
                return;
            }
            serving.length -= wrong.at;
            *serving.content_length -= wrong.at;
            break;
        case Kind::wrong_offset:
            if (serving.status != 206 || serving.first == 0) {
                wrong = {};
                return;
            }
            --serving.first;
            break;
        default:
            return;
    }
    (void)whole;
    // A HEAD promises nothing that a later GET would break.
    if (ask.method != "HEAD") given(digest).damaged = true;
}

}  // namespace weir::sim
