#include "registry/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::registry {
namespace {

using testing::HasSubstr;
using testing::Not;

http::Response answer(const Failure& failure, uint64_t id = 7) {
    return error_response(std::make_exception_ptr(failure), id);
}

std::string body(const http::Response& response) {
    return *std::get<std::shared_ptr<const std::string>>(response.body);
}

TEST(Errors, every_kind_has_a_status_of_an_error_and_a_code) {
    for (int kind = 0; kind <= static_cast<int>(Kind::internal); ++kind) {
        const auto status = error_status(static_cast<Kind>(kind));
        EXPECT_GE(status.status, 400) << kind;
        EXPECT_LT(status.status, 600) << kind;
        EXPECT_STRNE(status.code, "") << kind;
    }
}

TEST(Errors, are_oci_json_with_message_and_length) {
    const auto response = answer(Failure(Kind::manifest_unknown, "no \"such\" tag"));
    EXPECT_EQ(response.status, 404);
    EXPECT_EQ(body(response),
              R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"no \"such\" tag"}]})");
    EXPECT_EQ(response.content_length, body(response).size());
    EXPECT_THAT(response.fields, HasSubstr("Content-Type: application/json\r\n"));
    EXPECT_EQ(response.notes.detail, "no \"such\" tag");
}

TEST(Errors, a_bug_shows_the_client_nothing_but_the_request) {
    const auto response = answer(Failure(Kind::internal, "the secret path /etc/x"), 42);
    EXPECT_EQ(response.status, 500);
    EXPECT_THAT(body(response), HasSubstr("request id 42"));
    EXPECT_THAT(body(response), Not(HasSubstr("secret")));
    EXPECT_THAT(response.notes.detail, HasSubstr("secret"));
    const auto other = error_response(std::make_exception_ptr(std::bad_alloc()), 43);
    EXPECT_EQ(other.status, 500);
    EXPECT_THAT(body(other), HasSubstr("request id 43"));
}

TEST(Errors, show_no_login_of_a_proxy_or_an_upstream) {
    const auto response = answer(
        Failure(Kind::upstream_unreachable, "proxy http://robot:geheim@proxy.lab:3128: refused"));
    EXPECT_THAT(body(response), Not(HasSubstr("geheim")));
    EXPECT_THAT(body(response), HasSubstr("proxy.lab:3128"));
}

TEST(Errors, an_upstream_that_refuses_lets_the_client_fall_back) {
    const auto response = answer(Failure(Kind::upstream_refused, "ghcr.io refuses acme/tool"));
    EXPECT_EQ(response.status, 404);
    EXPECT_THAT(body(response), HasSubstr("NAME_UNKNOWN"));
    EXPECT_THAT(body(response), HasSubstr("ghcr.io"));
}

TEST(Errors, what_an_upstream_rejects_is_a_4xx_that_no_client_takes_for_absent_or_repeats) {
    const auto denied = answer(Failure(Kind::upstream_denied, "harbor answers 412, POLICY: no"));
    EXPECT_EQ(denied.status, 403);
    EXPECT_THAT(body(denied), HasSubstr("DENIED"));
    EXPECT_THAT(body(denied), HasSubstr("POLICY: no"));
    const auto rejected = answer(Failure(Kind::upstream_rejected, "r.example answers 400"));
    EXPECT_EQ(rejected.status, 400);
    EXPECT_THAT(body(rejected), HasSubstr("UNSUPPORTED"));
    EXPECT_THAT(rejected.fields, Not(HasSubstr("Allow:")));
}

TEST(Errors, too_many_says_when_to_come_back) {
    Failure failure(Kind::too_many, "docker.io asks for peace");
    failure.retry_after = std::chrono::seconds(120);
    EXPECT_THAT(answer(failure).fields, HasSubstr("Retry-After: 120\r\n"));
    EXPECT_THAT(answer(Failure(Kind::too_many, "x")).fields, HasSubstr("Retry-After: "));
}

TEST(Errors, a_range_past_the_end_tells_the_size) {
    Failure failure(Kind::range_invalid, "past the end");
    failure.size = 100;
    const auto response = answer(failure);
    EXPECT_EQ(response.status, 416);
    EXPECT_THAT(response.fields, HasSubstr("Content-Range: bytes */100\r\n"));
}

TEST(Errors, a_write_is_told_what_is_allowed) {
    const auto response = answer(Failure(Kind::unsupported, "pull only"));
    EXPECT_EQ(response.status, 405);
    EXPECT_THAT(response.fields, HasSubstr("Allow: GET, HEAD\r\n"));
}

}  // namespace
}  // namespace weir::registry
