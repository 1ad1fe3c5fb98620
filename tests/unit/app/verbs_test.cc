// The promises of app/verb.h, verbs_du.h, verbs_pin.h and command_line.h.
#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "app/command_line.h"
#include "app/pace.h"
#include "app/verbs_du.h"
#include "app/verbs_pin.h"
#include "config/load.h"
#include "support/temporary_directory.h"
#include "unit/app/verbs_world.h"

namespace weir::app {
namespace {

using ::testing::HasSubstr;
namespace json = boost::json;

// ---- Progress, Pace

TEST(Progress, is_a_line_for_each_tenth_where_there_is_no_terminal) {
    std::ostringstream out;
    Progress progress("weir x", out, false);
    for (int i = 0; i <= 1000; ++i) progress.at("blobs", i / 1000.0);
    const std::string text = out.str();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11);
    EXPECT_THAT(text, HasSubstr("weir x: blobs 0 %\n"));
    EXPECT_THAT(text, HasSubstr("weir x: blobs 100 %\n"));
    EXPECT_EQ(text.find('\r'), std::string::npos);
}

TEST(Progress, is_a_bar_on_a_terminal_and_gone_at_the_end) {
    std::ostringstream bar, out;
    {
        Progress progress("weir x", bar, true);
        progress.at("blobs", 0.5, "5 of 10");
        EXPECT_THAT(bar.str(), HasSubstr("blobs [###############...............]  50 %  5 of 10"));
        progress.line(out, "a problem");
        EXPECT_EQ(out.str(), "a problem\n");
    }
    EXPECT_TRUE(bar.str().ends_with("\r\x1b[K"));
}

TEST(Pace, is_kept_over_all_that_is_read) {
    Pace pace(1'000'000);
    const auto begin = std::chrono::steady_clock::now();
    run_task([&]() -> Task<> {
        for (int i = 0; i < 4; ++i) co_await pace.take(20'000);
    });
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 60ms);
}

TEST(Pace, of_nothing_is_none) {
    Pace pace(0);
    run_task([&]() -> Task<> { co_await pace.take(UINT64_MAX); });
}

// ---- du

class Du : public VerbWorld {};

TEST_F(Du, shows_the_largest_repositories_first) {
    const auto put = [&](const std::string& repository, size_t bytes) {
        const auto digest = on_disk(std::string(bytes, static_cast<char>('a' + bytes % 26)));
        engine->link(repository, digest);
    };
    put("docker.io/a", 10);
    put("docker.io/b", 300);
    put("docker.io/c", 20);
    in_s3("in S3");
    DuArguments arguments;
    arguments.top = 2;
    const DiskUse use = disk_use(*engine, arguments, {});
    EXPECT_EQ(use.tiers.disk_bytes, 330u);
    EXPECT_EQ(use.tiers.s3_bytes, 5u);
    EXPECT_EQ(use.repository_count, 4u);
    ASSERT_EQ(use.repositories.size(), 2u);
    EXPECT_EQ(use.repositories[0].repository, "docker.io/library/x");
    EXPECT_EQ(use.repositories[1].repository, "docker.io/b");
    ASSERT_FALSE(use.upstreams.empty());
    EXPECT_EQ(use.upstreams[0].upstream, "docker.io");
    arguments.all = true;
    EXPECT_EQ(disk_use(*engine, arguments, {}).repositories.size(), 4u);
}

// ---- pins

TEST(Pins, are_read_as_a_client_would_say_the_image) {
    const config::Config config = config::defaults(config::Environment{});
    const auto read = [&](const char* text) {
        const auto pin = parse_pin(config, text);
        return pin ? pin->repository + " " + pin->tag : pin.error();
    };
    EXPECT_EQ(read("docker.io/library/debian:12"), "docker.io/library/debian 12");
    EXPECT_EQ(read("docker.io/debian"), "docker.io/library/debian *");
    EXPECT_EQ(read("ghcr.io/acme/**:v1*"), "ghcr.io/acme/** v1*");
    EXPECT_EQ(read("debian:12"), "docker.io/library/debian 12");
    for (const char* text : {"", ":x", "a:", "a/[:x", "a:["})
        EXPECT_FALSE(parse_pin(config, text).has_value()) << text;
}

// ---- the command line, on a real directory

class CommandLine : public ::testing::Test {
protected:
    CommandLine() {
        std::ofstream(config) << fmt::format(
            R"({{"storage": {{"rootDirectory": "{}"}}, "log": {{"level": "error"}}}})",
            directory / "state");
    }
    int weir(std::vector<const char*> arguments) {
        arguments.insert(arguments.begin(), "weir");
        out.str("");
        return run(static_cast<int>(arguments.size()), arguments.data(), out);
    }
    json::value told() { return json::parse(out.str()); }

    TemporaryDirectory directory;
    std::string config = directory / "c.json";
    std::ostringstream out;
};

TEST_F(CommandLine, usage_is_told_by_its_own_exit_code) {
    EXPECT_EQ(weir({"version"}), 0);
    EXPECT_THAT(out.str(), HasSubstr("weir "));
    EXPECT_EQ(weir({"gc", "--nope"}), 2);
    EXPECT_EQ(weir({"pin"}), 2);
    EXPECT_EQ(weir({}), 2);
    for (const char* verb : {"gc", "scrub", "rebuild", "du", "pin", "unpin", "pins"})
        EXPECT_EQ(weir({verb, "--help"}), 0) << verb;
    EXPECT_EQ(weir({"scrub", config.c_str(), "--rate", "fast"}), 2);
}

TEST_F(CommandLine, without_a_database_there_is_nothing_to_work_on) {
    for (const char* verb : {"gc", "scrub", "du", "pins"})
        EXPECT_EQ(weir({verb, config.c_str()}), 2) << verb;
    EXPECT_EQ(weir({"du", (directory / "missing.json").c_str()}), 2);
}

TEST_F(CommandLine, verbs_work_on_the_configurations_store) {
    EXPECT_EQ(weir({"rebuild", config.c_str(), "--json"}), 0);
    EXPECT_EQ(told().at("problems").as_array().size(), 0u);
    EXPECT_EQ(weir({"du", config.c_str(), "--json"}), 0);
    EXPECT_EQ(told().at("tiers").at("disk").at("bytes").to_number<int>(), 0);
    EXPECT_EQ(weir({"gc", config.c_str(), "--dry-run", "--json"}), 0);
    EXPECT_TRUE(told().at("dryRun").as_bool());
    EXPECT_EQ(weir({"scrub", config.c_str(), "--json"}), 0);
    EXPECT_TRUE(told().at("clean").as_bool());
}

TEST_F(CommandLine, pins_come_and_go) {
    ASSERT_EQ(weir({"rebuild", config.c_str()}), 0);
    EXPECT_EQ(weir({"pin", "docker.io/debian:12", "--config", config.c_str()}), 0);
    EXPECT_THAT(out.str(), HasSubstr("pinned docker.io/library/debian:12"));
    EXPECT_EQ(weir({"pins", config.c_str(), "--json"}), 0);
    ASSERT_EQ(told().as_array().size(), 1u);
    EXPECT_EQ(told().at(0).at("tags").as_string(), "12");
    EXPECT_EQ(weir({"unpin", "docker.io/library/debian:12", "--config", config.c_str()}), 0);
    EXPECT_EQ(weir({"unpin", "docker.io/library/debian:12", "--config", config.c_str()}), 1);
}

TEST_F(CommandLine, rebuild_leaves_a_database_that_has_something_alone) {
    ASSERT_EQ(weir({"rebuild", config.c_str()}), 0);
    {
        const auto engine = meta::open_sqlite({.path = directory / "state/weir.db"});
        engine->put_tag("docker.io/library/x", "latest", {digest_of("x"), {}, "docker.io"});
    }
    EXPECT_EQ(weir({"rebuild", config.c_str()}), 2);
    EXPECT_EQ(weir({"rebuild", config.c_str(), "--force"}), 0);
    EXPECT_TRUE(std::filesystem::exists(directory / "state/weir.db.old"));
    const auto engine = meta::open_sqlite({.path = directory / "state/weir.db"});
    EXPECT_TRUE(engine->tags("docker.io/library/x", "", 10).empty());
}

}  // namespace
}  // namespace weir::app
