#include "app/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
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

mode_t mode_of(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
}

TEST(StateRoot, that_weir_makes_is_its_owners_alone) {
    const TemporaryDirectory directory;
    const StateRoot root(directory / "state/");
    EXPECT_EQ(mode_of(directory / "state"), 0700u);
    EXPECT_EQ(mode_of(directory / "state/weir.lock"), 0600u);
}

TEST(StateRoot, is_refused_to_a_second_weir_also_when_its_lock_was_taken_away) {
    const TemporaryDirectory directory;
    const StateRoot first(directory.path());
    ASSERT_TRUE(std::filesystem::remove(directory / "weir.lock"));
    EXPECT_THAT(message_of([&] { const StateRoot second(directory.path()); }),
                HasSubstr("in use by another weir"));
}

TEST(StateRoot, with_something_else_in_its_locks_place_is_refused_in_a_sentence) {
    const TemporaryDirectory directory;
    std::filesystem::create_directory(directory / "weir.lock");
    EXPECT_THAT(message_of([&] { const StateRoot root(directory.path()); }),
                HasSubstr("weir.lock"));
    std::filesystem::remove(directory / "weir.lock");
    std::filesystem::create_symlink(directory / "elsewhere", directory / "weir.lock");
    EXPECT_THAT(message_of([&] { const StateRoot root(directory.path()); }),
                HasSubstr("weir.lock"));
    EXPECT_FALSE(std::filesystem::exists(directory / "elsewhere"));
}

// In a process of its own, which says by its exit code what it found.
int standard_descriptors_of_a_child(std::initializer_list<int> closed) {
    const pid_t child = fork();
    if (child == 0) {
        for (const int fd : closed) close(fd);
        open_standard_descriptors();
        for (const int fd : {0, 1, 2}) {
            struct stat status{}, null{};
            const bool is_null = fstat(fd, &status) == 0 && stat("/dev/null", &null) == 0 &&
                                 status.st_rdev == null.st_rdev && S_ISCHR(status.st_mode);
            const bool was_closed = std::find(closed.begin(), closed.end(), fd) != closed.end();
            if (fcntl(fd, F_GETFD) == -1 || (was_closed && !is_null)) _exit(10 + fd);
        }
        _exit(open("/dev/zero", O_RDONLY) > 2 ? 0 : 20);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Process, has_its_standard_descriptors_whatever_a_supervisor_closed) {
    EXPECT_EQ(standard_descriptors_of_a_child({}), 0);
    EXPECT_EQ(standard_descriptors_of_a_child({0}), 0);
    EXPECT_EQ(standard_descriptors_of_a_child({1}), 0);
    EXPECT_EQ(standard_descriptors_of_a_child({2}), 0);
    EXPECT_EQ(standard_descriptors_of_a_child({0, 2}), 0);
    EXPECT_EQ(standard_descriptors_of_a_child({0, 1, 2}), 0);
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
