// One way to name the configuration, and slips that are told with what was meant.
#include "app/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "app/which_config.h"
#include "support/temporary_directory.h"

namespace weir::app {
namespace {

using testing::HasSubstr;

struct Said {
    int code = 0;
    std::string out, errors;
};

Said weir(std::vector<const char*> words) {
    words.insert(words.begin(), "weir");
    std::ostringstream out;
    testing::internal::CaptureStderr();
    Said said;
    said.code = run(static_cast<int>(words.size()), words.data(), out);
    said.errors = testing::internal::GetCapturedStderr();
    said.out = out.str();
    return said;
}

TEST(UnknownVerb, says_which_one_was_meant) {
    for (const auto& [slip, meant] : {std::pair{"srve", "serve"},
                                      {"verfy", "verify"},
                                      {"scub", "scrub"},
                                      {"Pins", "pins"},
                                      {"unpn", "unpin"},
                                      {"rebuld", "rebuild"},
                                      {"vresion", "version"}}) {
        const Said said = weir({slip});
        EXPECT_EQ(said.code, 2) << slip;
        EXPECT_THAT(said.errors, HasSubstr("did you mean \"" + std::string(meant) + "\"?")) << slip;
    }
    const Said other = weir({"frobnicate"});
    EXPECT_EQ(other.code, 2);
    EXPECT_THAT(other.errors, HasSubstr("there is no verb \"frobnicate\""));
    EXPECT_EQ(other.errors.find("did you mean"), std::string::npos);
}

class NamedConfig : public testing::Test {
protected:
    std::string write(const std::string& name) {
        std::ofstream(directory / name)
            << R"({"storage": {"rootDirectory": ")" << (directory / "state") << R"("}})";
        return directory / name;
    }
    ~NamedConfig() override { unsetenv(kConfigVariable); }
    TemporaryDirectory directory;
};

TEST_F(NamedConfig, is_what_was_said_then_the_variable_then_a_usual_file) {
    unsetenv(kConfigVariable);
    EXPECT_EQ(which_config("", directory.path()), "");
    const auto json = write("weir.json");
    EXPECT_EQ(which_config("", directory.path()), json);
    const auto yaml = write("weir.yaml");
    EXPECT_EQ(which_config("", directory.path()), yaml);
    setenv(kConfigVariable, "/from/the/variable", 1);
    EXPECT_EQ(which_config("", directory.path()), "/from/the/variable");
    EXPECT_EQ(which_config("said", directory.path()), "said");
}

TEST_F(NamedConfig, is_named_in_the_same_way_in_every_verb) {
    const auto config = write("c.json");
    const std::string store = "store: " + (directory / "state") + ", configuration: " + config;
    const std::vector<std::vector<const char*>> verbs{
        {"gc"}, {"scrub"}, {"du"}, {"pins"}, {"pin", "docker.io/a"}, {"unpin", "docker.io/a"}};
    for (const auto& verb : verbs) {
        for (const char* option : {"-c", "--config"}) {
            auto words = verb;
            words.insert(words.end(), {option, config.c_str()});
            EXPECT_THAT(weir(words).errors, HasSubstr(store)) << verb[0] << " " << option;
        }
        setenv(kConfigVariable, config.c_str(), 1);
        EXPECT_THAT(weir(verb).errors, HasSubstr(store)) << verb[0];
        unsetenv(kConfigVariable);
    }
    EXPECT_EQ(weir({"verify", "-c", config.c_str()}).code, 0);
    EXPECT_EQ(weir({"verify", config.c_str()}).code, 0);
    EXPECT_EQ(weir({"verify", config.c_str(), "-c", config.c_str()}).code, 2);
}

}  // namespace
}  // namespace weir::app
