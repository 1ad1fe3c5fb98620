// The promises of base/named_file.h.
#include "base/named_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/failure.h"
#include "support/temporary_directory.h"

namespace weir {
namespace {

using std::chrono::milliseconds;

class NamedFile : public testing::Test {
protected:
    std::string write(const char* name, const std::string& text) {
        std::ofstream(directory / name) << text;
        return directory / name;
    }
    std::string failure_of(const std::string& path) {
        try {
            read_named_file(path, 100, milliseconds(20));
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.kind(), Kind::io);
            return failure.what();
        }
        return "";
    }
    TemporaryDirectory directory;
};

TEST_F(NamedFile, is_read_whole_up_to_the_limit) {
    const std::string text(40'000, 'x');
    const auto path = write("a", text);
    EXPECT_EQ(read_named_file(path, text.size()), text);
    EXPECT_THROW(read_named_file(path, text.size() - 1), Failure);
    EXPECT_EQ(read_named_file(directory / "none", 10), std::nullopt);
    EXPECT_FALSE(read_named_file("/proc/self/status", 1 << 20)->empty());
}

TEST_F(NamedFile, may_be_a_link) {
    write("a", "text");
    std::filesystem::create_symlink("a", directory / "link");
    EXPECT_EQ(read_named_file(directory / "link", 10), "text");
}

TEST_F(NamedFile, may_be_a_pipe_that_somebody_writes_to) {
    const std::string pipe = directory / "fifo", text(50'000, 'y');
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    std::thread writer([&] { std::ofstream(pipe) << text; });
    EXPECT_EQ(read_named_file(pipe, 100'000), text);
    writer.join();
}

TEST_F(NamedFile, that_nobody_writes_to_or_that_is_a_directory_is_told_in_a_sentence) {
    const std::string pipe = directory / "fifo";
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_NE(failure_of(pipe).find("does somebody write to it?"), std::string::npos);
    EXPECT_NE(failure_of(directory.path()).find("is a directory"), std::string::npos);
}

TEST_F(NamedFile, is_told_from_what_stands_in_its_place) {
    const auto file = write("a", "");
    std::filesystem::create_symlink("a", directory / "link");
    ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0600), 0);
    EXPECT_EQ(instead_of_file(file, Links::refused), "");
    EXPECT_EQ(instead_of_file(directory / "none", Links::refused), "");
    EXPECT_EQ(instead_of_file(directory / "link", Links::followed), "");
    EXPECT_EQ(instead_of_file(directory / "link", Links::refused), "a symbolic link");
    EXPECT_EQ(instead_of_file(directory / "fifo", Links::followed), "a pipe");
    EXPECT_EQ(instead_of_file(directory.path(), Links::followed), "a directory");
    EXPECT_EQ(instead_of_file("/dev/null", Links::followed), "a device");
    EXPECT_THROW(require_file("key", directory / "fifo"), Failure);
}

}  // namespace
}  // namespace weir
