// The promises of config/credentials.h.
#include "config/credentials.h"

#include <cstdlib>
#include <fstream>

#include "base/failure.h"
#include "base/text.h"
#include "unit/config/support.h"

namespace weir::config {
namespace {

std::string file(const std::string& name, const std::string& text) {
    const std::string path = testing::TempDir() + "weir_credentials_" + name;
    std::ofstream(path) << text;
    return path;
}

// "user:password" or "" for nobody.
std::string who(const Credentials& credentials, std::string_view host,
                std::string_view repository = "a/b") {
    auto found = credentials.find(host, repository);
    if (!found) return "";
    return found->username + ":" +
           (found->token.empty() ? found->password.reveal() : "token " + found->token.reveal());
}

Config with_files(std::string zot, std::vector<std::string> docker = {}) {
    Config config;
    config.credentials_file = std::move(zot);
    config.docker_config_files = std::move(docker);
    return config;
}

TEST(Credentials, of_zots_file_are_found_by_host_and_port) {
    const Credentials all = Credentials::load(with_files(file(
        "zot.json",
        R"({"ghcr.io": {"username": "g", "password": "1"}, "Reg.Lab:5000": {"username": "r", "password": "2"}})")));
    EXPECT_EQ(who(all, "ghcr.io"), "g:1");
    EXPECT_EQ(who(all, "GHCR.io:443"), "g:1");
    EXPECT_EQ(who(all, "reg.lab:5000"), "r:2");
    EXPECT_EQ(who(all, "reg.lab"), "");
    EXPECT_EQ(who(all, "quay.io"), "");
}

TEST(Credentials, of_docker_hub_are_found_by_any_of_its_names) {
    for (const char* name :
         {"docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"}) {
        const Credentials all = Credentials::load(with_files(file(
            "hub.json", fmt::format(R"({{"{}": {{"username": "h", "password": "1"}}}})", name))));
        EXPECT_EQ(who(all, "registry-1.docker.io", "library/debian"), "h:1") << name;
        EXPECT_EQ(who(all, "docker.io", "library/debian"), "h:1") << name;
        EXPECT_EQ(who(all, "auth.docker.io", "library/debian"), "h:1") << name;
        EXPECT_EQ(who(all, "ghcr.io"), "") << name;
    }
}

TEST(Credentials, know_which_hosts_are_upstreams) {
    Config config;
    Registry hub, lab;
    hub.urls = {"https://registry-1.docker.io"};
    lab.urls = {"https://Reg.Lab:5000", "http://mirror.lab"};
    config.registries = {hub, lab};
    const Credentials all = Credentials::load(config);
    for (const char* host : {"docker.io", "index.docker.io", "reg.lab:5000", "mirror.lab",
                             "mirror.lab:80", "mirror.lab:443"})
        EXPECT_TRUE(all.is_upstream(host)) << host;
    for (const char* host : {"reg.lab", "reg.lab:5001", "ghcr.io", ""})
        EXPECT_FALSE(all.is_upstream(host)) << host;
}

TEST(Credentials, of_dockers_file_may_be_packed_tokens_or_plain) {
    const std::string path =
        file("docker.json", fmt::format(R"({{"credsStore": "x", "auths": {{
        "https://index.docker.io/v1/": {{"auth": "{}"}},
        "ghcr.io": {{"username": "g", "password": "2"}},
        "acr.lab": {{"auth": "{}", "identitytoken": "id"}},
        "bearer.lab": {{"registrytoken": "tok"}},
        "helper.lab": {{}}}}}})",
                                        to_base64("u:p:with:colons"), to_base64("00000000:")));
    const Credentials all = Credentials::load(with_files("", {path}));
    EXPECT_EQ(who(all, "registry-1.docker.io"), "u:p:with:colons");
    EXPECT_EQ(who(all, "ghcr.io"), "g:2");
    EXPECT_EQ(who(all, "acr.lab"), "00000000:token id");
    EXPECT_FALSE(all.find("acr.lab", "a")->bearer);
    EXPECT_EQ(who(all, "bearer.lab"), ":token tok");
    EXPECT_TRUE(all.find("bearer.lab", "a")->bearer);
    EXPECT_EQ(who(all, "helper.lab"), "");
}

TEST(Credentials, the_longest_repository_prefix_wins) {
    const std::string path = file("prefix.json", R"({"auths": {
        "quay.io": {"username": "all", "password": "1"},
        "quay.io/acme": {"username": "acme", "password": "2"},
        "quay.io/acme/tools": {"username": "tools", "password": "3"}}})");
    const Credentials all = Credentials::load(with_files("", {path}));
    EXPECT_EQ(who(all, "quay.io", "other/x"), "all:1");
    EXPECT_EQ(who(all, "quay.io", "acme/x"), "acme:2");
    EXPECT_EQ(who(all, "quay.io", "acme/tools/x"), "tools:3");
    EXPECT_EQ(who(all, "quay.io", "acme/tools"), "tools:3");
    EXPECT_EQ(who(all, "quay.io", "acmeother/x"), "all:1");
}

TEST(Credentials, several_logins_of_one_host_stand_side_by_side) {
    setenv("WEIR_TEST_PASSWORD", "from-env", 1);
    const std::string secret = file("secret", "from-file\n");
    const Config config = read_good(
        with_registries(registry_of("https://ghcr.io"),
                        fmt::format(R"("weir": {{"upstreams": {{"ghcr.io": {{"credentials": [
            {{"username": "any", "password": "given"}},
            {{"repositories": "acme/**", "username": "acme", "passwordFile": "{}"}},
            {{"repositories": "{{lab,tools}}/**", "username": "lab", "passwordEnv": "WEIR_TEST_PASSWORD"}},
            {{"repositories": "acme/one", "token": "tok"}}]}}}}}})",
                                    secret)));
    const Credentials all = Credentials::load(config);
    EXPECT_EQ(who(all, "ghcr.io", "other/x"), "any:given");
    EXPECT_EQ(who(all, "ghcr.io", "acme/x"), "acme:from-file");
    EXPECT_EQ(who(all, "ghcr.io", "acme/one"), ":token tok");
    EXPECT_TRUE(all.find("ghcr.io", "acme/one")->bearer);
    EXPECT_EQ(all.find("ghcr.io", "acme/x")->source, "weir.upstreams.ghcr.io.credentials[1]");
    EXPECT_EQ(who(all, "quay.io", "acme/x"), "");
    unsetenv("WEIR_TEST_PASSWORD");
    EXPECT_THROW(Credentials::load(config), Failure);
}

TEST(Credentials, our_own_are_believed_before_zots_before_dockers) {
    Config config = read_good(with_registries(
        registry_of("https://ghcr.io"),
        R"("weir": {"upstreams": {"ghcr.io": {"credentials": [{"repositories": "acme/**", "username": "own", "password": "1"}]}}})"));
    config.credentials_file =
        file("zot2.json", R"({"ghcr.io": {"username": "zot", "password": "2"}})");
    config.docker_config_files = {
        file(
            "d1.json",
            R"({"auths": {"ghcr.io": {"username": "d1", "password": "3"}, "quay.io": {"username": "q1", "password": "3"}}})"),
        file("d2.json", R"({"auths": {"quay.io/acme": {"username": "q2", "password": "4"}}})")};
    const Credentials all = Credentials::load(config);
    EXPECT_EQ(who(all, "ghcr.io", "acme/x"), "own:1");
    EXPECT_EQ(who(all, "ghcr.io", "other/x"), "zot:2");
    EXPECT_EQ(who(all, "quay.io", "acme/x"), "q1:3");
}

TEST(Credentials, an_anonymous_upstream_has_none) {
    Config config = read_good(R"({"weir": {"upstreams": {"docker.io": {"anonymous": true}}}})");
    config.docker_config_files = {
        file("anon.json", R"({"auths": {"docker.io": {"username": "h", "password": "1"},
                                                                   "ghcr.io": {"username": "g", "password": "2"}}})")};
    const Credentials all = Credentials::load(config);
    EXPECT_EQ(who(all, "registry-1.docker.io"), "");
    EXPECT_EQ(who(all, "ghcr.io"), "g:2");
}

TEST(Credentials, missing_files_of_docker_are_usual_and_a_missing_file_of_zots_is_a_warning) {
    const Credentials docker = Credentials::load(with_files("", {"/nonexistent/config.json"}));
    EXPECT_EQ(docker.size(), 0u);
    EXPECT_TRUE(docker.warnings().empty());
    const Credentials zot = Credentials::load(with_files("/nonexistent/auth.json"));
    ASSERT_EQ(zot.warnings().size(), 1u);
    EXPECT_NE(zot.warnings()[0].find("/nonexistent/auth.json"), std::string::npos);
}

TEST(Credentials, a_broken_file_does_not_hide_the_others) {
    const Credentials all = Credentials::load(with_files(
        file("broken.json", R"({"ghcr.io": "hunter2"})"),
        {file("good.json", R"({"auths": {"quay.io": {"username": "q", "password": "1"}}})")}));
    EXPECT_EQ(who(all, "quay.io"), "q:1");
    ASSERT_EQ(all.warnings().size(), 1u);
    EXPECT_EQ(all.warnings()[0].find("hunter2"), std::string::npos);
}

TEST(Credentials, nonsense_is_refused_without_telling_secrets) {
    for (const char* text : {R"({"ghcr.io": {"username": "u", "password": "hunter2")",
                             R"(["hunter2"])", R"({"ghcr.io": "hunter2"})"}) {
        try {
            parse_zot_credentials(text, "auth.json");
            FAIL() << text;
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.kind(), Kind::config_invalid);
            EXPECT_EQ(std::string(failure.what()).find("hunter2"), std::string::npos)
                << failure.what();
        }
    }
    try {
        parse_docker_config(R"({"auths": {"ghcr.io": {"auth": "hunter2"}}})", "config.json");
        FAIL();
    } catch (const Failure& failure) {
        EXPECT_EQ(std::string(failure.what()).find("hunter2"), std::string::npos) << failure.what();
    }
    EXPECT_TRUE(parse_docker_config("{}", "c").empty());
    EXPECT_THROW(parse_docker_config(R"({"auths": []})", "c"), Failure);
}

TEST(Credentials, the_stamp_changes_with_a_file) {
    const std::string path = file("stamp.json", "{}");
    const Config config = with_files(path, {"/nonexistent/weir.json"});
    const uint64_t before = Credentials::stamp(config);
    EXPECT_EQ(Credentials::stamp(config), before);
    std::ofstream(path) << R"({"ghcr.io": {"username": "u", "password": "p"}})";
    EXPECT_NE(Credentials::stamp(config), before);
}

}  // namespace
}  // namespace weir::config
