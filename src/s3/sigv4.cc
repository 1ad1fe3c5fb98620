#include "s3/sigv4.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "s3/sums.h"

namespace weir::s3 {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kUnsigned = "UNSIGNED-PAYLOAD";

// "20130524T000000Z"; its first eight characters are the date of the scope.
std::string stamp(WallTime at) {
    const time_t seconds = std::chrono::system_clock::to_time_t(at);
    tm parts{};
    gmtime_r(&seconds, &parts);
    return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

// Encoded first and sorted then: that order is what the service checks.
std::string canonical_query(const Pairs& query) {
    Pairs encoded;
    for (const auto& [name, value] : query)
        encoded.emplace_back(percent_encode(name), percent_encode(value));
    std::ranges::sort(encoded);
    std::string out;
    for (const auto& [name, value] : encoded)
        out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, value);
    return out;
}

// Outer blanks dropped, runs of inner ones made one.
std::string canonical_value(std::string_view value) {
    std::string out;
    for (const char c : trim(value))
        if (c != ' ' || !out.ends_with(' ')) out += c;
    return out;
}

struct CanonicalFields {
    std::string lines;  // "name:value\n", sorted
    std::string names;  // "host;range;x-amz-date"
};

CanonicalFields canonical_fields(const std::string& host, const Pairs& fields) {
    std::map<std::string, std::string> sorted{{"host", host}};
    for (const auto& [name, value] : fields) {
        auto [at, fresh] = sorted.try_emplace(ascii_lower(name), canonical_value(value));
        if (!fresh) at->second += "," + canonical_value(value);
    }
    CanonicalFields out;
    for (const auto& [name, value] : sorted) {
        out.lines += fmt::format("{}:{}\n", name, value);
        out.names += (out.names.empty() ? "" : ";") + name;
    }
    return out;
}

std::string scope_of(std::string_view at, std::string_view region, std::string_view service) {
    return fmt::format("{}/{}/{}/aws4_request", at.substr(0, 8), region, service);
}

struct Canonical {
    std::string path, query;  // encoded
    CanonicalFields fields;
};

std::string signature(const std::string& method, const Canonical& canonical,
                      std::string_view payload_hash, const Secret& key, std::string_view at,
                      std::string_view region, std::string_view service) {
    const std::string request =
        fmt::format("{}\n{}\n{}\n{}\n{}\n{}", method, canonical.path, canonical.query,
                    canonical.fields.lines, canonical.fields.names, payload_hash);
    const std::string to_sign = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, at,
                                            scope_of(at, region, service), sha256_hex(request));
    std::string step = hmac_sha256("AWS4" + key.reveal(), at.substr(0, 8));
    for (const std::string_view part : {region, service, std::string_view("aws4_request")})
        step = hmac_sha256(step, part);
    return to_hex(as_bytes(hmac_sha256(step, to_sign)));
}

std::string joined(const Canonical& canonical) {
    return canonical.query.empty() ? canonical.path
                                   : fmt::format("{}?{}", canonical.path, canonical.query);
}

}  // namespace

Signed sign(const SigningRequest& request, const Credentials& credentials, std::string_view region,
            std::string_view service, WallTime now) {
    const std::string at = stamp(now);
    Signed out;
    out.fields = request.fields;
    out.fields.emplace_back("x-amz-date", at);
    if (service == "s3") out.fields.emplace_back("x-amz-content-sha256", request.payload_hash);
    if (!credentials.session_token.empty())
        out.fields.emplace_back("x-amz-security-token", credentials.session_token.reveal());
    const Canonical canonical{percent_encode(request.path, true), canonical_query(request.query),
                              canonical_fields(request.host, out.fields)};
    out.path_and_query = joined(canonical);
    out.authorization = Secret(
        fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                    credentials.access_key, scope_of(at, region, service), canonical.fields.names,
                    signature(request.method, canonical, request.payload_hash,
                              credentials.secret_key, at, region, service)));
    return out;
}

std::string presign(const SigningRequest& request, const Credentials& credentials,
                    std::string_view region, WallTime now, std::chrono::seconds valid) {
    constexpr std::chrono::seconds kLongest = std::chrono::hours(24 * 7);
    const std::string at = stamp(now);
    valid = std::clamp(valid, std::chrono::seconds(1), kLongest);
    Canonical canonical{
        percent_encode(request.path, true), {}, canonical_fields(request.host, request.fields)};
    Pairs query = request.query;
    query.emplace_back("X-Amz-Algorithm", kAlgorithm);
    query.emplace_back("X-Amz-Credential",
                       fmt::format("{}/{}", credentials.access_key, scope_of(at, region, "s3")));
    query.emplace_back("X-Amz-Date", at);
    query.emplace_back("X-Amz-Expires", std::to_string(valid.count()));
    query.emplace_back("X-Amz-SignedHeaders", canonical.fields.names);
    if (!credentials.session_token.empty())
        query.emplace_back("X-Amz-Security-Token", credentials.session_token.reveal());
    canonical.query = canonical_query(query);
    return fmt::format(
        "{}&X-Amz-Signature={}", joined(canonical),
        signature(request.method, canonical, kUnsigned, credentials.secret_key, at, region, "s3"));
}

}  // namespace weir::s3
