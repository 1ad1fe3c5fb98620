#include "registry/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/text.h"

namespace weir::registry {
namespace {

// The same object, without asking whether it still lives.
bool same(const std::weak_ptr<const cache::Manifest>& a,
          const std::shared_ptr<const cache::Manifest>& b) {
    return !a.owner_before(b) && !b.owner_before(a);
}

void append_namespace(std::string& text, std::string_view ns) {
    if (!ns.empty())
        fmt::format_to(std::back_inserter(text), "OCI-Namespace: {}\r\n", one_line(ns));
}

std::string manifest_text(const cache::ManifestView& view, std::string_view ns, bool tagged,
                          int64_t age_s) {
    const cache::Manifest& manifest = *view.manifest;
    std::string text;
    text.reserve(512);
    auto out = std::back_inserter(text);
    fmt::format_to(out, "Content-Type: {}\r\nDocker-Content-Digest: {}\r\n",
                   one_line(manifest.media_type), manifest.digest_text);
    text += kApiVersionLine;
    fmt::format_to(out, "Etag: \"{}\"\r\nX-Cache: {}\r\n", manifest.digest_text,
                   cache::from_name(view.from));
    if (tagged) fmt::format_to(out, "Age: {}\r\n", age_s);
    if (view.stale)
        fmt::format_to(out, "Warning: 299 - \"stale: {} has not confirmed this tag for {} s\"\r\n",
                       view.upstream ? *view.upstream : "the upstream", age_s);
    append_namespace(text, ns);
    return text;
}

}  // namespace

std::shared_ptr<const std::string> ManifestFields::of(const cache::ManifestView& view,
                                                      std::string_view ns, bool tagged) {
    int64_t age_s = 0;
    if (tagged || view.stale)
        age_s = std::max<int64_t>(
            0, std::chrono::duration_cast<std::chrono::seconds>(view.age).count());
    if (text_ && age_s_ == age_s && from_ == view.from && stale_ == view.stale &&
        same(manifest_, view.manifest))
        return text_;
    text_ = std::make_shared<const std::string>(manifest_text(view, ns, tagged, age_s));
    manifest_ = view.manifest;
    from_ = view.from;
    stale_ = view.stale;
    age_s_ = age_s;
    return text_;
}

std::shared_ptr<const std::string> BlobFields::of(const cache::BlobView& view,
                                                  std::string_view ns) {
    if (made_ && from_ == view.from) return text_;
    const std::string digest = view.digest.text();
    std::string text(kOctetStreamLine);
    text += fmt::format(
        "Docker-Content-Digest: {0}\r\nEtag: \"{0}\"\r\nAccept-Ranges: bytes\r\n"
        "Cache-Control: max-age=31536000, immutable\r\nX-Cache: {1}\r\n",
        digest, cache::from_name(view.from));
    text += kApiVersionLine;
    append_namespace(text, ns);
    text_ = std::make_shared<const std::string>(std::move(text));
    from_ = view.from;
    made_ = true;
    return text_;
}

std::string one_line(std::string_view text) {
    std::string line(text);
    std::erase_if(line, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    return line;
}

std::string etag(std::string_view digest) {
    return fmt::format("\"{}\"", digest);
}

bool none_match_hits(std::string_view header, std::string_view digest) {
    if (trim(header) == "*") return true;
    for (std::string_view item : split(header, ',')) {
        item = trim(item);
        if (item.starts_with("W/")) item.remove_prefix(2);
        if (item.size() == digest.size() + 2 && item.front() == '"' && item.back() == '"' &&
            item.substr(1, digest.size()) == digest)
            return true;
    }
    return false;
}

bool if_range_holds(std::string_view header, std::string_view digest) {
    header = trim(header);
    return header.size() == digest.size() + 2 && header.front() == '"' && header.back() == '"' &&
           header.substr(1, digest.size()) == digest;
}

}  // namespace weir::registry
