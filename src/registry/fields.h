// registry/fields.h: header lines of answers, made once and repeated.
//
// A hot answer's fields are one shared text; Age, the only one that changes, makes a new text at
// most once a second.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cache/cache.h"

namespace weir::registry {

// The field lines of a manifest's answer, kept beside what they were made of. Holds no manifest in
// memory.
class ManifestFields {
public:
    // `ns` as the client sent it, empty if it didn't; `tagged`: asked by tag, so its age matters.
    std::shared_ptr<const std::string> of(const cache::ManifestView&, std::string_view ns,
                                          bool tagged);

private:
    std::weak_ptr<const cache::Manifest> manifest_;
    cache::From from_{};
    bool stale_ = false;
    int64_t age_s_ = -1;
    std::shared_ptr<const std::string> text_;
};

// The same of a blob. Begins with kOctetStreamLine, which a multipart answer replaces.
class BlobFields {
public:
    std::shared_ptr<const std::string> of(const cache::BlobView&, std::string_view ns);

private:
    bool made_ = false;
    cache::From from_{};
    std::shared_ptr<const std::string> text_;
};

// "\"sha256:...\"": a strong validator, because the digest is the content.
std::string etag(std::string_view digest);
// If-None-Match, against a strong etag: a list, or "*"; weak ones match too (RFC 9110 13.1.2).
bool none_match_hits(std::string_view header, std::string_view digest);
// If-Range: only the same strong etag lets the range stand (RFC 9110 13.1.5).
bool if_range_holds(std::string_view header, std::string_view digest);

// `text` without what could end a header line: for foreign text that becomes part of one.
std::string one_line(std::string_view text);

inline constexpr std::string_view kOctetStreamLine = "Content-Type: application/octet-stream\r\n";
inline constexpr std::string_view kApiVersionLine =
    "Docker-Distribution-Api-Version: registry/2.0\r\n";

}  // namespace weir::registry
