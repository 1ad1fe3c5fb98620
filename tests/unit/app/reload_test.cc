#include "app/reload.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
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

}  // namespace
}  // namespace weir::app
