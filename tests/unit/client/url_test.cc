// The promises of client/url.h, client/guard.h and client/proxy.h: what is judged is what is
// dialled.
#include "client/url.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstdlib>

#include "client/guard.h"
#include "client/proxy.h"

namespace weir::client {
namespace {

std::string text(const std::optional<Url>& url) {
    return url ? url->text() : "refused";
}

TEST(Url, host_and_scheme_are_lowered_and_the_port_is_known) {
    const auto url = Url::parse("HTTPS://Registry.Example:5000/v2/?n=1#part");
    ASSERT_TRUE(url);
    EXPECT_EQ(url->scheme, "https");
    EXPECT_EQ(url->host, "registry.example");
    EXPECT_EQ(url->port, 5000);
    EXPECT_EQ(url->target, "/v2/?n=1");
    EXPECT_EQ(url->path(), "/v2/");
    EXPECT_EQ(Url::parse("https://a.example")->port, 443);
    EXPECT_EQ(Url::parse("http://a.example?q")->text(), "http://a.example/?q");
    EXPECT_EQ(Url::parse("https://a.example:443/x")->authority(), "a.example");
    EXPECT_EQ(Url::parse("http://[::1]:8080/x")->text(), "http://[::1]:8080/x");
}

TEST(Url, what_two_parsers_could_read_differently_is_refused) {
    for (const char* odd :
         {"", "ftp://a/", "https://", "https:///x", "https://user@a/", "https://a\\@b/",
          "https://a b/", "https://a:0/", "https://a:70000/", "https://a:x/", "https://a:/",
          "https://[::1/", "https://[a]/", "https://a\r\nb/", "https://ä.example/", "https://.a/",
          "https://a/\x01", "//a/b", "https://%61/"})
        EXPECT_FALSE(Url::parse(odd)) << odd;
}

TEST(Url, a_location_is_resolved_in_all_its_forms) {
    const auto base = *Url::parse("https://gcr.io/v2/a/blobs/x?y=1");
    EXPECT_EQ(text(resolve(base, "https://cdn.example/z?sig=%2F")),
              "https://cdn.example/z?sig=%2F");
    EXPECT_EQ(text(resolve(base, "//cdn.example/z")), "https://cdn.example/z");
    EXPECT_EQ(text(resolve(base, "/artifacts-downloads/z?k=v")),
              "https://gcr.io/artifacts-downloads/z?k=v");
    EXPECT_EQ(text(resolve(base, "other")), "https://gcr.io/v2/a/blobs/other");
    EXPECT_EQ(text(resolve(base, "../b/./c/")), "https://gcr.io/v2/a/b/c/");
    EXPECT_EQ(text(resolve(base, "../../../../../c")), "https://gcr.io/c");
    EXPECT_EQ(text(resolve(base, "?n=2")), "https://gcr.io/v2/a/blobs/x?n=2");
    EXPECT_EQ(text(resolve(base, "/x:y?a:b")), "https://gcr.io/x:y?a:b");
    for (const char* odd :
         {"", "file:///etc/passwd", "javascript:x", "gopher://a/", "/a b", "/a\\b"})
        EXPECT_FALSE(resolve(base, odd)) << odd;
}

TEST(Url, an_origin_is_scheme_host_and_port) {
    const auto url = *Url::parse("https://a.example/x");
    EXPECT_TRUE(url.same_origin(*Url::parse("https://A.example:443/y")));
    EXPECT_FALSE(url.same_origin(*Url::parse("http://a.example:443/x")));
    EXPECT_FALSE(url.same_origin(*Url::parse("https://a.example:8443/x")));
    EXPECT_FALSE(url.same_origin(*Url::parse("https://b.a.example/x")));
}

TEST(Url, a_trusted_entry_names_a_host_with_or_without_its_port) {
    const auto url = *Url::parse("https://auth.example:8443/t");
    EXPECT_TRUE(names("Auth.Example", url));
    EXPECT_TRUE(names("auth.example:8443", url));
    EXPECT_FALSE(names("auth.example:443", url));
    EXPECT_FALSE(names("example", url));
    EXPECT_TRUE(names("auth.example:443", *Url::parse("https://auth.example/")));
}

AddressKind kind_of(const char* address) {
    sockaddr_in6 six{};
    sockaddr_in four{};
    if (inet_pton(AF_INET6, address, &six.sin6_addr) == 1) {
        six.sin6_family = AF_INET6;
        return classify(reinterpret_cast<sockaddr*>(&six));
    }
    four.sin_family = AF_INET;
    EXPECT_EQ(inet_pton(AF_INET, address, &four.sin_addr), 1) << address;
    return classify(reinterpret_cast<sockaddr*>(&four));
}

TEST(Guard, knows_what_each_address_is) {
    for (const char* ip :
         {"8.8.8.8", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
          "192.169.0.0", "100.63.255.255", "100.128.0.0", "198.17.255.255", "198.20.0.0",
          "203.0.113.1", "2001:db8::1", "fbff::1", "169.253.0.1", "::ffff:8.8.8.8"})
        EXPECT_EQ(kind_of(ip), AddressKind::ordinary) << ip;
    for (const char* ip :
         {"10.0.0.0",        "10.255.255.255",  "172.16.0.0",        "172.31.255.255",
          "192.168.0.0",     "192.168.255.255", "100.64.0.0",        "100.127.255.255",
          "192.0.0.8",       "198.18.0.0",      "198.19.255.255",    "240.0.0.1",
          "::ffff:10.0.0.1", "::10.0.0.1",      "64:ff9b::10.0.0.1", "2002:a00:1::1",
          "64:ff9b:1::1",    "fc00::1",         "fdff::1",           "fec0::1"})
        EXPECT_EQ(kind_of(ip), AddressKind::private_network) << ip;
    for (const char* ip : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1",
                           "64:ff9b::127.0.0.1", "2002:7f00:1::1"})
        EXPECT_EQ(kind_of(ip), AddressKind::loopback) << ip;
    for (const char* ip : {"169.254.0.1", "169.254.170.2", "fe80::1", "::ffff:169.254.1.1"})
        EXPECT_EQ(kind_of(ip), AddressKind::link_local) << ip;
    for (const char* ip :
         {"169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254",
          "64:ff9b::169.254.169.254", "192.0.0.192", "168.63.129.16"})
        EXPECT_EQ(kind_of(ip), AddressKind::metadata) << ip;
    for (const char* ip : {"0.0.0.0", "0.1.2.3", "::"})
        EXPECT_EQ(kind_of(ip), AddressKind::unspecified) << ip;
    for (const char* ip : {"224.0.0.1", "255.255.255.255", "ff02::1"})
        EXPECT_EQ(kind_of(ip), AddressKind::multicast) << ip;
}

TEST(Guard, a_host_is_judged_in_any_spelling_of_an_address) {
    for (const char* host : {"127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "localhost",
                             "LOCALHOST.", "a.localhost", "::1", "[::1]"})
        EXPECT_EQ(classify_host(host), AddressKind::loopback) << host;
    for (const char* host : {"169.254.169.254", "0xa9fea9fe", "metadata.google.internal"})
        EXPECT_EQ(classify_host(host), AddressKind::metadata) << host;
    EXPECT_EQ(classify_host("registry.example"), std::nullopt);
}

TEST(Guard, loopback_needs_leave_and_link_local_is_never_allowed) {
    const Guard on{true, false}, local{true, true}, off{false, false};
    Guard inside;
    inside.allow_private = true;
    EXPECT_FALSE(allowed(on, AddressKind::private_network));
    EXPECT_FALSE(allowed(local, AddressKind::private_network));
    EXPECT_TRUE(allowed(off, AddressKind::private_network));
    EXPECT_TRUE(allowed(inside, AddressKind::private_network));
    EXPECT_FALSE(allowed(inside, AddressKind::loopback));
    EXPECT_FALSE(allowed(on, AddressKind::loopback));
    EXPECT_TRUE(allowed(local, AddressKind::loopback));
    EXPECT_TRUE(allowed(off, AddressKind::loopback));
    for (const auto& guard : {on, local, off}) {
        EXPECT_TRUE(allowed(guard, AddressKind::ordinary));
        for (const auto kind :
             {AddressKind::link_local, AddressKind::metadata, AddressKind::unspecified,
              AddressKind::multicast, AddressKind::unknown})
            EXPECT_FALSE(allowed(guard, kind)) << address_kind_name(kind);
    }
}

TEST(Guard, only_a_question_for_our_own_credentials_reaches_link_local) {
    const Guard credentials{.allow_metadata = true};
    EXPECT_TRUE(allowed(credentials, AddressKind::metadata));
    EXPECT_TRUE(allowed(credentials, AddressKind::link_local));
    EXPECT_FALSE(allowed(credentials, AddressKind::loopback));
    EXPECT_FALSE(allowed(credentials, AddressKind::multicast));
}

TEST(Proxy, no_proxy_takes_names_suffixes_ports_addresses_and_networks) {
    ProxyRules rules;
    rules.http = "http://plain:3128";
    rules.https = "http://secure:3128";
    rules.exceptions = {"corp.example", ".dot.example", "*.star.example", "one.example:8443",
                        "10.0.0.0/8",   "192.168.1.7",  "fd00::/16"};
    const auto choose = [&](const char* url) { return rules.choose(*Url::parse(url)); };
    EXPECT_EQ(choose("https://ghcr.io/"), "http://secure:3128");
    EXPECT_EQ(choose("http://ghcr.io/"), "http://plain:3128");
    for (const char* url :
         {"https://corp.example/", "https://a.corp.example/", "https://a.dot.example/",
          "https://a.b.star.example/", "https://one.example:8443/", "https://10.200.3.4/",
          "https://192.168.1.7/", "https://[fd00::9]/"})
        EXPECT_EQ(choose(url), "") << url;
    for (const char* url : {"https://notcorp.example/", "https://one.example/", "https://11.0.0.1/",
                            "https://192.168.1.8/", "https://[fd01::9]/"})
        EXPECT_EQ(choose(url), "http://secure:3128") << url;
    rules.exceptions = {"*"};
    EXPECT_EQ(choose("https://ghcr.io/"), "");
}

TEST(Proxy, loopback_is_never_asked_through_the_environments_proxy) {
    ProxyRules rules;
    rules.http = rules.https = "http://proxy:3128";
    for (const char* url : {"http://localhost:5000/", "http://127.0.0.1/", "https://[::1]/"})
        EXPECT_EQ(rules.choose(*Url::parse(url)), "") << url;
}

TEST(Proxy, upper_case_http_proxy_is_honoured_and_lower_case_wins) {
    for (const char* name :
         {"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})
        unsetenv(name);
    setenv("HTTP_PROXY", "http://upper:1", 1);
    setenv("HTTPS_PROXY", "http://upper:2", 1);
    setenv("https_proxy", "http://lower:2", 1);
    setenv("NO_PROXY", " a.example , 10.0.0.0/8,", 1);
    const auto rules = ProxyRules::from_environment();
    EXPECT_EQ(rules.http, "http://upper:1");
    EXPECT_EQ(rules.https, "http://lower:2");
    EXPECT_EQ(rules.exceptions, (std::vector<std::string>{"a.example", "10.0.0.0/8"}));
    for (const char* name : {"https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})
        unsetenv(name);
}

}  // namespace
}  // namespace weir::client
