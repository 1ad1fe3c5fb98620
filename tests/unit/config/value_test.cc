// The promises of config/value.h: two formats, one tree; zot's weak types.
#include "config/value.h"

#include <gtest/gtest.h>

namespace weir::config {
namespace {

using namespace std::chrono_literals;

Value json(std::string_view text) {
    auto value = parse_json(text);
    EXPECT_TRUE(value) << (value ? "" : value.error().what);
    return value ? *value : Value();
}

Value yaml(std::string_view text) {
    auto value = parse_yaml(text);
    EXPECT_TRUE(value) << (value ? "" : value.error().what);
    return value ? *value : Value();
}

Value text(std::string_view t) {
    Value value;
    value.type = Value::Type::text;
    value.text = t;
    return value;
}

TEST(Value, json_and_yaml_become_the_same_tree) {
    const Value a = json(R"({"a": {"b": [1, "x", true, null, 2.5]}, "c": "5000"})");
    const Value b = yaml("a:\n  b: [1, x, true, null, 2.5]\nc: \"5000\"\n");
    for (const Value* root : {&a, &b}) {
        const Value* list = root->find("A")->find("B");
        ASSERT_EQ(list->items.size(), 5u);
        EXPECT_EQ(list->items[0].integer, 1);
        EXPECT_EQ(list->items[1].text, "x");
        EXPECT_TRUE(list->items[2].boolean);
        EXPECT_TRUE(list->items[3].is(Value::Type::null));
        EXPECT_EQ(list->items[4].real, 2.5);
        EXPECT_TRUE(root->find("c")->is(Value::Type::text));
    }
}

TEST(Value, knows_the_line_it_stands_in) {
    EXPECT_EQ(json("{\n \"a\": {\n  \"b\": 1,\n  \"c\": 2\n }\n}\n").find("a")->find("c")->line,
              4u);
    EXPECT_EQ(yaml("a:\n  b: 1\n  c: 2\n").find("a")->find("c")->line, 3u);
}

TEST(Value, comments_in_json_are_an_error_with_line_and_column) {
    auto value = parse_json("{\n  // why\n  \"a\": 1\n}");
    ASSERT_FALSE(value);
    EXPECT_EQ(value.error().line, 2u);
    EXPECT_EQ(value.error().column, 3u);
    EXPECT_NE(value.error().what.find("no comments"), std::string::npos);
    EXPECT_NE(parse_json("{\"a\": 1} # x").error().what.find("no comments"), std::string::npos);
    EXPECT_NE(parse_json("{\"a\": /* x */ 1}").error().what.find("no comments"), std::string::npos);
}

TEST(Value, tells_what_is_wrong_with_json) {
    EXPECT_NE(parse_json("{\"a\": 1,}").error().what.find("comma too many"), std::string::npos);
    EXPECT_NE(parse_json("{\"a\": 1").error().what.find("ends within"), std::string::npos);
    EXPECT_NE(parse_json("{}\n{}").error().what.find("after the end"), std::string::npos);
    EXPECT_EQ(parse_json("{}\n{}").error().line, 2u);
    EXPECT_NE(parse_json("").error().what.find("empty"), std::string::npos);
    EXPECT_TRUE(parse_json("\n{}\n\n"));
    EXPECT_TRUE(parse_json("\xef\xbb\xbf{}"));
}

TEST(Value, is_bounded_in_depth_and_number) {
    EXPECT_FALSE(parse_json(std::string(kMaxDepth + 2, '[') + std::string(kMaxDepth + 2, ']')));
    EXPECT_FALSE(parse_yaml(std::string(kMaxDepth + 2, '[') + std::string(kMaxDepth + 2, ']')));
    std::string many = "[1";
    for (size_t i = 0; i <= kMaxValues; ++i) many += ",1";
    EXPECT_FALSE(parse_json(many + "]"));
    EXPECT_FALSE(parse_yaml(many + "]"));
}

TEST(Value, a_yaml_file_that_multiplies_itself_is_refused) {
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; ++i) {
        bomb += fmt::format("a{0}: &a{0} [", i);
        for (int j = 0; j < 10; ++j) bomb += fmt::format("{}*a{}", j ? ", " : "", i - 1);
        bomb += "]\n";
    }
    EXPECT_FALSE(parse_yaml(bomb));
}

TEST(Value, yaml_reads_as_version_1_2_says) {
    const Value value = yaml(
        "a: yes\nb: on\nc: \"true\"\nd: True\ne: 0x10\nf: 1_000\ng: ~\nh: 10.0.0.1\ni: 1e3\nj: "
        "'7'\n");
    EXPECT_EQ(value.find("a")->text, "yes");
    EXPECT_EQ(value.find("b")->text, "on");
    EXPECT_EQ(value.find("c")->text, "true");
    EXPECT_TRUE(value.find("d")->boolean);
    EXPECT_EQ(value.find("e")->integer, 16);
    EXPECT_EQ(value.find("f")->integer, 1000);
    EXPECT_TRUE(value.find("g")->is(Value::Type::null));
    EXPECT_EQ(value.find("h")->text, "10.0.0.1");
    EXPECT_EQ(value.find("i")->real, 1000);
    EXPECT_EQ(value.find("j")->text, "7");
}

TEST(Value, yaml_merges_what_anchors_name) {
    const Value value = yaml("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n  z: {w: 4}\n");
    const Value* use = value.find("use");
    EXPECT_EQ(use->find("x")->integer, 1);
    EXPECT_EQ(use->find("y")->integer, 3);
    EXPECT_EQ(use->find("z")->find("w")->integer, 4);
}

TEST(Value, yaml_of_two_documents_is_refused) {
    EXPECT_FALSE(parse_yaml("a: 1\n---\nb: 2\n"));
    EXPECT_FALSE(parse_yaml("a: [1\n"));
}

TEST(Value, yaml_aliases_do_not_deepen_without_bound) {
    std::string tower = "a0: &a0 [x]\n";
    for (int i = 1; i < 40; ++i) tower += fmt::format("a{0}: &a{0} [*a{1}]\n", i, i - 1);
    EXPECT_NE(parse_yaml(tower).error().what.find("deeper"), std::string::npos);
}

// yaml-cpp's own loader never came back from these.
TEST(Value, yaml_with_a_bracket_too_many_ends) {
    EXPECT_FALSE(parse_yaml("{a: 1}]}"));
    EXPECT_FALSE(parse_yaml(R"({"a":{"b":1},"c":{}}},"d":[1]})"));
    EXPECT_FALSE(parse_yaml("]"));
    EXPECT_FALSE(parse_yaml("a: &x [*x]\n"));
}

TEST(Value, yaml_keys_are_texts_as_they_are_written) {
    const Value value = yaml("true: 1\n0x10: 2\n5.50: 3\n");
    EXPECT_EQ(value.keys, (std::vector<std::string>{"true", "0x10", "5.50"}));
}

TEST(Value, the_extension_says_the_format) {
    EXPECT_TRUE(parse_file("/etc/c.yaml", "a: 1"));
    EXPECT_TRUE(parse_file("/etc/c.YML", "a: 1"));
    EXPECT_FALSE(parse_file("/etc/c.json", "a: 1"));
    EXPECT_TRUE(parse_file("/etc/config", "a: 1"));
    EXPECT_TRUE(parse_file("/etc/x.d/config", "{\"a\": 1}"));
    EXPECT_TRUE(parse_file("/etc/config.cfg", "a: 1"));
    const std::string what = parse_file("/etc/c.toml", "a = 1").error().what;
    EXPECT_NE(what.find("toml"), std::string::npos);
    EXPECT_NE(what.find("JSON or YAML"), std::string::npos);
}

TEST(Value, a_text_that_starts_like_json_is_judged_as_json) {
    EXPECT_NE(parse_file("config", " {\"a\": 1,}").error().what.find("not JSON"),
              std::string::npos);
}

TEST(WeakTypes, texts_are_made_of_numbers_and_flags) {
    EXPECT_EQ(weak_text(json("5000")), "5000");
    EXPECT_EQ(weak_text(json("1.5")), "1.5");
    EXPECT_EQ(weak_text(json("true")), "1");
    EXPECT_FALSE(weak_text(json("[]")));
}

TEST(WeakTypes, flags_are_made_of_texts_as_go_parses_them) {
    for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"})
        EXPECT_EQ(weak_flag(text(yes)), true) << yes;
    for (const char* no : {"0", "f", "F", "false", "FALSE", "False", ""})
        EXPECT_EQ(weak_flag(text(no)), false) << no;
    for (const char* bad : {"yes", "on", "tRUE", "2"}) EXPECT_FALSE(weak_flag(text(bad))) << bad;
    EXPECT_EQ(weak_flag(json("1")), true);
    EXPECT_EQ(weak_flag(json("0")), false);
    EXPECT_FALSE(weak_flag(json("{}")));
}

TEST(WeakTypes, numbers_are_made_of_texts_as_go_parses_them) {
    EXPECT_EQ(weak_integer(text("5000")), 5000);
    EXPECT_EQ(weak_integer(text("-0x10")), -16);
    EXPECT_EQ(weak_integer(text("0b11")), 3);
    EXPECT_EQ(weak_integer(text("")), 0);
    EXPECT_EQ(weak_integer(json("3.0")), 3);
    EXPECT_EQ(weak_integer(json("true")), 1);
    for (const char* bad : {"x", "5000 ", "1.5", "-", "99999999999999999999"})
        EXPECT_FALSE(weak_integer(text(bad))) << bad;
    EXPECT_FALSE(weak_integer(json("3.5")));
    EXPECT_EQ(weak_number(text("2.5")), 2.5);
}

TEST(WeakTypes, durations_are_gos) {
    EXPECT_EQ(parse_duration("30s"), 30s);
    EXPECT_EQ(parse_duration("1h30m"), 90min);
    EXPECT_EQ(parse_duration("1.5h"), 90min);
    EXPECT_EQ(parse_duration("300ms"), 300ms);
    EXPECT_EQ(parse_duration("2us3ns"), 2003ns);
    EXPECT_EQ(parse_duration("5\u00b5s"), 5us);
    EXPECT_EQ(parse_duration("-1m"), -1min);
    EXPECT_EQ(parse_duration("0"), 0s);
    EXPECT_EQ(parse_duration(".5s"), 500ms);
    EXPECT_EQ(parse_duration("1.s"), 1s);
    for (const char* bad :
         {"", "2d", "30", "s", "1 s", "1h 30m", "1.2.3s", ".s", "-", "9999999h"}) {
        EXPECT_FALSE(parse_duration(bad)) << bad;
    }
    EXPECT_NE(parse_duration("2d").error().find("48h"), std::string::npos);
    EXPECT_EQ(weak_duration(json("1000000000")), 1s);
    EXPECT_FALSE(weak_duration(json("true")));
    EXPECT_FALSE(weak_duration(json("[]")));
}

TEST(WeakTypes, sizes_say_their_unit) {
    EXPECT_EQ(parse_bytes("50GB"), 50'000'000'000u);
    EXPECT_EQ(parse_bytes("10GiB"), 10 * kGiB);
    EXPECT_EQ(parse_bytes("1.5 MiB"), 1536 * kKiB);
    EXPECT_EQ(parse_bytes("4096"), 4096u);
    EXPECT_EQ(parse_bytes("64kib"), 64 * kKiB);
    for (const char* bad : {"", "GB", "10G", "10m", "-1", "1.2.3MB", "99999999999TB"})
        EXPECT_FALSE(parse_bytes(bad)) << bad;
    EXPECT_EQ(weak_size(text("80%")), (Size{0, 80.0}));
    EXPECT_EQ(weak_size(text("80%"))->of(200), 160u);
    EXPECT_EQ(weak_size(text("1KiB")), (Size{1024, {}}));
    EXPECT_FALSE(weak_size(text("101%")));
    EXPECT_FALSE(weak_size(json("-5")));
}

TEST(WeakTypes, are_shown_as_they_are_read) {
    for (Duration duration : {Duration(0), Duration(1500ms), Duration(90min), Duration(30s),
                              Duration(3h), Duration(7ns)}) {
        EXPECT_EQ(parse_duration(show(duration)), duration) << show(duration);
    }
    for (uint64_t bytes : {0ull, 1ull, 1024ull, 5ull << 20, 3ull << 40, 1000ull}) {
        EXPECT_EQ(parse_bytes(show_bytes(bytes)), bytes) << show_bytes(bytes);
    }
    EXPECT_EQ(show(Duration(5min)), "5m");
    EXPECT_EQ(show_bytes(64 * kMiB), "64MiB");
}

}  // namespace
}  // namespace weir::config
