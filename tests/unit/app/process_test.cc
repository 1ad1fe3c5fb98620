#include "app/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/failure.h"
#include "support/temporary_directory.h"

namespace weir::app {
namespace {

using testing::HasSubstr;

std::string message_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::config_invalid);
        return failure.what();
    }
    return {};
}

TEST(StateRoot, is_made_with_its_parents) {
    const TemporaryDirectory directory;
    const StateRoot root(directory / "a/b/c");
    EXPECT_TRUE(std::filesystem::is_directory(directory / "a/b/c"));
}

TEST(StateRoot, is_refused_to_a_second_weir_until_the_first_has_ended) {
    const TemporaryDirectory directory;
    {
        const StateRoot first(directory.path());
        EXPECT_THAT(message_of([&] { const StateRoot second(directory.path()); }),
                    HasSubstr("in use by another weir"));
    }
    EXPECT_EQ(message_of([&] { const StateRoot second(directory.path()); }), "");
}

TEST(StateRoot, that_cannot_be_made_is_told_with_path_and_hint) {
    const TemporaryDirectory directory;
    std::ofstream(directory / "file") << "x";
    const auto message = message_of([&] { const StateRoot root(directory / "file/state"); });
    EXPECT_THAT(message, HasSubstr("storage.rootDirectory"));
    EXPECT_THAT(message, HasSubstr("file/state"));
    EXPECT_THAT(message, HasSubstr("may write"));
}

TEST(ReadyFile, holds_port_and_pid_and_nothing_is_left_beside_it) {
    const TemporaryDirectory directory;
    const std::string path = directory / "ready.json";
    setenv("WEIR_READY_FILE", path.c_str(), 1);
    write_ready_file(5001);
    unsetenv("WEIR_READY_FILE");
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    EXPECT_EQ(text.str(), "{\"http\": 5001, \"pid\": " + std::to_string(getpid()) + "}\n");
    size_t files = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory.path()))
        ++files;
    EXPECT_EQ(files, 1u);
}

TEST(ReadyFile, is_not_written_when_nobody_asked) {
    unsetenv("WEIR_READY_FILE");
    write_ready_file(5001);
}

TEST(Process, may_open_as_many_files_as_it_is_allowed) {
    EXPECT_GE(prepare_process(), 1024u);
    EXPECT_GE(usable_cores(), 1u);
}

}  // namespace
}  // namespace weir::app
