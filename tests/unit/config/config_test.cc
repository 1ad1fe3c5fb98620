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
    EXPECT_TRUE(keep_until_restart(before, after).kept.empty());
    after.freshness.ttl = std::chrono::seconds(1);
    after.log.level = "debug";
    EXPECT_TRUE(keep_until_restart(before, after).kept.empty());
    after.http.port = 6000;
    after.storage.root_directory = "/elsewhere";
    EXPECT_EQ(keep_until_restart(before, after).kept,
              (std::vector<std::string>{"http.port", "storage.rootDirectory"}));
}

struct Fixed {
    const char* key;
    void (*change)(Config&);
};
// Every key that only a restart changes.
const Fixed kFixed[] = {
    {"http.address", [](Config& c) { c.http.address = "192.0.2.1"; }},
    {"http.port", [](Config& c) { c.http.port = 6000; }},
    {"http.tls", [](Config& c) { c.http.tls = Tls{"c", "k", ""}; }},
    {"log.output", [](Config& c) { c.log.output = "/x"; }},
    {"weir.log.format", [](Config& c) { c.log.format = "other"; }},
    {"weir.log.access", [](Config& c) { c.log.access_output = "/x"; }},
    {"storage.rootDirectory", [](Config& c) { c.storage.root_directory = "/x"; }},
    {"storage.commit", [](Config& c) { c.storage.commit = !c.storage.commit; }},
    {"storage.storageDriver", [](Config& c) { c.storage.s3.emplace(); }},
    {"weir.s3", [](Config& c) { ++c.s3.uploads; }},
    {"weir.cache.admission", [](Config& c) { ++c.cache.admission_min_bytes; }},
    {"extensions.metrics", [](Config& c) { c.metrics.path = "/m"; }},
    {"weir.missTimeout", [](Config& c) { c.timeouts.miss *= 2; }},
    {"weir.fetch", [](Config& c) { ++c.fetch.max_queued; }},
    {"weir.memory", [](Config& c) { ++c.memory.open_files; }},
    {"weir.relay", [](Config& c) { ++c.relay.max_concurrent; }},
    {"weir.threads", [](Config& c) { ++c.threads.pool; }},
};

// Each alone, and each pair, beside something that changes at once.
TEST(Config, what_needs_a_restart_keeps_its_value_over_a_reload) {
    const Config running = defaults(quiet_machine());
    for (const Fixed& a : kFixed) {
        for (const Fixed& b : kFixed) {
            Config fresh = running;
            a.change(fresh);
            if (&a != &b) b.change(fresh);
            fresh.log.level = "debug";
            fresh.freshness.ttl *= 2;
            fresh.cache.max_bytes.bytes = 7;
            fresh.fetch.whole_after_range = true;
            const Reloaded reloaded = keep_until_restart(running, fresh);
            std::vector<std::string> expected{a.key};
            if (&a != &b) expected.insert(&b < &a ? expected.begin() : expected.end(), b.key);
            EXPECT_EQ(reloaded.kept, expected);
            Config in_force = running;
            in_force.log.level = "debug";
            in_force.freshness.ttl *= 2;
            in_force.cache.max_bytes.bytes = 7;
            in_force.fetch.whole_after_range = true;
            EXPECT_EQ(reloaded.config, in_force) << a.key << " and " << b.key;
        }
    }
}

TEST(Config, tls_files_change_with_a_reload_and_tls_itself_does_not) {
    Config running = defaults(quiet_machine());
    running.http.tls = Tls{"a", "b", ""};
    Config fresh = running;
    fresh.http.tls->cert = "other";
    EXPECT_EQ(keep_until_restart(running, fresh).config, fresh);
    fresh.http.tls.reset();
    EXPECT_EQ(keep_until_restart(running, fresh).config, running);
}

TEST(Config, finds_registries_by_name) {
    const Config config = defaults(quiet_machine());
    ASSERT_NE(config.registry("docker.io"), nullptr);
    EXPECT_EQ(config.registry("docker.io")->urls[0], "https://registry-1.docker.io");
    EXPECT_EQ(config.registry("nowhere"), nullptr);
}

}  // namespace
}  // namespace weir::config
