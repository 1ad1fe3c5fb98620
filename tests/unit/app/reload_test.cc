#include "app/reload.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <thread>

#include "support/temporary_directory.h"

namespace weir::app {
namespace {

namespace fs = std::filesystem;

class ReloadTest : public testing::Test {
protected:
    std::string path(const char* name) const { return directory.path() + "/" + name; }

    // As an editor or an orchestrator does it: never half a file.
    static void replace(const std::string& path, const std::string& text) {
        std::ofstream(path + ".new") << text;
        fs::rename(path + ".new", path);
    }

    std::string with_level(const char* level) const {
        return fmt::format(
            R"({{"http": {{"address": "127.0.0.1", "port": "0"}}, "log": {{"level": "{}"}}, "storage": {{"rootDirectory": "{}"}},
                 "extensions": {{"sync": {{"credentialsFile": "{}", "registries": [
                   {{"urls": ["https://quay.io"], "onDemand": true, "certDir": "{}"}}]}}}}}})",
            level, path("state"), path("credentials.json"), path("certs"));
    }

    TemporaryDirectory directory;
    ServeArguments arguments{.config_path = path("config.json")};
};

TEST_F(ReloadTest, each_file_that_a_configuration_names_is_watched) {
    fs::create_directory(path("certs"));
    replace(path("config.json"), with_level("info"));
    replace(path("credentials.json"), "{}");
    auto read = read_configuration(arguments);
    EXPECT_FALSE(files_changed(arguments, read));
    for (const char* name : {"config.json", "credentials.json", "certs/ca.crt"}) {
        replace(path(name), name == std::string("config.json") ? with_level("debug") : "{ }");
        EXPECT_TRUE(files_changed(arguments, read)) << name;
        read = read_configuration(arguments);
        EXPECT_FALSE(files_changed(arguments, read)) << name;
    }
}

// Its stamp is from before it was read: what was read of a file that has gone by then is a change.
TEST_F(ReloadTest, what_changes_while_it_is_read_is_seen) {
    // Blanks at the end make it take a while.
    const std::string blanks(900'000, ' ');
    for (int round = 0; round < 100; ++round) {
        replace(path("config.json"), with_level("info") + blanks);
        std::ofstream(path("next.json")) << with_level("error") + blanks;
        std::thread other([&] {
            const auto at =
                std::chrono::steady_clock::now() + std::chrono::microseconds(round * 20);
            while (std::chrono::steady_clock::now() < at) {
            }
            fs::rename(path("next.json"), path("config.json"));
        });
        const auto read = read_configuration(arguments);
        other.join();
        if (read.config->log.threshold() != log::Level::error)
            EXPECT_TRUE(files_changed(arguments, read)) << "round " << round;
    }
}

TEST_F(ReloadTest, without_a_file_nothing_of_it_is_watched) {
    const ServeArguments none;
    EXPECT_FALSE(files_changed(none, read_configuration(none)));
}

// ---- what a reload does with what it has read ---------------------------------------------------

class ReloaderTest : public ReloadTest {
protected:
    void write(const std::string& more, const std::string& root = "state") {
        replace(
            path("config.json"),
            fmt::format(
                R"({{"http": {{"address": "127.0.0.1", "port": "0"}}, "storage": {{"rootDirectory": "{}"}}{}}})",
                root.starts_with('/') ? root : path(root.c_str()), more));
    }
    // A part that tells what it was given, and refuses when it is told to.
    Reloader::Part part(const char* name) {
        return [this, name](const Fresh& fresh) -> Reloader::Commit {
            seen += std::string(" prepare:") + name;
            if (refusing == name) throw std::runtime_error("not today");
            return [this, name, fresh] {
                seen += std::string(" commit:") + name;
                last = fresh;
                return std::string();
            };
        };
    }
    std::string reload() {
        seen.clear();
        reloader->reload("test");
        return seen;
    }
    void start() {
        write("");
        reloader.emplace(arguments, read_configuration(arguments),
                         std::vector<Reloader::Part>{part("a"), part("b"), part("c")});
    }

    std::string seen, refusing;
    Fresh last;
    std::optional<Reloader> reloader;
};

TEST_F(ReloaderTest, everything_is_prepared_before_anything_is_applied) {
    start();
    EXPECT_EQ(reload(), " prepare:a prepare:b prepare:c commit:a commit:b commit:c");
}

TEST_F(ReloaderTest, when_one_part_refuses_none_is_applied_and_the_next_file_takes) {
    start();
    for (const char* name : {"a", "b", "c"}) {
        write(R"(, "log": {"level": "debug"})");
        refusing = name;
        EXPECT_EQ(reload().find("commit"), std::string::npos) << name;
        EXPECT_EQ(reloader->running().log.level, "info") << name;
        refusing.clear();
        EXPECT_NE(reload().find("commit:c"), std::string::npos) << name;
        EXPECT_EQ(reloader->running().log.level, "debug") << name;
        write("");
        reload();
    }
}

TEST_F(ReloaderTest, a_wrong_file_changes_nothing_and_the_right_one_after_it_takes) {
    start();
    for (const char* wrong : {"{", "", "[1]", R"({"htp": 1})", R"({"http": {"port": "x"}})"}) {
        replace(path("config.json"), wrong);
        EXPECT_EQ(reload(), "") << wrong;
        write("");
        EXPECT_NE(reload(), "") << wrong;
    }
}

// Row 13: another rootDirectory was taken for the running one, and no reload worked again.
TEST_F(ReloaderTest, another_root_directory_waits_for_the_restart_and_the_right_file_takes_again) {
    start();
    write("", "/nowhere/at/all");
    EXPECT_NE(reload(), "");
    EXPECT_EQ(reloader->running().storage.root_directory, path("state"));
    EXPECT_TRUE(last.keeps("storage.rootDirectory"));
    write("");
    EXPECT_NE(reload(), "");
    EXPECT_TRUE(last.kept.empty());
}

TEST_F(ReloaderTest, what_can_change_does_beside_what_can_not) {
    start();
    write(R"(, "log": {"level": "debug"}, "weir": {"threads": {"pool": 3}, "catalog": false})",
          "/elsewhere");
    reload();
    EXPECT_EQ(last.kept, (std::vector<std::string>{"storage.rootDirectory", "weir.threads"}));
    EXPECT_EQ(last.config->log.level, "debug");
    EXPECT_FALSE(last.config->catalog);
    EXPECT_EQ(last.config->threads.pool, config::Threads().pool);
}

}  // namespace
}  // namespace weir::app
