// The promises of upstream/token.h and upstream/realm.h: tokens once for all, and secrets only
// where they belong.
#include "unit/upstream/world.h"

#include "base/file.h"
#include "base/log.h"
#include "support/temporary_directory.h"
#include "upstream/realm.h"
#include "upstream/token.h"

namespace weir::upstream {
namespace {

class Dance : public TokenWorld {
protected:
    size_t token_requests() const { return http.calls_to("/token").size(); }
    static std::string basic(const std::string& pair) { return "Basic " + to_base64(pair); }
};

TEST_F(Dance, an_anonymous_pull_gets_its_token_and_its_manifest) {
    const auto got = manifest();
    EXPECT_EQ(got.outcome, Outcome::ok) << got.detail;
    EXPECT_EQ(got.bytes, kManifest);
    ASSERT_EQ(http.calls().size(), 3u);
    EXPECT_EQ(http.calls()[1].url,
              "https://auth.registry.example/"
              "token?service=registry.example&scope=repository%3Alibrary%2Fdebian%3Apull");
    EXPECT_TRUE(http.calls()[0].authorization.empty());
    EXPECT_TRUE(http.calls()[1].authorization.empty());
    EXPECT_EQ(http.calls()[2].authorization.reveal(), "Bearer token-1");
}

TEST_F(Dance, once_the_challenge_is_known_the_token_goes_along_at_once) {
    manifest();
    const size_t before = http.calls().size();
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(http.calls().size(), before + 1);
    // Another repository: its own token, but no extra 401.
    EXPECT_EQ(manifest(false, 10s, "library/alpine").outcome, Outcome::ok);
    EXPECT_EQ(http.calls().size(), before + 3);
    EXPECT_NE(http.calls()[before + 1].url.find("library%2Falpine%3Apull"), std::string::npos);
}

TEST_F(Dance, fifty_callers_at_once_cause_one_token_request) {
    token_server = [this](const client::Call&) {
        auto made = token_answer(next_token());
        made.delay = 100ms;
        return made;
    };
    std::vector<std::shared_ptr<std::optional<ManifestAnswer>>> all;
    for (int i = 0; i < 50; ++i) all.push_back(start_manifest());
    settle();
    for (const auto& one : all) {
        ASSERT_TRUE(one->has_value());
        EXPECT_EQ((*one)->outcome, Outcome::ok);
    }
    EXPECT_EQ(token_requests(), 1u);
}

TEST_F(Dance, fifty_callers_whose_token_was_withdrawn_cause_one_more) {
    manifest();
    good.clear();
    std::vector<std::shared_ptr<std::optional<ManifestAnswer>>> all;
    for (int i = 0; i < 50; ++i) all.push_back(start_manifest());
    settle();
    for (const auto& one : all) EXPECT_EQ((*one)->outcome, Outcome::ok);
    EXPECT_EQ(token_requests(), 2u);
}

TEST_F(Dance, access_token_is_as_good_and_a_missing_life_is_sixty_seconds) {
    token_server = [this](const client::Call&) {
        return answer(200, R"({"access_token":")" + next_token() + "\"}");
    };
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    advance(47s);
    manifest();
    EXPECT_EQ(token_requests(), 1u);
    advance(2s);  // 49 s: beyond 80 %
    manifest();
    EXPECT_EQ(token_requests(), 2u);
}

TEST_F(Dance, a_token_is_renewed_behind_the_answer_and_used_until_its_end) {
    manifest();
    advance(241s);
    token_server = [](const client::Call&) { return answer(500); };
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(http.calls_to("/v2/").back().authorization.reveal(), "Bearer token-1");
    EXPECT_EQ(token_requests(), 2u);
    EXPECT_EQ(manifest().outcome, Outcome::ok) << "a renewal that failed takes nothing away";
    EXPECT_EQ(token_requests(), 2u) << "and is not tried again at once";
    advance(60s);  // the token is over
    EXPECT_EQ(manifest().outcome, Outcome::failed);
}

TEST_F(Dance, a_refused_token_is_dropped_once_and_a_second_refusal_is_final) {
    manifest();
    good.clear();
    token_server = [this](const client::Call&) {
        return token_answer("useless-" + std::to_string(++issued));
    };
    const size_t before = http.calls().size();
    EXPECT_EQ(manifest().outcome, Outcome::refused);
    EXPECT_EQ(http.calls().size(), before + 3);  // old token, new token, refused again
}

TEST_F(Dance, a_registry_that_always_says_401_is_refused_without_a_loop) {
    token_server = [this](const client::Call&) {
        return token_answer("useless-" + std::to_string(++issued));
    };
    EXPECT_EQ(manifest().outcome, Outcome::refused);
    EXPECT_EQ(token_requests(), 1u);
    EXPECT_EQ(http.calls().size(), 3u);
}

TEST_F(Dance, a_403_for_a_kept_token_is_tried_with_a_fresh_one) {
    bool denied = false;
    content = [&](const client::Call& call) {
        if (denied && call.authorization.reveal() == "Bearer token-1") return answer(403);
        return manifest_answer();
    };
    manifest();
    denied = true;
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(token_requests(), 2u);
}

TEST_F(Dance, a_password_goes_to_the_token_server_as_basic_and_nowhere_else) {
    credential = login("ann", "pa ss");
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    const auto asked = http.calls_to("/token");
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_EQ(asked[0].authorization.reveal(), basic("ann:pa ss"));
    EXPECT_NE(asked[0].url.find("&account=ann"), std::string::npos);
    for (const auto& call : http.calls_to("/v2/"))
        EXPECT_EQ(call.authorization.reveal().find("Basic"), std::string::npos);
    EXPECT_TRUE(asked_credentials.contains("registry.example library/debian"));
}

TEST_F(Dance, two_credentials_have_two_tokens) {
    credential = login("ann", "one");
    manifest();
    credential = login("bob", "two");
    manifest();
    EXPECT_EQ(token_requests(), 2u);
    credential = login("ann", "one");
    manifest();
    EXPECT_EQ(token_requests(), 2u);
}

TEST_F(Dance, a_password_is_not_sent_to_a_host_that_is_not_the_mirrors) {
    realm = "https://tokens.elsewhere.example/token";
    credential = login("ann", "secret");
    EXPECT_EQ(manifest().outcome, Outcome::ok) << "an anonymous token may still do";
    for (const auto& call : http.calls_to("elsewhere")) {
        EXPECT_TRUE(call.authorization.empty());
        EXPECT_EQ(call.url.find("ann"), std::string::npos);
    }
}

TEST_F(Dance, a_trusted_host_gets_the_password) {
    realm = "https://tokens.elsewhere.example/token";
    options.trusted_hosts = {"tokens.elsewhere.example"};
    credential = login("ann", "secret");
    manifest();
    EXPECT_EQ(http.calls_to("elsewhere")[0].authorization.reveal(), basic("ann:secret"));
}

TEST_F(Dance, a_token_never_reaches_another_host) {
    content = [](const client::Call& call) {
        return call.url.find("registry.example/v2/") != std::string::npos
                   ? answer(307, "", {{"Location", "https://cdn.example/x?sig=1"}})
                   : answer(500);
    };
    http.handle([this](const client::Call& call) {
        return call.url.find("cdn.example") != std::string::npos ? manifest_answer() : serve(call);
    });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    const auto outside = http.calls_to("cdn.example");
    ASSERT_EQ(outside.size(), 1u);
    EXPECT_TRUE(outside[0].authorization.empty());
    EXPECT_TRUE(outside[0].guard.enabled);
}

TEST_F(Dance, a_token_request_with_a_password_is_followed_within_its_origin_alone) {
    credential = login("ann", "secret");
    token_server = [](const client::Call&) {
        return answer(307, "", {{"Location", "https://evil.example/token"}});
    };
    EXPECT_EQ(manifest().outcome, Outcome::failed);
    EXPECT_EQ(http.calls_to("evil.example").size(), 0u);
    upstream.reset();
    token_server = [this](const client::Call& call) {
        return call.url.find("/token/v2?") == std::string::npos
                   ? answer(308, "", {{"Location", "/token/v2?x=1"}})
                   : token_answer(next_token());
    };
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(http.calls_to("/token/v2?").back().authorization.reveal(), basic("ann:secret"));
}

TEST_F(Dance, a_token_form_is_repeated_where_its_origin_redirects_it) {
    credential = login("0", "");
    credential->token = Secret("refresh");
    token_server = [this](const client::Call& call) {
        EXPECT_EQ(call.method, "POST");
        EXPECT_TRUE(call.body.starts_with("grant_type=refresh_token"));
        return call.url.ends_with("/token") ? answer(307, "", {{"Location", "/token/there"}})
                                            : token_answer(next_token());
    };
    EXPECT_EQ(manifest().outcome, Outcome::ok);
}

TEST_F(Dance, a_get_that_is_not_known_is_followed_by_the_oauth2_form) {
    credential = login("ann", "s&cret");
    token_server = [this](const client::Call& call) {
        return call.method == "POST" ? answer(200, R"({"access_token":")" + next_token() + "\"}")
                                     : answer(405);
    };
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    const auto post = http.calls_to("/token")[1];
    EXPECT_EQ(post.url, realm);
    EXPECT_EQ(post.body,
              "grant_type=password&username=ann&password=s%26cret&service=registry.example&"
              "scope=repository%3Alibrary%2Fdebian%3Apull&client_id=weir");
    EXPECT_EQ(FakeHttp::field(post, "Content-Type"), "application/x-www-form-urlencoded");
}

TEST_F(Dance, an_identity_token_is_exchanged_by_the_form) {
    credential = login("00000000-0000-0000-0000-000000000000", "");
    credential->token = Secret("refresh");
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    const auto post = http.calls_to("/token")[0];
    EXPECT_EQ(post.method, "POST");
    EXPECT_TRUE(post.body.starts_with("grant_type=refresh_token&refresh_token=refresh&"));
}

TEST_F(Dance, a_bare_token_is_sent_as_it_is) {
    credential = Credential{};
    credential->token = Secret("given");
    good.insert("given");
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(token_requests(), 0u);
}

TEST_F(Dance, the_token_servers_own_limits_are_the_upstreams) {
    token_server = [](const client::Call&) { return answer(429, "", {{"Retry-After", "7"}}); };
    const auto got = manifest();
    EXPECT_EQ(got.outcome, Outcome::throttled);
    EXPECT_EQ(got.retry_after, 7s);
    const size_t before = token_requests();
    EXPECT_EQ(manifest().outcome, Outcome::throttled);
    EXPECT_EQ(token_requests(), before);
    EXPECT_TRUE(up().usable(0, "library/debian", Purpose::manifest)) << "the registry is well";
}

TEST(TokensTest, are_bounded_in_number_and_bytes_whatever_a_server_gives) {
    ManualClock clock;
    Loop loop{clock};
    SeededRandom random{1};
    const Options options;
    Hosts hosts(options, random);
    FakeHttp http([](const client::Call&) { return token_answer(std::string(30'000, 't')); });
    Tokens tokens("test", http, clock, hosts);
    Scope scope("test");
    const auto get = [&](int i) -> Task<> {
        TokenWish wish;
        wish.realm.url = *client::Url::parse("https://r.example/token");
        wish.scope = "repository:a" + std::to_string(i) + ":pull";
        co_await tokens.get(nullptr, wish, kNever);
    };
    for (int i = 0; i < 1000; ++i) {
        scope.spawn(loop, [&get, i] { return get(i); });
        while (loop.run_ready()) {
        }
        EXPECT_LE(tokens.bytes(), kMaxTokensBytes);
    }
    EXPECT_GT(tokens.size(), 100u);
}

TEST_F(Dance, a_token_server_that_is_none_gives_strangers_nothing) {
    token_server = [](const client::Call&) { return answer(404); };
    options.max_retries = 3;
    EXPECT_EQ(manifest().outcome, Outcome::refused);
    EXPECT_EQ(token_requests(), 1u);
}

TEST_F(Dance, a_token_answer_that_is_none_fails) {
    for (const char* body :
         {"", "{}", "[]", "nonsense", R"({"token":""})", R"({"token":7})", R"({"token":"a\nb"})"}) {
        token_server = [body](const client::Call&) { return answer(200, body); };
        EXPECT_EQ(manifest().outcome, Outcome::failed) << body;
        upstream.reset();
    }
    token_server = [](const client::Call&) { return answer(200, std::string(100'000, ' ')); };
    EXPECT_EQ(manifest().outcome, Outcome::failed);
    EXPECT_EQ(http.calls_to("/token").back().max_body_bytes, 64u * 1024);
}

TEST_F(Dance, a_token_server_that_hangs_is_a_timeout_within_the_deadline) {
    token_server = [](const client::Call&) {
        FakeAnswer made = token_answer("late");
        made.delay = kForever;
        return made;
    };
    const TimePoint before = clock.now();
    const auto pending = start_manifest(false, 2s);
    settle(3s);
    ASSERT_TRUE(pending->has_value());
    EXPECT_EQ((*pending)->outcome, Outcome::timeout);
    EXPECT_LE(clock.now() - before, 3s);
}

TEST_F(Dance, the_challenges_scope_counts_only_for_this_repository_and_for_reading) {
    scope_text = "repository:other/secret:pull";
    manifest();
    EXPECT_NE(http.calls_to("/token")[0].url.find("library%2Fdebian%3Apull"), std::string::npos);
    EXPECT_EQ(actions_of("repository:a/b:metadata_read", "a/b"), "metadata_read");
    EXPECT_EQ(actions_of("repository:x:pull repository:a/b:pull,metadata_read", "a/b"),
              "pull,metadata_read");
    for (const char* scope :
         {"", "repository:a/b:pull,push", "repository:a/b:*", "repository:a/b:delete",
          "repository:a/b:", "registry:catalog:*", "repository:a/bc:x"})
        EXPECT_EQ(actions_of(scope, "a/b"), "pull") << scope;
}

TEST_F(Dance, several_challenges_in_one_header_or_many_prefer_bearer) {
    credential = login("ann", "secret");
    http.handle([this](const client::Call& call) {
        if (call.url.starts_with(realm)) return token_server(call);
        if (!call.authorization.empty()) return manifest_answer();
        return answer(401, "",
                      {{"WWW-Authenticate", "Negotiate"},
                       {"WWW-Authenticate", "Basic realm=\"a, b\", " + header()}});
    });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(http.calls().back().authorization.reveal(), "Bearer token-1");
}

TEST_F(World, a_basic_challenge_gets_the_password_and_the_next_request_brings_it_along) {
    http.handle([](const client::Call& call) {
        return call.authorization.empty() ? challenge("Basic realm=\"r\"") : manifest_answer();
    });
    credential = login("ann", "secret");
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(http.calls().back().authorization.reveal(), "Basic " + to_base64("ann:secret"));
    manifest();
    EXPECT_EQ(http.calls().size(), 3u);
}

TEST_F(World, a_basic_challenge_without_a_password_is_refused) {
    http.handle([](const client::Call&) { return challenge("Basic realm=\"r\""); });
    EXPECT_EQ(manifest().outcome, Outcome::refused);
    EXPECT_EQ(http.calls().size(), 1u);
    credential = login("ann", "wrong");
    EXPECT_EQ(manifest().outcome, Outcome::refused);
}

TEST_F(World, a_401_without_a_challenge_we_know_is_refused) {
    http.handle([](const client::Call&) { return challenge("Negotiate abc=="); });
    EXPECT_EQ(manifest().outcome, Outcome::refused);
    EXPECT_EQ(http.calls().size(), 1u);
}

TEST_F(Dance, no_log_line_and_no_detail_holds_a_secret) {
    const TemporaryDirectory directory;
    const std::string path = directory / "log";
    log::open(log::Level::debug, log::Format::text, path);
    std::string told;
    const auto provoke = [&](const char* at_realm, FakeAnswer from_tokens,
                             FakeAnswer from_registry) {
        realm = at_realm;
        token_server = [from_tokens](const client::Call&) { return from_tokens; };
        content = [from_registry](const client::Call&) { return from_registry; };
        told += manifest().detail + "\n";
        told += blob(std::make_shared<Bytes>()).detail + "\n";
        upstream.reset();
    };
    credential = login("ann", "pass-s3cret");
    credential->token = Secret("identity-s3cret");
    good.insert("token-s3cret");
    const auto token = token_answer("token-s3cret");
    const auto cdn = answer(307, "", {{"Location", "http://cdn.example/x?sig=s3cret"}});
    for (const char* at : {"https://auth.registry.example/token", "https://elsewhere.example/token",
                           "https://169.254.169.254/token?s3cret"})
        for (const auto& from_tokens :
             {token, answer(401), answer(500, "s3cret"), broken(client::End::cut)})
            for (const auto& from_registry : {answer(500), answer(401), cdn})
                provoke(at, from_tokens, from_registry);
    log::flush();
    log::open(log::Level::info, log::Format::text, "");
    const auto lines = read_file(posix_files(), path, 1 << 20).value_or("");
    EXPECT_NE(lines.find("no token from"), std::string::npos) << lines;
    EXPECT_EQ(lines.find("s3cret"), std::string::npos) << lines;
    EXPECT_EQ(told.find("s3cret"), std::string::npos) << told;
    EXPECT_EQ(lines.find(to_base64("ann:pass-s3cret")), std::string::npos);
}

// Realms.

struct RealmCase {
    const char* realm;
    const char* why;
};

class BadRealm : public World, public ::testing::WithParamInterface<RealmCase> {};

TEST_P(BadRealm, is_forbidden_and_never_asked) {
    http.handle([](const client::Call&) {
        return challenge("Bearer realm=\"" + std::string(GetParam().realm) + "\",service=\"s\"");
    });
    credential = login("ann", "secret");
    const auto got = manifest();
    EXPECT_EQ(got.outcome, Outcome::forbidden);
    EXPECT_NE(got.detail.find(GetParam().why), std::string::npos) << got.detail;
    EXPECT_EQ(http.calls().size(), http.calls_to("registry.example/v2/").size());
}

INSTANTIATE_TEST_SUITE_P(
    , BadRealm,
    ::testing::Values(RealmCase{"https://169.254.169.254/token", "metadata"},
                      RealmCase{"http://169.254.169.254/token", "metadata"},
                      RealmCase{"https://[fe80::1]/token", "link-local"},
                      RealmCase{"https://127.0.0.1/token", "loopback"},
                      RealmCase{"https://localhost:8443/token", "loopback"},
                      RealmCase{"https://2130706433/token", "loopback"},
                      RealmCase{"https://metadata.google.internal/", "metadata"},
                      RealmCase{"https://10.0.0.7/token", "private"},
                      RealmCase{"https://172.31.255.1/token", "private"},
                      RealmCase{"https://192.168.1.1:8443/token", "private"},
                      RealmCase{"https://100.64.1.1/token", "private"},
                      RealmCase{"https://[fc00::1]/token", "private"},
                      RealmCase{"https://[::ffff:10.0.0.7]/token", "private"},
                      RealmCase{"https://0xa000007/token", "private"},
                      RealmCase{"http://auth.registry.example/token", "not https"},
                      RealmCase{"https://u:p@auth.registry.example/", "no plain"},
                      RealmCase{"file:///etc/passwd", "no plain"}, RealmCase{"", "no plain"}),
    [](const auto& info) { return "case_" + std::to_string(info.index); });

Realm judged(const char* realm, const char* mirror, std::vector<std::string> trusted = {},
             bool inside = false) {
    auto out = judge_realm(realm, *client::Url::parse(mirror), inside, trusted);
    EXPECT_TRUE(out.has_value()) << realm << ": " << (out ? "" : out.error());
    return out.value_or(Realm{});
}

TEST(Realm, an_upstream_on_loopback_may_have_its_tokens_there) {
    for (const char* mirror : {"http://127.0.0.1:5000", "http://localhost:5000"}) {
        const auto realm = judged("http://127.0.0.1:5001/token", mirror);
        EXPECT_TRUE(realm.guard.allow_loopback);
        EXPECT_FALSE(realm.takes_credential) << "another port is another origin";
        EXPECT_FALSE(
            judge_realm("http://169.254.169.254/", *client::Url::parse(mirror), false, {}));
        EXPECT_FALSE(judge_realm("http://10.0.0.1/", *client::Url::parse(mirror), false, {}));
    }
}

TEST(Realm, an_upstream_inside_may_have_its_tokens_inside) {
    EXPECT_TRUE(judged("https://10.0.0.9/t", "https://10.0.0.1").guard.allow_private);
    EXPECT_TRUE(judged("https://192.168.1.1/t", "https://10.0.0.1").guard.allow_private);
    EXPECT_TRUE(
        judged("https://10.0.0.9/t", "https://r.corp.example", {}, true).guard.allow_private);
    EXPECT_FALSE(
        judge_realm("https://10.0.0.9/t", *client::Url::parse("https://r.example"), false, {}));
    EXPECT_FALSE(
        judge_realm("https://127.0.0.1/t", *client::Url::parse("https://10.0.0.1"), true, {}));
    EXPECT_FALSE(judged("https://10.0.0.9/t", "https://r.example", {"10.0.0.9"}).guard.enabled);
}

// A login goes to its origin, to the token server of a registry that everybody knows, or where the
// operator says.
TEST(Realm, takes_a_credential_only_at_its_origin_or_by_the_table) {
    using Pair = std::pair<const char*, const char*>;
    for (const auto& [realm, mirror] : std::initializer_list<Pair>{
             {"https://ghcr.io/token", "https://ghcr.io"},
             {"https://ghcr.io:443/token", "https://ghcr.io"},
             {"http://r.example:5000/token", "http://r.example:5000"},
             {"https://r.example:8443/token", "https://r.example:8443"},
             {"https://auth.docker.io/token", "https://registry-1.docker.io"},
             {"https://gitlab.com/jwt/auth", "https://registry.gitlab.com"},
             {"https://docker-auth.elastic.co/auth", "https://docker.elastic.co"}})
        EXPECT_TRUE(judged(realm, mirror).takes_credential) << realm << " for " << mirror;
    for (const auto& [realm, mirror] : std::initializer_list<Pair>{
             {"https://ghcr.io:8443/token", "https://ghcr.io"},
             {"https://ghcr.io/token", "https://ghcr.io:8443"},
             {"https://r.example/token", "http://r.example"},
             {"https://auth.quay.example/token", "https://quay.example"},
             {"https://auth.docker.io:8443/token", "https://registry-1.docker.io"},
             {"https://auth.docker.io/token", "https://registry-1.docker.io:8443"},
             {"http://auth.docker.io/token", "http://registry-1.docker.io"},
             {"https://evil.docker.io/token", "https://registry-1.docker.io"},
             {"https://a.tenants.example/t", "https://b.tenants.example"},
             {"https://evil.azurecr.io/t", "https://mine.azurecr.io"},
             {"https://evil.pages.dev/t", "https://mine.pages.dev"},
             {"https://sub.registry.gitlab.com/t", "https://registry.gitlab.com"},
             {"https://evil.co.uk/t", "https://registry.co.uk"},
             {"https://notgitlab.com/t", "https://registry.gitlab.com"},
             {"https://10.0.0.2/t", "https://10.0.0.1"},
             {"https://evil.example/t", "https://auth.docker.io"}})
        EXPECT_FALSE(judged(realm, mirror).takes_credential) << realm << " for " << mirror;
    EXPECT_TRUE(judged("https://auth.quay.example/t", "https://quay.example", {"auth.quay.example"})
                    .takes_credential);
    EXPECT_FALSE(judged("https://r.example:8443/t", "https://r.example", {"r.example:9443"})
                     .takes_credential);
}

TEST(Realm, http_at_the_registrys_own_host_and_port_is_asked_over_https) {
    EXPECT_EQ(judged("http://r.example/t", "https://r.example").url.text(), "https://r.example/t");
    EXPECT_EQ(judged("http://r.example:8443/t", "https://r.example:8443").url.text(),
              "https://r.example:8443/t");
    EXPECT_TRUE(judged("http://r.example/t", "https://r.example").takes_credential);
    for (const char* realm : {"http://r.example:8080/t", "http://other.example/t"})
        EXPECT_FALSE(judge_realm(realm, *client::Url::parse("https://r.example"), false, {}))
            << realm;
    EXPECT_EQ(judged("http://r.example/t", "http://r.example").url.scheme, "http");
}

TEST(Realm, the_guard_is_off_for_the_mirrors_host_and_trusted_hosts_alone) {
    EXPECT_FALSE(judged("https://r.example/t", "https://r.example").guard.enabled);
    EXPECT_FALSE(judged("https://t.example/t", "https://r.example", {"t.example"}).guard.enabled);
    EXPECT_TRUE(
        judged("https://t.example/t", "https://r.example", {"t.example:8443"}).guard.enabled);
    EXPECT_FALSE(judged("https://localhost/t", "https://r.example", {"localhost"}).guard.enabled);
}

}  // namespace
}  // namespace weir::upstream
