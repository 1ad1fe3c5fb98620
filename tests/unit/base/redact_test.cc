// The promises of base/redact.h.
#include "base/redact.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Redact, logins_are_hidden_wherever_they_stand) {
    for (const auto& [text, shown] : {
             std::pair{"https://robot:pass@reg.lab/x", "https://***@reg.lab/x"},
             {"https://ghp_token@reg.lab", "https://***@reg.lab"},
             {"robot:pass@reg.lab", "***@reg.lab"},
             {"weir.upstreams.robot:pass@reg.lab: unknown", "***@reg.lab: unknown"},
             {"a \"robot:pa@ss@reg.lab\" b", "a \"***@reg.lab\" b"},
             {"https://robot:pa/ss@reg.lab", "https://***@reg.lab"},
             {"proxy=robot:pass@reg.lab", "proxy=***@reg.lab"},
             {"http://a:b@x, http://c:d@y", "http://***@x, http://***@y"},
             {"no login", "no login"},
             {"", ""},
             {"@", "@"},
             {"debian:12@sha256:0123", "debian:12@sha256:0123"},
             {"mail someone@reg.lab", "mail someone@reg.lab"},
         })
        EXPECT_EQ(without_logins(text), shown) << text;
}

TEST(Redact, of_a_host_all_before_the_last_at_is_a_login) {
    EXPECT_EQ(host_without_login("robot:pass@reg.lab:5000"), "***@reg.lab:5000");
    EXPECT_EQ(host_without_login("ghp_token@reg.lab"), "***@reg.lab");
    EXPECT_EQ(host_without_login("a@b@reg.lab"), "***@reg.lab");
    EXPECT_EQ(host_without_login("reg.lab"), "reg.lab");
}

TEST(Redact, secrets_are_known_by_their_names) {
    for (const char* name : {"access_token", "token", "Private-Token", "job_token", "password",
                             "passwordFile", "credentials", "secretkey", "accesskey", "auth",
                             "identityToken", "X-Amz-Signature", "sig", "key", "api_key", "pwd"})
        EXPECT_TRUE(names_secret(name)) << name;
    for (const char* name : {"n", "last", "next_page", "nextPageToken", "page_token",
                             "artifactType", "ns", "cursor", "ttl", "repositories", "username", ""})
        EXPECT_FALSE(names_secret(name)) << name;
}

}  // namespace
}  // namespace weir
