// The promises of client/follow.h: secrets stay with the host they were meant for, and nothing
// leads inside.
#include "client/follow.h"

#include <gtest/gtest.h>

#include "async/scope.h"
#include "client/leash.h"
#include "support/fake_http.h"

namespace weir::client {
namespace {

using test::FakeAnswer;
using test::FakeHttp;

FakeAnswer redirect(std::string to, int status = 307) {
    FakeAnswer answer;
    answer.status = status;
    answer.fields = {{"Location", std::move(to)}};
    answer.body = "see there";
    return answer;
}

FakeAnswer body(std::string text) {
    FakeAnswer answer;
    answer.body = std::move(text);
    return answer;
}

class Follow : public ::testing::Test {
protected:
    Followed run(FollowRules rules = {}) {
        Followed out;
        Scope scope("test");
        scope.spawn(loop, [&]() -> Task<> { out = co_await follow(http, call, sink, rules); });
        loop.run_ready();
        EXPECT_EQ(scope.running(), 0u);
        return out;
    }

    ManualClock clock;
    Loop loop{clock};
    FakeHttp http;
    Call call = [] {
        Call c;
        c.url = "https://registry.example/v2/a/blobs/x";
        c.fields = {{"Range", "bytes=1-2"}};
        c.authorization = Secret("Bearer s3cret");
        c.tls.client_certificate = "/c";
        c.tls.client_key = "/k";
        return c;
    }();
    std::shared_ptr<TextSink> sink = std::make_shared<TextSink>();
};

TEST_F(Follow, only_the_final_answer_reaches_the_sink) {
    http.handle([](const Call& c) {
        return c.url.find("cdn") == std::string::npos ? redirect("https://cdn.example/x?sig=1")
                                                      : body("bytes");
    });
    const auto followed = run();
    EXPECT_EQ(followed.reply.end, End::complete);
    EXPECT_EQ(followed.reply.head.status, 200);
    EXPECT_EQ(sink->text, "bytes");
    EXPECT_EQ(followed.hops, 1u);
    EXPECT_FALSE(followed.same_origin);
}

TEST_F(Follow, the_authorization_and_the_client_certificate_stay_with_their_host) {
    http.handle([](const Call& c) {
        return c.url.find("cdn") == std::string::npos ? redirect("https://cdn.example/x")
                                                      : body("");
    });
    run();
    ASSERT_EQ(http.calls().size(), 2u);
    EXPECT_EQ(http.calls()[0].authorization.reveal(), "Bearer s3cret");
    EXPECT_TRUE(http.calls()[1].authorization.empty());
    EXPECT_TRUE(http.calls()[1].tls.client_certificate.empty());
    EXPECT_TRUE(http.calls()[1].tls.client_key.empty());
    EXPECT_EQ(FakeHttp::field(http.calls()[1], "Range"), "bytes=1-2");
}

TEST_F(Follow, another_port_or_scheme_is_another_host) {
    for (const char* to : {"https://registry.example:8443/x", "https://registry.example.evil/x"}) {
        FakeHttp fresh([&](const Call& c) {
            return c.url.starts_with("https://registry.example/") ? redirect(to) : body("");
        });
        Scope scope("test");
        scope.spawn(loop, [&]() -> Task<> { co_await follow(fresh, call, sink, {}); });
        loop.run_ready();
        ASSERT_EQ(fresh.calls().size(), 2u) << to;
        EXPECT_TRUE(fresh.calls()[1].authorization.empty()) << to;
    }
}

TEST_F(Follow, a_way_back_does_not_bring_the_authorization_back) {
    http.handle([](const Call& c) {
        if (c.url.ends_with("/back")) return body("done");
        return c.url.find("cdn") == std::string::npos ? redirect("https://cdn.example/x")
                                                      : redirect("https://registry.example/back");
    });
    const auto followed = run();
    EXPECT_TRUE(followed.same_origin);
    EXPECT_TRUE(http.calls().back().authorization.empty());
}

TEST_F(Follow, on_the_same_host_the_authorization_is_kept_and_a_relative_location_resolved) {
    http.handle([](const Call& c) {
        return c.url.ends_with("/files/x?t=1") ? body("bytes")
                                               : redirect("../../../files/x?t=1", 302);
    });
    const auto followed = run();
    ASSERT_EQ(http.calls().size(), 2u);
    EXPECT_EQ(http.calls()[1].url, "https://registry.example/files/x?t=1");
    EXPECT_EQ(http.calls()[1].authorization.reveal(), "Bearer s3cret");
    EXPECT_TRUE(followed.same_origin);
}

TEST_F(Follow, from_https_nothing_leads_to_http) {
    http.handle([](const Call&) { return redirect("http://registry.example/x"); });
    const auto followed = run();
    EXPECT_EQ(followed.reply.end, End::forbidden);
    EXPECT_EQ(http.calls().size(), 1u);
    EXPECT_EQ(sink->text, "");
}

TEST_F(Follow, after_five_redirects_it_is_enough) {
    int count = 0;
    http.handle([&](const Call&) { return redirect("/x" + std::to_string(++count)); });
    const auto followed = run();
    EXPECT_EQ(followed.reply.end, End::protocol);
    EXPECT_EQ(http.calls().size(), 6u);
    EXPECT_NE(followed.reply.detail.find("more than 5 redirects"), std::string::npos);
}

TEST_F(Follow, the_guard_is_on_for_redirect_targets_but_not_for_the_configured_or_trusted_host) {
    call.guard.enabled = false;
    http.handle([](const Call& c) {
        if (c.url.ends_with("/1")) return redirect("https://cdn.example/2");
        if (c.url.ends_with("/2")) return redirect("https://trusted.example:8443/3");
        return c.url.ends_with("/3") ? body("") : redirect("/1");
    });
    FollowRules rules;
    rules.trusted_hosts = {"trusted.example:8443"};
    run(rules);
    ASSERT_EQ(http.calls().size(), 4u);
    EXPECT_FALSE(http.calls()[0].guard.enabled);
    EXPECT_FALSE(http.calls()[1].guard.enabled);
    EXPECT_TRUE(http.calls()[2].guard.enabled);
    EXPECT_FALSE(http.calls()[3].guard.enabled);
}

TEST_F(Follow, a_redirect_to_a_metadata_or_loopback_address_ends_as_forbidden) {
    call.guard.enabled = false;
    for (const char* to :
         {"https://169.254.169.254/latest", "https://127.0.0.1/x", "https://[fe80::1]/"}) {
        http.handle([&](const Call&) { return redirect(to); });
        EXPECT_EQ(run().reply.end, End::forbidden) << to;
    }
}

TEST_F(Follow, a_target_that_is_no_web_address_is_forbidden) {
    for (const char* to :
         {"file:///etc/passwd", "https://user:pass@cdn.example/", "https://a\\@b/"}) {
        http.handle([&](const Call&) { return redirect(to); });
        EXPECT_EQ(run().reply.end, End::forbidden) << to;
    }
}

TEST_F(Follow, a_post_is_followed_within_its_origin_alone_and_as_it_is) {
    call.method = "POST";
    call.body = "a=b";
    http.handle([](const Call&) { return redirect("https://cdn.example/"); });
    EXPECT_EQ(run().reply.head.status, 307);
    EXPECT_EQ(http.calls().size(), 1u);
    for (const int status : {301, 302, 303}) {
        const size_t before = http.calls().size();
        http.handle([status](const Call&) { return redirect("/there", status); });
        EXPECT_EQ(run().reply.head.status, status);
        EXPECT_EQ(http.calls().size(), before + 1);
    }
    http.handle([](const Call& c) {
        return c.url.ends_with("/there") ? body("done") : redirect("/there", 308);
    });
    EXPECT_EQ(run().reply.head.status, 200);
    EXPECT_EQ(http.calls().back().method, "POST");
    EXPECT_EQ(http.calls().back().body, "a=b");
    EXPECT_EQ(http.calls().back().authorization.reveal(), "Bearer s3cret");
}

TEST_F(Follow, within_the_origin_a_redirect_elsewhere_is_the_answer) {
    FollowRules rules;
    rules.within_origin = true;
    for (const char* to : {"https://cdn.example/", "https://registry.example:8443/",
                           "http://registry.example/", "file:///x"}) {
        http.handle([&](const Call&) { return redirect(to); });
        const size_t before = http.calls().size();
        EXPECT_EQ(run(rules).reply.head.status, 307) << to;
        EXPECT_EQ(http.calls().size(), before + 1);
    }
}

TEST_F(Follow, a_public_host_leads_to_no_private_address_and_a_private_one_may) {
    call.guard.enabled = false;
    http.handle([](const Call& c) {
        return c.url.find("10.9.9.9") == std::string::npos ? redirect("https://10.9.9.9/x")
                                                           : body("inner");
    });
    EXPECT_EQ(run().reply.end, End::forbidden);
    call.url = "https://192.168.7.7/v2/";
    EXPECT_EQ(run().reply.end, End::complete);
    EXPECT_TRUE(http.calls().back().guard.enabled);
    call.url = "https://registry.example/v2/";
    FollowRules rules;
    rules.trusted_hosts = {"10.9.9.9"};
    EXPECT_EQ(run(rules).reply.end, End::complete);
}

// Changes what is sent and asks again, as upstream/visit.h does.
class Recorder : public Companion {
public:
    Task<bool> before(const Url& at, Call& call) override {
        asked.push_back(at.authority());
        call.authorization = Secret("for " + at.host);
        co_return at.host != "never.example";
    }
    Task<bool> after(const Url&, const ReplyEnd& reply, bool is_redirect) override {
        statuses.push_back(reply.head.status);
        co_return !is_redirect && reply.head.status == 401;
    }
    std::vector<std::string> asked;
    std::vector<int> statuses;
};

TEST_F(Follow, a_companion_is_asked_at_each_host_and_may_have_it_asked_again) {
    int refusals = 0;
    http.handle([&](const Call& c) {
        if (c.url.find("cdn") == std::string::npos) return redirect("https://cdn.example/x");
        FakeAnswer said = body("bytes");
        if (++refusals == 1) said.status = 401;
        return said;
    });
    Recorder recorder;
    Followed out;
    Scope scope("test");
    scope.spawn(loop, [&]() -> Task<> { out = co_await follow(http, call, sink, {}, &recorder); });
    loop.run_ready();
    EXPECT_EQ(out.reply.head.status, 200);
    EXPECT_EQ(recorder.statuses, (std::vector<int>{307, 401, 200}));
    EXPECT_EQ(http.calls().back().authorization.reveal(), "for cdn.example");
    http.handle([](const Call&) { return redirect("https://never.example/x"); });
    scope.spawn(loop, [&]() -> Task<> { out = co_await follow(http, call, sink, {}, &recorder); });
    loop.run_ready();
    EXPECT_TRUE(out.kept_back);
    EXPECT_EQ(http.calls_to("never.example").size(), 0u);
}

TEST_F(Follow, the_last_host_is_told_without_its_secrets) {
    http.handle([](const Call& c) {
        return c.url.find("cdn") == std::string::npos
                   ? redirect("https://cdn.example:8443/x?sig=s3cret")
                   : body("");
    });
    EXPECT_EQ(run().host, "cdn.example:8443");
}

TEST_F(Follow, one_leash_holds_each_transfer_in_turn_and_a_pull_between_them_is_not_lost) {
    const auto leash = std::make_shared<Leash>();
    call.started = [leash](auto transfer) { leash->attach(std::move(transfer)); };
    http.handle([&](const Call& c) {
        if (c.url.find("cdn") != std::string::npos) return body("bytes");
        leash
            ->cancel();  // too late for this transfer's answer in real life; here it ends the first
        return redirect("https://cdn.example/x");
    });
    EXPECT_EQ(run().reply.end, End::cancelled);
    EXPECT_TRUE(leash->cancelled());
    EXPECT_EQ(run().reply.end, End::cancelled);  // attached after the pull
    EXPECT_EQ(sink->text, "");
}

}  // namespace
}  // namespace weir::client
