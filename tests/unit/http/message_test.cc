#include "http/message.h"

#include <gtest/gtest.h>

namespace weir::http {
namespace {

TEST(Request, fields_are_found_in_any_case_and_the_first_wins) {
    const std::pair<std::string_view, std::string_view> fields[] = {
        {"Accept", "a"}, {"X-Empty", ""}, {"ACCEPT", "b"}};
    Request request;
    request.fields = fields;
    EXPECT_EQ(request.field("accept"), "a");
    EXPECT_EQ(request.field("absent"), "");
    EXPECT_TRUE(request.has("x-empty"));
    EXPECT_FALSE(request.has("absent"));
}

TEST(Response, lines_are_serialised_as_they_are_set) {
    Response response(206);
    response.set("Content-Type", "a/b");
    response.set("X", "");
    EXPECT_EQ(response.fields, "Content-Type: a/b\r\nX: \r\n");
    response.set_body(std::make_shared<const std::string>("four"));
    EXPECT_EQ(response.content_length, 4u);
}

TEST(ResponseDeathTest, a_line_end_in_a_value_is_a_bug) {
    Response response;
    EXPECT_DEATH(response.set("X", "a\r\nSet-Cookie: b"), "line end");
}

}  // namespace
}  // namespace weir::http
