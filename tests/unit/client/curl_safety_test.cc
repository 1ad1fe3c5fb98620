// The promises of client/curl_client.h about whom it talks to: TLS, proxies, the guard on resolved
// addresses.
#include <gtest/gtest.h>

#include <filesystem>

#include "client/curl_client.h"
#include "support/fixed_names.h"
#include "support/real_loop.h"
#include "support/temporary_directory.h"
#include "support/wire_server.h"

namespace weir::client {
namespace {

using namespace std::chrono_literals;
using test::http_answer;
using test::Peer;
using test::RealLoop;
using test::TestIdentity;
using test::WireServer;

WireServer::Script greeting() {
    return WireServer::answers([](const std::string&) { return http_answer(200, "hello"); });
}

ReplyEnd send(RealLoop& real, CurlClient& client, Call call) {
    return real.run([&client, call]() { return client.send(call, nullptr); });
}

Call call_to(std::string url) {
    Call call;
    call.url = std::move(url);
    call.proxy = "none";
    return call;
}

class CurlTls : public ::testing::Test {
protected:
    RealLoop real;
    CurlClient client{CurlOptions{}};
    TestIdentity identity;
    WireServer server{greeting(), {identity.certificate_file(), identity.key_file(), ""}};
    Call call = [this] {
        Call c = call_to(server.url() + "/");
        c.guard.allow_loopback = true;
        return c;
    }();
};

TEST_F(CurlTls, a_server_is_believed_when_its_ca_is_known) {
    call.tls.ca_file = identity.certificate_file();
    const auto reply = send(real, client, call);
    EXPECT_EQ(reply.end, End::complete) << reply.detail;
    EXPECT_EQ(reply.head.status, 200);
}

TEST_F(CurlTls, a_connection_that_one_bundle_vouches_for_is_not_used_under_another) {
    TestIdentity other("DNS:other.example");
    Call first = call, second = call;
    first.tls.ca_file = identity.certificate_file();
    second.tls.ca_file = other.certificate_file();
    EXPECT_EQ(send(real, client, first).end, End::complete);
    EXPECT_EQ(send(real, client, second).end, End::unreachable);
    EXPECT_EQ(send(real, client, first).end, End::complete);
}

TEST_F(CurlTls, a_bundle_that_changes_is_read_again) {
    TestIdentity other("DNS:other.example");
    TemporaryDirectory folder;
    const std::filesystem::path bundle = std::filesystem::path(folder.path()) / "bundle.pem";
    call.tls.ca_file = bundle;
    EXPECT_EQ(send(real, client, call).end, End::unreachable) << "there is no such file";
    std::filesystem::copy_file(other.certificate_file(), bundle);
    EXPECT_EQ(send(real, client, call).end, End::unreachable);
    std::filesystem::remove(bundle);
    std::filesystem::copy_file(identity.certificate_file(), bundle);
    const auto reply = send(real, client, call);
    EXPECT_EQ(reply.end, End::complete) << reply.detail;
    std::filesystem::remove(bundle);
    std::filesystem::copy_file(other.certificate_file(), bundle);
    CurlClient later{CurlOptions{}};
    EXPECT_EQ(send(real, later, call).end, End::unreachable);
}

TEST_F(CurlTls, an_unknown_ca_is_unreachable_and_said_so) {
    const auto reply = send(real, client, call);
    EXPECT_EQ(reply.end, End::unreachable);
    EXPECT_NE(reply.detail.find("certificate"), std::string::npos) << reply.detail;
}

TEST_F(CurlTls, verification_can_be_switched_off_for_one_call_alone) {
    Call lax = call;
    lax.tls.verify = false;
    EXPECT_EQ(send(real, client, lax).end, End::complete);
    EXPECT_EQ(send(real, client, call).end, End::unreachable) << "a lax connection was used again";
}

TEST_F(CurlTls, a_certificate_for_another_name_is_refused) {
    TestIdentity other("DNS:other.example");
    WireServer impostor(greeting(), {other.certificate_file(), other.key_file(), ""});
    call.url = impostor.url() + "/";
    call.tls.ca_file = other.certificate_file();
    EXPECT_EQ(send(real, client, call).end, End::unreachable);
}

TEST_F(CurlTls, a_client_certificate_is_shown_when_configured) {
    WireServer strict(greeting(), {identity.certificate_file(), identity.key_file(),
                                   identity.certificate_file()});
    call.url = strict.url() + "/";
    call.tls.ca_file = identity.certificate_file();
    EXPECT_NE(send(real, client, call).end, End::complete);
    call.tls.client_certificate = identity.certificate_file();
    call.tls.client_key = identity.key_file();
    EXPECT_EQ(send(real, client, call).end, End::complete);
}

class CurlGuard : public ::testing::Test {
protected:
    static CurlOptions options() {
        CurlOptions made;
        made.names = test::fixed_names({{"rebound.example", {"127.0.0.1"}},
                                        {"inner.example", {"10.1.2.3"}},
                                        {"inner6.example", {"fd00::1"}},
                                        {"meta.example", {"169.254.169.254"}},
                                        {"mapped.example", {"::ffff:169.254.1.1"}}});
        return made;
    }
    RealLoop real;
    WireServer server{greeting()};
    CurlClient client{options()};
    std::string rebound = "http://rebound.example:" + std::to_string(server.port()) + "/";
};

TEST_F(CurlGuard, loopback_is_refused_unless_the_upstream_is_there) {
    for (const auto& url : {server.url(), server.url("localhost"), server.url("2130706433")}) {
        Call call = call_to(url + "/");
        const auto reply = send(real, client, call);
        EXPECT_EQ(reply.end, End::forbidden) << url;
        EXPECT_NE(reply.detail.find("loopback"), std::string::npos) << reply.detail;
    }
    EXPECT_EQ(server.accepted(), 0);
    Call call = call_to(server.url() + "/");
    call.guard.allow_loopback = true;
    EXPECT_EQ(send(real, client, call).end, End::complete);
}

TEST_F(CurlGuard, a_name_that_resolves_to_loopback_is_refused_when_its_address_is_known) {
    const auto reply = send(real, client, call_to(rebound));
    EXPECT_EQ(reply.end, End::forbidden);
    EXPECT_NE(reply.detail.find("rebound.example leads to a loopback address"), std::string::npos)
        << reply.detail;
    EXPECT_EQ(server.accepted(), 0);
}

TEST_F(CurlGuard, a_connection_that_a_weaker_guard_opened_is_not_used_again_by_a_stronger_one) {
    Call weak = call_to(rebound);
    weak.guard.enabled = false;
    EXPECT_EQ(send(real, client, weak).end, End::complete);
    EXPECT_EQ(send(real, client, call_to(rebound)).end, End::forbidden);
    EXPECT_EQ(server.accepted(), 1);
}

TEST_F(CurlGuard, link_local_and_metadata_are_refused_even_when_the_guard_is_off) {
    for (const char* url :
         {"http://169.254.169.254/", "http://meta.example/", "http://mapped.example/",
          "http://100.100.100.200/", "http://[fd00:ec2::254]/", "http://[fe80::1]/",
          "http://0.0.0.0/", "http://224.0.0.1/"}) {
        Call call = call_to(url);
        call.guard.enabled = false;
        call.guard.allow_loopback = true;
        EXPECT_EQ(send(real, client, call).end, End::forbidden) << url;
    }
}

TEST_F(CurlGuard, a_name_that_leads_into_a_private_network_is_refused_after_it_was_resolved) {
    for (const char* url : {"http://inner.example/", "http://inner6.example/", "http://10.1.2.3/",
                            "http://[fd00::1]/", "http://192.168.1.1:8080/"}) {
        const auto reply = send(real, client, call_to(url));
        EXPECT_EQ(reply.end, End::forbidden) << url;
        EXPECT_NE(reply.detail.find("private"), std::string::npos) << reply.detail;
    }
}

TEST(CurlProxy, a_plain_call_goes_through_its_proxy_with_the_whole_address) {
    RealLoop real;
    CurlClient client{CurlOptions{}};
    std::string seen;
    WireServer proxy(WireServer::answers([&](const std::string& head) {
        seen = head;
        return http_answer(200, "via proxy");
    }));
    Call call = call_to("http://registry.example/v2/?n=1");
    call.proxy = proxy.url();
    EXPECT_EQ(send(real, client, call).end, End::complete);
    EXPECT_TRUE(seen.starts_with("GET http://registry.example/v2/?n=1 HTTP/1.1\r\n")) << seen;
}

TEST(CurlProxy, a_tls_call_is_tunnelled_and_keeps_its_fields_from_the_proxy) {
    RealLoop real;
    CurlClient client{CurlOptions{}};
    std::string seen;
    WireServer proxy([&](Peer& peer) {
        seen = peer.read_head();
        peer.write("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    });
    Call call = call_to("https://registry.example/v2/");
    call.proxy = proxy.url();
    call.authorization = Secret("Bearer s3cret");
    const auto reply = send(real, client, call);
    EXPECT_EQ(reply.end, End::unreachable) << reply.detail;
    EXPECT_EQ(reply.head.status, 0);
    EXPECT_TRUE(seen.starts_with("CONNECT registry.example:443 HTTP/1.1\r\n")) << seen;
    EXPECT_EQ(seen.find("s3cret"), std::string::npos);
}

TEST(CurlProxy, an_address_in_the_url_is_judged_behind_a_proxy_too) {
    RealLoop real;
    CurlClient client{CurlOptions{}};
    WireServer proxy(greeting());
    for (const char* url :
         {"http://169.254.169.254/", "http://127.0.0.1:1/", "http://metadata.google.internal/"}) {
        Call call = call_to(url);
        call.proxy = proxy.url();
        EXPECT_EQ(send(real, client, call).end, End::forbidden) << url;
    }
    EXPECT_EQ(proxy.accepted(), 0);
}

TEST(CurlProxy, the_environment_is_read_once_and_none_means_none) {
    WireServer proxy(greeting());
    setenv("HTTP_PROXY", proxy.url().c_str(), 1);
    setenv("NO_PROXY", "direct.example", 1);
    RealLoop real;
    CurlOptions options;
    WireServer direct(WireServer::answers([](const std::string&) { return http_answer(201, ""); }));
    const auto port = std::to_string(direct.port());
    options.names =
        test::fixed_names({{"direct.example", {"127.0.0.1"}}, {"other.example", {"127.0.0.1"}}});
    CurlClient client{options};
    unsetenv("HTTP_PROXY");
    unsetenv("NO_PROXY");
    const auto status = [&](const std::string& host, const char* through) {
        Call call = call_to("http://" + host + ":" + port + "/");
        call.guard.allow_loopback = true;
        call.proxy = through;
        return send(real, client, call).head.status;
    };
    EXPECT_EQ(status("other.example", ""), 200);
    EXPECT_EQ(status("direct.example", ""), 201);
    EXPECT_EQ(status("other.example", "none"), 201);
}

}  // namespace
}  // namespace weir::client
