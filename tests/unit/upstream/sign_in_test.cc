// The promises of upstream/challenges.h and upstream/visit.h: a challenge belongs to what was asked
// and to the host that made it; each host on the way is answered for itself.
#include "unit/upstream/world.h"
#include "upstream/challenges.h"

namespace weir::upstream {
namespace {

// Public repositories want nothing, private/... what the test says.
class Mixed : public World {
protected:
    Mixed() {
        options.max_retries = 0;
        http.handle([this](const client::Call& call) {
            if (call.url.find("/token") != std::string::npos) return token_server(call);
            if (call.url.find("/private/") != std::string::npos) return wants(call);
            return manifest_answer();
        });
    }
    size_t tokens() const { return http.calls_to("/token").size(); }
    Outcome of(const std::string& name) { return manifest(false, 10s, name).outcome; }

    std::function<FakeAnswer(const client::Call&)> wants,
        token_server = [](const client::Call&) { return token_answer("t"); };
};

TEST_F(Mixed, whatever_a_private_repository_wants_the_public_ones_are_asked_without) {
    const auto refuses = answer(401, R"({"errors":[{"code":"UNAUTHORIZED"}]})");
    struct {
        const char* challenge;
        FakeAnswer tokens;
    } const cases[] = {
        {"Basic realm=\"portal\"", refuses},
        {"Bearer realm=\"https://registry.example/token\",service=\"s\"", refuses},
        {"Bearer realm=\"https://registry.example/token\",service=\"s\"", answer(403)},
        {"Bearer realm=\"https://registry.example/token\",service=\"s\"", answer(404)},
        {"Bearer realm=\"https://registry.example/token\",service=\"s\"", answer(429)},
        {"Bearer realm=\"https://registry.example/token\",service=\"s\"", answer(500)},
        {"Bearer realm=\"https://registry.example/token\",service=\"s\"", answer(200, "<html>")},
        {"Bearer realm=\"https://gone.example/token\"", broken(client::End::unreachable)},
        {"Bearer realm=\"https://mute.example/token\"", broken(client::End::timeout)},
        {"Bearer realm=\"https://169.254.169.254/token\"", refuses},
        {"Bearer realm=\"\"", refuses},
        {"Negotiate", refuses},
    };
    for (const auto& [header, said] : cases) {
        const std::string wanted = header;
        wants = [wanted](const client::Call&) { return challenge(wanted); };
        token_server = [said](const client::Call&) { return said; };
        for (int i = 0; i < 10; ++i) EXPECT_NE(of("private/" + std::to_string(i)), Outcome::ok);
        const size_t before = http.calls().size();
        EXPECT_EQ(of("public/a"), Outcome::ok) << header;
        EXPECT_EQ(http.calls().size(), before + 1) << header;
        EXPECT_TRUE(http.calls().back().authorization.empty()) << header;
        upstream.reset();
    }
}

TEST_F(Mixed, what_was_wanted_once_and_is_not_any_more_is_forgotten) {
    for (const char* header : {"Basic realm=\"portal\"", "Bearer realm=\"https://10.0.0.1/token\"",
                               "Bearer realm=\"https://gone.example/token\""}) {
        token_server = [](const client::Call&) { return broken(client::End::unreachable); };
        wants = [header](const client::Call&) { return challenge(header); };
        EXPECT_NE(of("private/a"), Outcome::ok);
        wants = [](const client::Call&) { return manifest_answer(); };
        EXPECT_EQ(of("private/a"), Outcome::ok) << header;
        upstream.reset();
    }
}

class Moved : public TokenWorld {
protected:
    size_t old_tokens() const { return http.calls_to("auth.registry.example").size(); }
};

TEST_F(Moved, a_realm_that_worked_and_moved_is_found_again_by_the_request_that_noticed) {
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    advance(301s);  // the token has ended
    good.clear();
    http.handle([this](const client::Call& call) {
        if (call.url.starts_with("https://auth.registry.example"))
            return broken(client::End::unreachable);
        return serve(call);
    });
    realm = "https://new.registry.example/token";
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(manifest(false, 10s, "library/alpine").outcome, Outcome::ok) << "and by the hint";
    const size_t before = old_tokens();
    advance(301s);
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(old_tokens(), before);
}

TEST_F(Moved, a_token_server_that_hangs_leaves_time_to_ask_without) {
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    advance(301s);
    http.handle([this](const client::Call& call) {
        auto made = manifest_answer();
        if (call.url.starts_with(realm)) made.delay = kForever;
        return made;
    });
    EXPECT_EQ(manifest(false, 8s).outcome, Outcome::ok);
}

TEST_F(Moved, a_token_of_a_hint_that_is_refused_is_left_out) {
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    http.handle([this](const client::Call& call) {
        if (call.url.starts_with(realm)) return token_server(call);
        return call.authorization.empty() ? manifest_answer() : answer(403);
    });
    EXPECT_EQ(manifest(false, 10s, "public/open").outcome, Outcome::ok);
}

TEST_F(Moved, what_was_learnt_is_tried_without_after_a_while_and_after_a_reload) {
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_FALSE(http.calls().back().authorization.empty());
    http.handle([](const client::Call&) { return manifest_answer(); });
    up().forget();
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_TRUE(http.calls().back().authorization.empty());
    upstream.reset();
    http.handle([this](const client::Call& call) { return serve(call); });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    advance(kChallengeLife + 1s);
    http.handle([](const client::Call&) { return manifest_answer(); });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_TRUE(http.calls().back().authorization.empty());
}

TEST(ChallengesTest, are_bounded_whatever_is_invented) {
    Challenges challenges;
    ManualClock clock;
    Known known;
    known.realm = "https://r.example/token";
    for (size_t i = 0; i < 3 * kMaxChallenged; ++i)
        challenges.learn("invented/" + std::to_string(i), Purpose::manifest, known, clock.now());
    EXPECT_EQ(challenges.size(), kMaxChallenged);
    known.realm = std::string(kMaxChallengeText + 1, 'x');
    challenges.learn("long", Purpose::manifest, known, clock.now());
    EXPECT_FALSE(challenges.of("long", clock.now()));
}

// A registry that redirects to another one, which wants a token of its own.
class OnTheWay : public World {
protected:
    OnTheWay() {
        options.mirrors = {{"https://vanity.example", {}}};
        http.handle([this](const client::Call& call) {
            if (call.url.starts_with("https://vanity.example/token")) return token_answer("first");
            if (call.url.starts_with("https://vanity.example/"))
                return vanity_wants && call.authorization.empty()
                           ? challenge("Bearer realm=\"https://vanity.example/token\"")
                           : answer(307, "",
                                    {{"Location",
                                      "https://real.example/v2/team/app/" + tail(call.url)}});
            if (call.url.starts_with("https://real.example/token")) return token_answer("second");
            if (call.authorization.reveal() == "Bearer second") return manifest_answer();
            return challenge(
                "Bearer realm=\"https://real.example/token\",service=\"real\","
                "scope=\"repository:team/app:pull\"");
        });
    }
    static std::string tail(const std::string& url) {
        return url.substr(url.rfind('/', url.rfind('/') - 1) + 1);
    }
    bool vanity_wants = false;
};

TEST_F(OnTheWay, the_challenge_of_a_redirects_target_is_answered_for_itself) {
    for (const bool wants : {false, true}) {
        vanity_wants = wants;
        credential.reset();
        EXPECT_EQ(manifest().outcome, Outcome::ok);
        EXPECT_NE(http.calls_to("real.example/token").back().url.find("team%2Fapp%3Apull"),
                  std::string::npos);
        const size_t before = http.calls_to("real.example").size();
        EXPECT_EQ(manifest().outcome, Outcome::ok);
        EXPECT_EQ(http.calls_to("real.example").size(), before + 1) << "known from the first time";
        upstream.reset();
    }
}

TEST_F(OnTheWay, the_first_ones_login_and_token_stay_with_it) {
    vanity_wants = true;
    options.trusted_hosts = {"real.example"};
    upstream.emplace(options, http, clock, random,
                     [](std::string_view host, std::string_view) -> std::optional<Credential> {
                         if (host != "vanity.example") return std::nullopt;
                         return login("ann", "secret");
                     });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    ASSERT_FALSE(http.calls_to("real.example").empty());
    for (const auto& call : http.calls_to("real.example")) {
        const std::string& sent = call.authorization.reveal();
        EXPECT_TRUE(sent.empty() || sent == "Bearer second") << sent;
        EXPECT_EQ(call.url.find("ann"), std::string::npos);
    }
}

TEST_F(OnTheWay, a_target_with_a_login_of_its_own_gets_that) {
    upstream.emplace(options, http, clock, random,
                     [](std::string_view host, std::string_view) -> std::optional<Credential> {
                         if (host != "real.example") return std::nullopt;
                         return login("bob", "other");
                     });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(http.calls_to("real.example/token")[0].authorization.reveal(),
              "Basic " + to_base64("bob:other"));
    for (const auto& call : http.calls_to("vanity.example"))
        EXPECT_TRUE(call.authorization.empty());
}

TEST_F(OnTheWay, a_redirect_to_another_repository_of_the_same_host_is_signed_in_to_as_that) {
    options.mirrors = {{"https://registry.example", {}}};
    http.handle([](const client::Call& call) {
        if (call.url.find("/token") != std::string::npos)
            return token_answer(call.url.find("new%2Fname") != std::string::npos ? "new" : "old");
        if (call.url.find("/v2/new/name/") == std::string::npos)
            return answer(301, "", {{"Location", "/v2/new/name/manifests/12"}});
        return call.authorization.reveal() == "Bearer new"
                   ? manifest_answer()
                   : challenge("Bearer realm=\"https://registry.example/token\"");
    });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
}

TEST_F(OnTheWay, the_login_of_another_upstream_is_not_shown_there_unless_it_is_trusted) {
    options.is_upstream = [](std::string_view host) { return host == "real.example"; };
    const auto who = [](std::string_view host, std::string_view) -> std::optional<Credential> {
        if (host != "real.example") return std::nullopt;
        return login("corp", "secret");
    };
    for (const bool trusted : {false, true}) {
        if (trusted) options.trusted_hosts = {"real.example"};
        upstream.emplace(options, http, clock, random, who);
        const auto got = manifest();
        EXPECT_EQ(got.outcome, Outcome::ok);
        EXPECT_EQ(got.with_login, trusted);
        EXPECT_EQ(http.calls_to("real.example/token").back().authorization.empty(), !trusted);
        upstream.reset();
    }
}

TEST_F(OnTheWay, what_a_login_at_any_host_brought_is_marked) {
    upstream.emplace(options, http, clock, random,
                     [](std::string_view host, std::string_view) -> std::optional<Credential> {
                         if (host != "real.example") return std::nullopt;
                         return login("bob", "other");
                     });
    EXPECT_TRUE(manifest().with_login);
    upstream.reset();
    EXPECT_FALSE(manifest().with_login);
}

TEST_F(OnTheWay, a_target_that_refuses_is_refused_and_named) {
    http.handle([](const client::Call& call) {
        if (call.url.starts_with("https://vanity.example/"))
            return answer(307, "", {{"Location", "https://real.example/v2/a/manifests/1"}});
        return challenge("Basic realm=\"x\"");
    });
    const auto got = manifest();
    EXPECT_EQ(got.outcome, Outcome::refused);
    EXPECT_TRUE(got.detail.starts_with("real.example: ")) << got.detail;
}

TEST_F(OnTheWay, who_comes_back_to_the_registry_comes_as_a_stranger) {
    options.mirrors = {{"https://registry.example", {}}};
    credential = login("ann", "secret");
    http.handle([](const client::Call& call) {
        if (call.url.find("/other/") != std::string::npos)
            return call.authorization.empty() ? challenge("Basic realm=\"r\"") : manifest_answer();
        if (call.url.find("cdn.example") != std::string::npos)
            return answer(307, "", {{"Location", "https://registry.example/v2/other/manifests/1"}});
        if (call.authorization.empty()) return challenge("Basic realm=\"r\"");
        return answer(307, "", {{"Location", "https://cdn.example/x"}});
    });
    EXPECT_EQ(manifest().outcome, Outcome::refused);
    EXPECT_TRUE(http.calls_to("/other/").back().authorization.empty());
}

// A registry that challenges on /v2/ alone, and hides from strangers what they may not see.
class Hidden : public World {
protected:
    Hidden() {
        http.handle([](const client::Call& call) {
            const bool signed_in = call.authorization.reveal() == "Basic " + to_base64("me:secret");
            if (call.url.ends_with("/v2/"))
                return signed_in ? answer(200) : challenge("Basic realm=\"Nexus\"");
            if (call.url.find("/private/") != std::string::npos && !signed_in) return answer(404);
            return manifest_answer();
        });
    }
    size_t greetings() const {
        const auto& calls = http.calls();
        return static_cast<size_t>(std::ranges::count_if(
            calls, [](const auto& call) { return call.url.ends_with("/v2/"); }));
    }
};

TEST_F(Hidden, a_configured_login_is_used_after_one_greeting) {
    credential = login("me", "secret");
    std::vector<std::shared_ptr<std::optional<ManifestAnswer>>> all;
    for (int i = 0; i < 20; ++i)
        all.push_back(start_manifest(false, 10s, "private/" + std::to_string(i)));
    settle();
    for (const auto& one : all) EXPECT_EQ((*one)->outcome, Outcome::ok);
    EXPECT_EQ(greetings(), 1u);
    EXPECT_EQ(http.calls().size(), 21u);
}

TEST_F(Hidden, without_a_login_nobody_is_greeted) {
    EXPECT_EQ(manifest(false, 10s, "private/a").outcome, Outcome::not_found);
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(greetings(), 0u);
}

TEST_F(Hidden, a_greeting_that_is_not_answered_costs_one_request_and_no_answer) {
    credential = login("me", "secret");
    for (const auto& said : {answer(200), answer(404), answer(500), broken(client::End::timeout),
                             broken(client::End::unreachable), challenge("Negotiate")}) {
        const size_t before = greetings();
        http.handle([said](const client::Call& call) {
            return call.url.ends_with("/v2/") ? said : manifest_answer();
        });
        EXPECT_EQ(manifest().outcome, Outcome::ok);
        EXPECT_EQ(manifest().outcome, Outcome::ok);
        EXPECT_EQ(greetings(), before + 1);
        upstream.reset();
    }
}

// What a public registry leads to never is the inside of a network.
class Inside : public World {
protected:
    FakeAnswer there = manifest_answer();
    void lead_to(const std::string& to) {
        http.handle([this, to](const client::Call& call) {
            return call.url.find(options.mirrors[0].url) == 0 ? answer(307, "", {{"Location", to}})
                                                              : there;
        });
    }
};

TEST_F(Inside, a_public_registry_leads_to_no_private_address) {
    for (const char* to :
         {"https://10.0.0.5/x", "https://172.16.9.9:8443/x", "https://192.168.0.1/x",
          "https://100.64.0.1/x", "https://[fc00::1]/x", "https://[fd12::1]:5000/x",
          "https://[::ffff:10.0.0.5]/x", "https://0xa.0.0.5/x", "https://167772165/x"}) {
        lead_to(to);
        EXPECT_EQ(manifest().outcome, Outcome::forbidden) << to;
        EXPECT_EQ(list(ListKind::tags).outcome, Outcome::forbidden) << to;
        EXPECT_EQ(blob(std::make_shared<Bytes>()).outcome, Outcome::forbidden) << to;
        EXPECT_EQ(up().status().mirrors[0].second, "closed");
    }
}

TEST_F(Inside, one_that_is_inside_itself_or_trusted_may) {
    options.mirrors = {{"https://10.1.1.1:5000", {}}};
    lead_to("https://192.168.0.1/x");
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    lead_to("https://127.0.0.1/x");
    EXPECT_EQ(manifest().outcome, Outcome::forbidden);
    upstream.reset();
    options.mirrors = {{"https://registry.example", {}}};
    options.trusted_hosts = {"10.0.0.5"};
    lead_to("https://10.0.0.5/x");
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    lead_to("https://10.0.0.6/x");
    EXPECT_EQ(manifest().outcome, Outcome::forbidden);
}

TEST_F(Inside, a_link_to_the_next_page_is_a_query_and_no_address) {
    http.handle([](const client::Call&) {
        return answer(200, "{}",
                      {{"Link", "<http://10.0.0.5/v2/x/tags/list?last=b>; rel=\"next\""}});
    });
    EXPECT_EQ(list(ListKind::tags).next_query, "last=b");
    EXPECT_EQ(http.calls_to("10.0.0.5").size(), 0u);
}

// Mirrors that lie.
class Liars : public World, public ::testing::WithParamInterface<int> {};

TEST_P(Liars, in_every_order_the_honest_mirror_answers_and_the_liars_are_marked) {
    options.mirrors = {
        {"https://m0.example", {}}, {"https://m1.example", {}}, {"https://m2.example", {}}};
    options.breaker_failures = 1;
    const auto lies = [](size_t mirror) { return (GetParam() >> mirror) & 1; };
    http.handle([&](const client::Call& call) {
        auto made = manifest_answer();
        const size_t mirror = static_cast<size_t>(call.url[9] - '0');
        if (lies(mirror)) made.body = R"({"schemaVersion":2,"other":1})";
        return made;
    });
    const bool honest = GetParam() != 7;
    for (const std::string& reference : {manifest_digest().text(), std::string("12")}) {
        const auto got = finish(start_manifest(false, 10s, "a", reference));
        EXPECT_EQ(got.outcome, honest ? Outcome::ok : Outcome::failed) << got.detail;
        EXPECT_EQ(got.bytes, honest ? kManifest : "");
        size_t asked = 0;
        while (asked < 2 && lies(asked)) ++asked;
        for (size_t i = 0; i < 3; ++i)
            EXPECT_EQ(up().usable(i, "a", Purpose::manifest), i > asked || !lies(i)) << i;
        upstream.reset();
    }
}

INSTANTIATE_TEST_SUITE_P(, Liars, ::testing::Range(0, 8));

}  // namespace
}  // namespace weir::upstream
