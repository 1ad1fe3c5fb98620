// No secret of a configuration is shown by what is said about it.
#include "base/failure.h"
#include "config/credentials.h"
#include "unit/config/support.h"

namespace weir::config {
namespace {

constexpr const char* kSecret = "hunter2";

std::string said_of(const std::string& text, const std::string& name) {
    const Report report = read(text, name);
    std::string said = problems(report, true) + problems(report, false);
    for (const KeyReport& key : report.keys) said += key.path + " " + key.note + "\n";
    return said;
}

// Wherever it was put by mistake.
TEST(Secrets, are_not_in_what_is_said_of_a_wrong_file) {
    for (
        const char* text : {
            R"({"weir": {"upstreams": {"docker.io": {"credentials": "robot:hunter2"}}}})",
            R"({"weir": {"upstreams": {"docker.io": {"credentials": ["robot:hunter2"]}}}})",
            R"({"weir": {"upstreams": {"docker.io": {"credentials": {"robot": "hunter2"}}}}})",
            R"({"weir": {"upstreams": {"docker.io": {"credentials": {"robot:hunter2": ""}}}}})",
            R"({"weir": {"upstreams": {"docker.io": {"credentials": [{"hunter2": 1}]}}}})",
            R"({"weir": {"upstreams": {"docker.io": {"credentials": [{"password": ["hunter2"]}]}}}})",
            R"({"weir": {"upstreams": {"docker.io": {"credentials": [{"token": {"a": "hunter2"}}]}}}})",
            R"({"weir": {"upstreams": {"docker.io": {"password": "hunter2"}}}})",
            R"({"weir": {"upstreams": {"https://robot:hunter2@reg.lab": {"ttl": "1m"}}}})",
            R"({"weir": {"upstreams": {"robot:hunter2@reg.lab": {"ttl": "1m"}}}})",
            R"({"weir": {"upstreams": {"docker.io": {"proxy": "robot:hunter2@proxy.lab"}}}})",
            R"({"weir": {"hosts": {"robot:hunter2@docker.io": "x"}}})",
            R"({"weir": {"hosts": {"docker.io": "https://robot:hunter2@reg.lab"}}})",
            R"({"weir": {"cache": {"quotas": {"https://robot:hunter2@reg.lab": "1GB"}}}})",
            R"({"weir": {"bareUpstream": "https://robot:hunter2@reg.lab"}})",
            R"({"https://robot:hunter2@reg.lab": 1})",
            R"({"robot:hunter2": 1})",
            R"({"http": {"port": "https://robot:hunter2@reg.lab"}})",
            R"({"http": {"auth": {"ldap": {"bindPassword": ["hunter2"]}}}})",
            R"({"http": {"auth": {"failDelay": "hunter2"}}})",
            R"({"storage": {"storageDriver": {"name": "s3", "bucket": "b", "secretkey": ["hunter2"]}}})",
            R"({"storage": {"storageDriver": {"name": "s3", "bucket": "b", "accesskey": {"hunter2": 1}}}})",
            R"({"extensions": {"sync": {"registries": [{"urls": ["robot:hunter2@reg.lab"], "onDemand": true}]}}})",
            R"({"extensions": {"sync": {"registries": [{"urls": ["https://robot:hunter2@reg.lab"], "onDemand": true}]}}})",
            R"({"extensions": {"sync": {"registries": ["https://robot:hunter2@reg.lab"]}}})",
        }) {
        const std::string said = said_of(text, "c.json");
        EXPECT_FALSE(said.empty()) << text;
        EXPECT_EQ(said.find(kSecret), std::string::npos) << text << "\n" << said;
    }
}

TEST(Secrets, are_not_in_what_is_said_of_wrong_yaml) {
    for (const char* text :
         {"weir:\n  upstreams:\n    docker.io:\n      credentials: robot:hunter2\n",
          "weir:\n  upstreams:\n    robot:hunter2@reg.lab:\n      ttl: 1m\n"})
        EXPECT_EQ(said_of(text, "c.yaml").find(kSecret), std::string::npos) << text;
}

// Where a file's or a variable's name is wanted somebody may have written the password itself.
TEST(Secrets, are_not_taken_for_names_that_may_be_shown) {
    for (const char* key : {"passwordFile", "passwordEnv", "tokenFile", "tokenEnv"}) {
        Config config = read_good(fmt::format(
            R"({{"weir": {{"upstreams": {{"docker.io": {{"credentials": [{{"{}": "hunter2"{}}}]}}}}}}}})",
            key, std::string(key).starts_with("password") ? R"(, "username": "robot")" : ""));
        try {
            Credentials::load(config);
            ADD_FAILURE() << key;
        } catch (const Failure& failure) {
            EXPECT_EQ(std::string(failure.what()).find(kSecret), std::string::npos)
                << failure.what();
        }
    }
}

TEST(Secrets, other_values_are_shown_so_that_a_slip_is_found) {
    EXPECT_NE(only_error(R"({"http": {"port": "80x"}})").find("80x"), std::string::npos);
    EXPECT_NE(only_error(R"({"weir": {"missTimeout": "5 minutes"}})").find("5 minutes"),
              std::string::npos);
    EXPECT_NE(only_error(R"({"weir": {"missTimeot": "5s"}})").find("missTimeot"),
              std::string::npos);
}

}  // namespace
}  // namespace weir::config
