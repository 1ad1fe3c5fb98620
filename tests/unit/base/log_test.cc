// The promises of base/log.h: one line an event, whatever foreign text is in it, and no line lost
// that was flushed.
#include "base/log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/check.h"
#include "base/failure.h"

namespace weir {
namespace {

static_assert(!fmt::is_formattable<Secret>::value, "a line with a secret does not compile");

std::string content(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

struct LogFile : testing::Test {
    std::string path = testing::TempDir() + "weir_log_test.log";
    LogFile() { std::remove(path.c_str()); }
    ~LogFile() override {
        log::open(log::Level::info, log::Format::text, "");
        std::remove(path.c_str());
        std::remove((path + ".1").c_str());
    }
};

std::string escaped(std::string_view text) {
    std::string out;
    log::append_json_escaped(out, text);
    return out;
}

TEST(JsonEscape, plain_text_and_good_utf8_stay) {
    const char* text =
        "plain 'text' / \xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb3 \xed\x9f\xbf \xf4\x8f\xbf\xbf";
    EXPECT_EQ(escaped(text), text);
}

TEST(JsonEscape, quotes_backslashes_and_control_characters_are_escaped) {
    EXPECT_EQ(escaped(std::string_view("\"\\\n\r\t\0\x7f", 7)),
              "\\\"\\\\\\u000a\\u000d\\u0009\\u0000\\u007f");
}

TEST(JsonEscape, bytes_that_are_not_utf8_are_replaced_one_by_one) {
    const std::string bad = "\xef\xbf\xbd";
    EXPECT_EQ(escaped("a\xff"
                      "b"),
              "a" + bad + "b");
    EXPECT_EQ(escaped("\xc3"), bad);
    EXPECT_EQ(escaped("\xc3("), bad + "(");
    EXPECT_EQ(escaped("\xe2\x82"), bad + bad);
    EXPECT_EQ(escaped("\x80"), bad);
}

TEST(JsonEscape, overlong_forms_surrogates_and_numbers_beyond_unicode_are_not_utf8) {
    const std::string bad = "\xef\xbf\xbd";
    EXPECT_EQ(escaped("\xc0\xaf"), bad + bad);
    EXPECT_EQ(escaped("\xe0\x80\xaf"), bad + bad + bad);
    EXPECT_EQ(escaped("\xed\xa0\x80"), bad + bad + bad);
    EXPECT_EQ(escaped("\xf0\x80\x80\xaf"), bad + bad + bad + bad);
    EXPECT_EQ(escaped("\xf4\x90\x80\x80"), bad + bad + bad + bad);
}

TEST_F(LogFile, json_lines_are_written_with_time_level_and_room) {
    log::open(log::Level::info, log::Format::json, path);
    log::info("cache", "fetch {} of \"{}\"\n", 7, "a\\b");
    log::debug("cache", "not this one");
    log::flush();
    const std::string text = content(path);
    EXPECT_EQ(text.find("{\"time\":\"20"), 0u) << text;
    EXPECT_NE(text.find("Z\",\"level\":\"info\",\"room\":\"cache\",\"message\":\"fetch 7 of "
                        "\\\"a\\\\b\\\"\\u000a\"}\n"),
              text.npos)
        << text;
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
    // "2026-01-02T03:04:05.678Z"
    EXPECT_EQ(text.find("Z\""), 9u + 23u) << text;
}

TEST_F(LogFile, foreign_text_cannot_forge_a_second_line) {
    log::open(log::Level::info, log::Format::text, path);
    log::warn("http", "agent {}", "x\n2026-01-01 error forged\r\x1b[31m");
    log::flush();
    const std::string text = content(path);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    EXPECT_NE(text.find("agent x\\x0a2026-01-01 error forged\\x0d\\x1b[31m\n"), text.npos) << text;
}

TEST_F(LogFile, a_quiet_line_reaches_the_file_without_a_flush) {
    log::open(log::Level::info, log::Format::text, path);
    log::info("app", "listening");
    std::string text;
    for (int i = 0; i < 500 && text.empty(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        text = content(path);
    }
    EXPECT_NE(text.find("listening"), text.npos);
}

TEST_F(LogFile, a_flush_waits_for_all_lines_before_it) {
    log::open(log::Level::info, log::Format::text, path);
    for (int i = 0; i < 2000; ++i) log::info("app", "line {}", i);
    log::flush();
    const std::string text = content(path);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n') + static_cast<long>(log::dropped()), 2000);
}

TEST_F(LogFile, after_a_rotation_lines_go_to_the_new_file) {
    log::open(log::Level::info, log::Format::text, path);
    log::info("app", "before");
    log::flush();
    std::rename(path.c_str(), (path + ".1").c_str());
    log::reopen();
    log::warn("app", "after");
    log::flush();
    EXPECT_NE(content(path + ".1").find("before"), std::string::npos);
    EXPECT_NE(content(path).find("after"), std::string::npos);
    EXPECT_EQ(content(path).find("before"), std::string::npos);
}

// A SIGHUP ended the process.
TEST_F(LogFile, that_can_not_be_opened_again_stays_the_one_that_it_was) {
    log::open(log::Level::info, log::Format::json, path);
    std::rename(path.c_str(), (path + ".1").c_str());
    std::filesystem::create_directory(path);
    log::reopen();
    log::info("app", "after");
    log::flush();
    EXPECT_NE(content(path + ".1").find("after"), std::string::npos);
    std::filesystem::remove(path);
}

TEST_F(LogFile, that_is_a_pipe_which_nobody_reads_is_refused) {
    const std::string pipe = path + ".pipe";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_THROW(log::open(log::Level::info, log::Format::json, pipe), Failure);
    std::filesystem::remove(pipe);
    log::open(log::Level::info, log::Format::json, path);
}

TEST_F(LogFile, holds_no_login) {
    log::open(log::Level::info, log::Format::json, path);
    log::info("app", "asks {}", "https://robot:geheim@reg.lab/v2/");
    log::flush();
    EXPECT_NE(content(path).find("https://***@reg.lab/v2/"), std::string::npos);
}

TEST_F(LogFile, the_level_can_change) {
    log::open(log::Level::warn, log::Format::text, path);
    log::info("app", "one");
    log::set_level(log::Level::debug);
    log::debug("app", "two");
    log::flush();
    EXPECT_EQ(content(path).find("one"), std::string::npos);
    EXPECT_NE(content(path).find("two"), std::string::npos);
}

TEST_F(LogFile, a_block_of_lines_is_written_as_it_is) {
    log::open(log::Level::info, log::Format::json, path);
    log::write_lines("{\"a\":1}\n{\"b\":2}\n");
    log::write_lines("");
    log::flush();
    EXPECT_EQ(content(path), "{\"a\":1}\n{\"b\":2}\n");
}

TEST(Log, a_file_that_cannot_be_opened_is_a_failure_of_the_configuration) {
    try {
        log::open(log::Level::info, log::Format::text, "/proc/weir/none.log");
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::config_invalid);
    }
    log::open(log::Level::info, log::Format::text, "");
}

TEST(CheckDeathTest, a_failed_check_says_where_and_writes_the_lines_before_it) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const std::string path = testing::TempDir() + "weir_check_test.log";
    std::remove(path.c_str());
    EXPECT_DEATH(
        {
            log::open(log::Level::info, log::Format::text, path);
            log::info("app", "the last line");
            check(false, "two is three");
        },
        "check failed: two is three .*log_test.cc");
    EXPECT_NE(content(path).find("the last line"), std::string::npos);
    std::remove(path.c_str());
}

TEST(Kind, every_kind_has_a_name_of_its_own) {
    std::set<std::string> names;
    for (int i = 0; i <= static_cast<int>(Kind::internal); ++i)
        names.insert(kind_name(static_cast<Kind>(i)));
    EXPECT_EQ(names.size(), static_cast<size_t>(Kind::internal) + 1);
}

}  // namespace
}  // namespace weir
