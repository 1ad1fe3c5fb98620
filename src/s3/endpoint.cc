#include "s3/endpoint.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/failure.h"
#include "base/text.h"
#include "client/guard.h"
#include "client/url.h"

namespace weir::s3 {
namespace {

constexpr size_t kMaxLabelBytes = 63;

bool fits_in_host(std::string_view bucket, bool secure) {
    const auto plain = [secure](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
               (c == '.' && !secure);
    };
    return !bucket.empty() && bucket.size() <= kMaxLabelBytes &&
           std::ranges::all_of(bucket, plain) && bucket.front() != '-' && bucket.front() != '.' &&
           bucket.back() != '-' && bucket.back() != '.';
}

std::string aws_endpoint(const std::string& region) {
    const std::string_view domain =
        region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
    return fmt::format("s3.{}.{}", region, domain);
}

std::string_view without_slashes(std::string_view text) {
    while (text.starts_with('/')) text.remove_prefix(1);
    while (text.ends_with('/')) text.remove_suffix(1);
    return text;
}

}  // namespace

Endpoint endpoint_of(const BucketOptions& options, const std::string& region) {
    if (options.bucket.empty() || options.bucket.find('/') != std::string::npos)
        throw Failure(Kind::config_invalid,
                      fmt::format("\"{}\" is no name of a bucket", options.bucket));
    std::string text = options.endpoint.empty() ? aws_endpoint(region) : options.endpoint;
    if (text.find("://") == std::string::npos)
        text = fmt::format("{}://{}", options.secure ? "https" : "http", text);
    auto url = client::Url::parse(text);
    const auto path = url ? percent_decode(url->path()) : std::nullopt;
    if (!path || url->path() != url->target)
        throw Failure(Kind::config_invalid, fmt::format("\"{}\" is no S3 endpoint", text));
    const bool name = !client::classify_host(url->host) || url->host == "localhost" ||
                      url->host.ends_with(".localhost");
    Endpoint out;
    out.base = "/";
    if (const auto inner = without_slashes(*path); !inner.empty())
        out.base += fmt::format("{}/", inner);
    if (options.path_style || !name || !fits_in_host(options.bucket, url->secure()))
        out.base += options.bucket + "/";
    else
        url->host = fmt::format("{}.{}", options.bucket, url->host);
    out.host = url->authority();
    out.origin = fmt::format("{}://{}", url->scheme, out.host);
    return out;
}

std::string full_key(std::string_view prefix, std::string_view key) {
    const auto before = without_slashes(prefix);
    return before.empty() ? std::string(key) : fmt::format("{}/{}", before, key);
}

}  // namespace weir::s3
