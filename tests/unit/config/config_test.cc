#include "config/config.h"

#include "unit/config/support.h"

namespace weir::config {
namespace {

TEST(Config, levels_of_zot_become_ours) {
    const auto threshold = [](const char* level) {
        Log log;
        log.level = level;
        return log.threshold();
    };
    EXPECT_EQ(threshold("trace"), log::Level::debug);
    EXPECT_EQ(threshold("DEBUG"), log::Level::debug);
    EXPECT_EQ(threshold("info"), log::Level::info);
    EXPECT_EQ(threshold("warning"), log::Level::warn);
    EXPECT_EQ(threshold("panic"), log::Level::error);
}

TEST(Config, a_reload_names_what_only_a_restart_changes) {
    const Config before = defaults(quiet_machine());
    Config after = before;
    EXPECT_TRUE(needs_restart(before, after).empty());
    after.freshness.ttl = std::chrono::seconds(1);
    after.log.level = "debug";
    EXPECT_TRUE(needs_restart(before, after).empty());
    after.http.port = 6000;
    after.storage.root_directory = "/elsewhere";
    EXPECT_EQ(needs_restart(before, after),
              (std::vector<std::string>{"http.port", "storage.rootDirectory"}));
}

TEST(Config, finds_registries_by_name) {
    const Config config = defaults(quiet_machine());
    ASSERT_NE(config.registry("docker.io"), nullptr);
    EXPECT_EQ(config.registry("docker.io")->urls[0], "https://registry-1.docker.io");
    EXPECT_EQ(config.registry("nowhere"), nullptr);
}

}  // namespace
}  // namespace weir::config
