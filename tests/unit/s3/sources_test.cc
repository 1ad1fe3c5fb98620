// Where credentials come from over real sockets: STS, containers and IMDS, each played by a server
// of the test.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "async/scope.h"
#include "base/failure.h"
#include "client/curl_client.h"
#include "s3/credentials.h"
#include "support/real_loop.h"
#include "support/temporary_directory.h"
#include "support/wire_server.h"

namespace weir::s3 {
namespace {

using namespace std::chrono_literals;
using test::http_answer;
using test::Peer;
using test::RealLoop;
using test::WireServer;

const std::string kJson =
    R"({"AccessKeyId":"AK","SecretAccessKey":"SK","Token":"TK","Expiration":"2100-01-02T03:04:05Z"})";

class SourcesTest : public ::testing::Test {
protected:
    SourcesTest() {
        options.environment = [this](const std::string& name) -> std::optional<std::string> {
            const auto found = variables.find(name);
            return found == variables.end() ? std::nullopt : std::optional(found->second);
        };
        options.imds_endpoint.clear();
    }

    // "" and `held`, or why there is none.
    std::string ask() {
        Scope scope("credentials");
        CredentialChain chain(options, client, pool, system_clock(), scope);
        std::string why = real.run([this, &chain, &scope]() { return take(chain, scope); });
        source = chain.source();
        return why;
    }
    std::string written(const std::string& name, const std::string& text) {
        std::ofstream(directory / name) << text;
        return directory / name;
    }

    TemporaryDirectory directory;
    std::map<std::string, std::string> variables;
    CredentialOptions options;
    RealLoop real;
    ThreadPool pool{"pool", 1};
    client::CurlClient client{client::CurlOptions{}};
    std::shared_ptr<const Credentials> held;
    std::string source;
    std::vector<std::string> imds_heads;

private:
    Task<std::string> take(CredentialChain& chain, Scope& scope) {
        std::string why;
        try {
            held = co_await chain.current(system_clock().now() + 10s);
        } catch (const Failure& failure) {
            why = failure.what();
        }
        co_await scope.join();
        co_return why;
    }
};

TEST_F(SourcesTest, a_web_identity_is_changed_for_a_role_at_sts) {
    std::string head, body;
    WireServer sts([&](Peer& peer) {
        head = peer.read_head();
        body = peer.read_bytes(
            static_cast<size_t>(std::stoi(head.substr(head.find("Content-Length: ") + 16))));
        peer.write(http_answer(
            200,
            "<AssumeRoleWithWebIdentityResponse "
            "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
            "<AssumeRoleWithWebIdentityResult><Credentials><SessionToken>T&amp;K</SessionToken>"
            "<SecretAccessKey>SK</SecretAccessKey><Expiration>2100-01-02T03:04:05Z</Expiration>"
            "<AccessKeyId>AK</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>"));
        peer.wait_closed();
    });
    options.sts_endpoint = sts.url();
    variables = {{"AWS_WEB_IDENTITY_TOKEN_FILE", written("token", "ey.j+w/t==\n")},
                 {"AWS_ROLE_ARN", "arn:aws:iam::1:role/weir"}};
    EXPECT_EQ(ask(), "");
    ASSERT_TRUE(held);
    EXPECT_EQ(held->access_key, "AK");
    EXPECT_EQ(held->session_token.reveal(), "T&K");
    EXPECT_EQ(source, "web identity");
    EXPECT_TRUE(head.starts_with("POST / HTTP/1.1\r\n")) << head;
    EXPECT_EQ(head.find("Authorization"), std::string::npos) << head;
    EXPECT_EQ(body,
              "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&"
              "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fweir&RoleSessionName=weir&"
              "WebIdentityToken=ey.j%2Bw%2Ft%3D%3D");
}

TEST_F(SourcesTest, what_sts_refuses_is_told_and_no_other_source_is_asked) {
    WireServer sts([&](Peer& peer) {
        peer.read_head();
        peer.write(http_answer(400,
                               "<ErrorResponse><Error><Code>ExpiredTokenException</Code>"
                               "<Message>Token expired</Message></Error></ErrorResponse>",
                               "Connection: close\r\n"));
        peer.wait_closed();
    });
    WireServer imds(WireServer::answers([](const std::string&) { return http_answer(200, ""); }));
    options.sts_endpoint = sts.url();
    options.imds_endpoint = imds.url();
    variables = {{"AWS_WEB_IDENTITY_TOKEN_FILE", written("token", "t")}, {"AWS_ROLE_ARN", "r"}};
    const std::string why = ask();
    EXPECT_NE(why.find("STS: the answer is 400, ExpiredTokenException: Token expired"),
              std::string::npos)
        << why;
    EXPECT_EQ(imds.accepted(), 0);
}

TEST_F(SourcesTest, a_web_identity_without_its_file_is_a_failure) {
    variables = {{"AWS_WEB_IDENTITY_TOKEN_FILE", directory / "none"}, {"AWS_ROLE_ARN", "r"}};
    EXPECT_NE(ask().find("web identity: no token in"), std::string::npos);
}

TEST_F(SourcesTest, a_container_is_asked_at_its_relative_address) {
    std::string head;
    WireServer agent(WireServer::answers([&](const std::string& seen) {
        head = seen;
        return http_answer(200, kJson);
    }));
    options.container_host = agent.url();
    variables = {{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1"}};
    EXPECT_EQ(ask(), "");
    ASSERT_TRUE(held);
    EXPECT_EQ(held->access_key, "AK");
    EXPECT_EQ(held->secret_key.reveal(), "SK");
    EXPECT_EQ(held->session_token.reveal(), "TK");
    EXPECT_EQ(held->expires, WallTime(std::chrono::seconds(4102542245)));
    EXPECT_EQ(source, "container");
    EXPECT_TRUE(head.starts_with("GET /v2/credentials/1 HTTP/1.1\r\n")) << head;
}

TEST_F(SourcesTest, a_container_is_asked_with_the_token_of_its_file) {
    std::string head;
    WireServer agent(WireServer::answers([&](const std::string& seen) {
        head = seen;
        return http_answer(200, kJson);
    }));
    variables = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url() + "/pod"},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "old"},
                 {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", written("token", "pod-token\n")}};
    EXPECT_EQ(ask(), "");
    EXPECT_NE(head.find("Authorization: pod-token\r\n"), std::string::npos) << head;
}

TEST_F(SourcesTest, a_container_address_elsewhere_in_the_clear_is_refused) {
    for (const char* address :
         {"http://example.org/x", "ftp://127.0.0.1/", "http://169.254.169.254/x"}) {
        variables = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", address}};
        EXPECT_NE(ask().find("neither https nor of this host"), std::string::npos) << address;
    }
}

TEST_F(SourcesTest, answers_that_have_no_keys_are_failures) {
    for (const char* body : {"", "[]", "{}", "{\"Code\":\"Failed\"}", "{\"AccessKeyId\":\"A\"}",
                             R"({"AccessKeyId":"A","SecretAccessKey":"B","Expiration":"soon"})"}) {
        WireServer agent(
            WireServer::answers([&](const std::string&) { return http_answer(200, body); }));
        variables = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url()}};
        EXPECT_NE(ask().find("container: the answer "), std::string::npos) << body;
    }
}

TEST_F(SourcesTest, imds_is_asked_for_token_role_and_keys) {
    WireServer imds([&](Peer& peer) {
        for (;;) {
            const std::string head = peer.read_head();
            if (head.empty()) return;
            imds_heads.push_back(head);
            if (head.starts_with("PUT ")) {
                peer.write(http_answer(200, "TOK=="));
            } else {
                peer.write(http_answer(
                    200, head.find("/weir-role ") == std::string::npos ? "weir-role" : kJson));
            }
        }
    });
    options.imds_endpoint = imds.url();
    EXPECT_EQ(ask(), "");
    ASSERT_TRUE(held);
    EXPECT_EQ(held->access_key, "AK");
    EXPECT_EQ(source, "imds");
    ASSERT_EQ(imds_heads.size(), 3u);
    EXPECT_TRUE(imds_heads[0].starts_with("PUT /latest/api/token HTTP/1.1\r\n"));
    EXPECT_NE(imds_heads[0].find("X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"),
              std::string::npos);
    EXPECT_TRUE(
        imds_heads[1].starts_with("GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n"));
    EXPECT_TRUE(imds_heads[2].starts_with(
        "GET /latest/meta-data/iam/security-credentials/weir-role HTTP/1.1\r\n"));
    for (size_t i : {1, 2})
        EXPECT_NE(imds_heads[i].find("X-aws-ec2-metadata-token: TOK==\r\n"), std::string::npos);
}

}  // namespace
}  // namespace weir::s3
