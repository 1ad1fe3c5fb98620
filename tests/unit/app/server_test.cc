#include "app/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/failure.h"
#include "support/temporary_directory.h"

namespace weir::app {
namespace {

using testing::HasSubstr;

class ServerTest : public testing::Test {
protected:
    std::string config(int port) const {
        const std::string path = directory / "config.json";
        std::ofstream(path) << R"({"http":{"address":"127.0.0.1","port":")" << port
                            << R"("},"storage":{"rootDirectory":")" << (directory / "state")
                            << R"("},"extensions":{"sync":{"enable":true,"registries":[{"urls":)"
                            << R"(["https://ghcr.io"],"onDemand":true}]}}})";
        return path;
    }
    TemporaryDirectory directory;
};

TEST_F(ServerTest, serves_until_it_is_told_to_end) {
    const std::string ready = directory / "ready.json";
    setenv("WEIR_READY_FILE", ready.c_str(), 1);
    std::thread other([&, main = pthread_self()] {
        while (!std::filesystem::exists(ready)) std::this_thread::yield();
        pthread_kill(main, SIGTERM);
    });
    EXPECT_EQ(serve({.config_path = config(0), .lenient = false}), 0);
    other.join();
    unsetenv("WEIR_READY_FILE");
}

TEST_F(ServerTest, a_port_that_is_taken_is_told_and_everything_ends_in_order) {
    const int taken = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    ASSERT_EQ(bind(taken, reinterpret_cast<sockaddr*>(&address), length), 0);
    ASSERT_EQ(listen(taken, 1), 0);
    ASSERT_EQ(getsockname(taken, reinterpret_cast<sockaddr*>(&address), &length), 0);
    const int port = ntohs(address.sin_port);
    try {
        serve({.config_path = config(port), .lenient = false});
        ADD_FAILURE() << "it serves on a port that is taken";
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::config_invalid);
        EXPECT_THAT(failure.what(), HasSubstr(std::to_string(port)));
    }
    close(taken);
}

TEST_F(ServerTest, a_configuration_that_is_wrong_is_refused_before_anything_is_made) {
    const std::string path = directory / "config.json";
    std::ofstream(path) << R"({"htp":{}})";
    EXPECT_THROW(serve({.config_path = path, .lenient = false}), Failure);
    EXPECT_FALSE(std::filesystem::exists(directory / "state"));
}

}  // namespace
}  // namespace weir::app
