#include "s3/retry.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace weir::s3 {
namespace {

using namespace std::chrono_literals;
using client::End;

constexpr Duration kFirstPause = 100ms, kLongestPause = 10s;
constexpr size_t kMaxRegionBytes = 32;

template <size_t N>
bool one_of(std::string_view code, const std::array<std::string_view, N>& codes) {
    return std::ranges::find(codes, code) != codes.end();
}

constexpr std::array<std::string_view, 8> kPassing = {
    "InternalError",    "SlowDown",        "ServiceUnavailable",   "RequestTimeout",
    "OperationAborted", "TooManyRequests", "RequestLimitExceeded", "ThrottlingException"};
constexpr std::array<std::string_view, 3> kExpired = {"ExpiredToken", "TokenRefreshRequired",
                                                      "ExpiredTokenException"};
constexpr std::array<std::string_view, 6> kRefused = {"AccessDenied",          "InvalidAccessKeyId",
                                                      "SignatureDoesNotMatch", "AllAccessDisabled",
                                                      "AccountProblem",        "InvalidToken"};
constexpr std::array<std::string_view, 3> kAbsent = {"NoSuchKey", "NoSuchVersion", "NotFound"};

Judgement judge_end(End end) {
    switch (end) {
        case End::unreachable:
        case End::timeout:
        case End::stalled:
        case End::cut:
            return {Outcome::unavailable, Next::again};
        case End::cancelled:
            return {Outcome::unavailable, Next::settled};
        case End::protocol:
            return {Outcome::bad, Next::again};
        default:
            return {Outcome::bad, Next::settled};
    }
}

}  // namespace

Judgement judge(const client::ReplyEnd& reply, const std::optional<ErrorAnswer>& error) {
    const int status = reply.head.status;
    const std::string_view code = error ? std::string_view(error->code) : std::string_view();
    if (status == 0) return judge_end(reply.end);
    if (one_of(code, kPassing)) return {Outcome::unavailable, Next::again};
    if (one_of(code, kExpired)) return {Outcome::refused, Next::renew};
    if (code == "RequestTimeTooSkewed") return {Outcome::refused, Next::skew};
    const bool redirect = status == 301 || status == 302 || status == 307 || status == 308;
    if ((redirect || status == 400) && !region_hint(reply.head, error).empty())
        return {Outcome::bad, Next::region};
    if (one_of(code, kRefused) || status == 401 || status == 403)
        return {Outcome::refused, Next::settled};
    if (status == 404) {
        // A missing bucket or user, or a proxy's page, says nothing about the object. To a HEAD
        // nobody can say more.
        const bool absent = error ? one_of(code, kAbsent) : reply.body_bytes == 0;
        return {absent ? Outcome::absent : Outcome::bad, Next::settled};
    }
    if (status == 429 || status == 408 || (status >= 500 && status != 501))
        return {Outcome::unavailable, Next::again};
    if (status < 200 || status >= 300 || error) return {Outcome::bad, Next::settled};
    return reply.end == End::complete ? Judgement{} : judge_end(reply.end);
}

std::string region_hint(const client::ReplyHead& head, const std::optional<ErrorAnswer>& error) {
    std::string region(head.fields.get("x-amz-bucket-region"));
    if (region.empty() && error) region = error->region;
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    };
    if (region.size() > kMaxRegionBytes || !std::ranges::all_of(region, plain)) return {};
    return region;
}

Duration pause_after(uint32_t attempt, const client::ReplyHead& head, Random& random) {
    const Duration whole = std::min(kFirstPause * (1u << std::min(attempt, 10u)), kLongestPause);
    Duration pause =
        whole / 2 +
        Duration(static_cast<int64_t>(random.unit() * static_cast<double>(whole.count() / 2)));
    if (const auto asked = parse_u64(head.fields.get("Retry-After")))
        pause = std::max<Duration>(
            pause, std::chrono::seconds(std::min<uint64_t>(*asked, kLongestPause / 1s)));
    return pause;
}

}  // namespace weir::s3
