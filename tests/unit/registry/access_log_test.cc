#include "registry/access_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

namespace weir::registry {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Sample {
    Sample() {
        request.method_text = "GET";
        request.path = "/v2/library/debian/manifests/12";
        request.query = "ns=docker.io&token=geheim";
        request.host = "cache.lab:5000";
        request.peer = "192.0.2.7";
        request.id = 99;
        request.fields = fields;
        response.status = 200;
        response.notes.route = "manifest";
        response.notes.cache = "hit_memory";
        response.notes.upstream = std::make_shared<const std::string>("docker.io");
        outcome.body_bytes_sent = 1234;
        outcome.time_to_first_byte = std::chrono::microseconds(87);
        outcome.total = std::chrono::microseconds(12'345);
    }
    std::string line(log::Format format) const {
        std::string out;
        append_access_line(out, format, "2026-01-02T03:04:05.678Z", request, response, outcome);
        return out;
    }
    std::pair<std::string_view, std::string_view> fields[2] = {{"Authorization", "Bearer geheim"},
                                                               {"user-agent", "a\"b\\c\x01 (x)"}};
    http::Request request;
    http::Response response;
    http::Outcome outcome;
};

TEST(AccessLine, is_json_with_all_that_is_asked_for) {
    const std::string line = Sample().line(log::Format::json);
    ASSERT_TRUE(line.ends_with("\"}\n"));
    const auto value = boost::json::parse(line).as_object();
    EXPECT_EQ(value.at("id").as_int64(), 99);
    EXPECT_EQ(value.at("client").as_string(), "192.0.2.7");
    EXPECT_EQ(value.at("path").as_string(), "/v2/library/debian/manifests/12");
    EXPECT_EQ(value.at("ns").as_string(), "docker.io");
    EXPECT_EQ(value.at("status").as_int64(), 200);
    EXPECT_EQ(value.at("bytes").as_int64(), 1234);
    EXPECT_DOUBLE_EQ(value.at("first_byte_ms").as_double(), 0.087);
    EXPECT_DOUBLE_EQ(value.at("total_ms").as_double(), 12.345);
    EXPECT_EQ(value.at("route").as_string(), "manifest");
    EXPECT_EQ(value.at("cache").as_string(), "hit_memory");
    EXPECT_EQ(value.at("upstream").as_string(), "docker.io");
    EXPECT_EQ(value.at("user_agent").as_string(), "a\"b\\c\x01 (x)");
    EXPECT_FALSE(value.contains("aborted"));
}

TEST(AccessLine, holds_no_credential_and_no_query_but_ns) {
    for (const auto format : {log::Format::json, log::Format::text})
        EXPECT_THAT(Sample().line(format), Not(HasSubstr("geheim")));
}

TEST(AccessLine, holds_no_login_that_stands_where_a_host_is_wanted) {
    const std::string fill(kMaxAccessTextBytes - 10, 'x');
    for (const std::string& host :
         {std::string("robot:geheim@docker.io"), std::string("geheim@docker.io"),
          "robot:geheim" + fill + "@docker.io"}) {
        Sample sample;
        const std::string asked = "ns=" + host;
        const std::string_view query = asked, encoded = "ns=robot%3Ageheim%40docker.io";
        sample.request.host = host;
        sample.response.notes.detail = "no upstream for \"robot:geheim@docker.io\"";
        for (const std::string_view each : {query, encoded}) {
            sample.request.query = each;
            EXPECT_THAT(sample.line(log::Format::json), Not(HasSubstr("geheim"))) << host;
            EXPECT_THAT(sample.line(log::Format::text), Not(HasSubstr("geheim"))) << host;
        }
        EXPECT_THAT(sample.line(log::Format::json), HasSubstr("@docker.io")) << host;
    }
}

TEST(AccessLine, tells_why_an_answer_was_cut) {
    Sample sample;
    sample.outcome.aborted = true;
    sample.outcome.abort_reason = "client left";
    for (const auto format : {log::Format::json, log::Format::text})
        EXPECT_THAT(sample.line(format), HasSubstr("client left"));
}

TEST(AccessLine, is_one_line_whatever_the_client_sends) {
    Sample sample;
    sample.request.path = "/v2/a\nb\r\"c";
    for (const auto format : {log::Format::json, log::Format::text}) {
        const std::string line = sample.line(format);
        EXPECT_EQ(line.find('\n'), line.size() - 1);
        EXPECT_EQ(line.find('\r'), std::string::npos);
    }
}

TEST(TimeText, shows_milliseconds_and_follows_the_second) {
    TimeText text;
    const WallTime second{std::chrono::seconds(1'767'323'045)};  // 2026-01-02T03:04:05Z
    EXPECT_EQ(text.of(second + std::chrono::milliseconds(7)), "2026-01-02T03:04:05.007Z");
    EXPECT_EQ(text.of(second + std::chrono::milliseconds(999)), "2026-01-02T03:04:05.999Z");
    EXPECT_EQ(text.of(second + std::chrono::milliseconds(1000)), "2026-01-02T03:04:06.000Z");
}

}  // namespace
}  // namespace weir::registry
