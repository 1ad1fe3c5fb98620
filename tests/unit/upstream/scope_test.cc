// The promises of upstream/judgement.h: every status, for every purpose, at the registry itself and
// at a host that it redirects to: what it means, how often it is asked, and of whom it speaks.
#include "unit/upstream/world.h"
#include "upstream/hosts.h"
#include "upstream/judgement.h"

namespace weir::upstream {
namespace {

constexpr int kLimit = 3;

struct Case {
    Purpose purpose;
    bool at_target;  // of a redirect
};

std::string name_of(const Case& given) {
    static constexpr std::array kNames{"manifest", "list", "blob"};
    return std::string(kNames[static_cast<size_t>(given.purpose)]) +
           (given.at_target ? "_at_a_target" : "_at_the_registry");
}

class EveryStatus : public World, public ::testing::WithParamInterface<Case> {
protected:
    EveryStatus() {
        options.breaker_failures = kLimit;
        options.max_retries = 3;
        http.handle([this](const client::Call& call) {
            if (call.url.find("well/") != std::string::npos) return well(call);
            const bool at_registry = call.url.starts_with("https://registry.example/");
            if (GetParam().at_target && at_registry)
                return answer(307, "",
                              {{"Location", "https://target.example/v2/" +
                                                call.url.substr(call.url.rfind("/v2/") + 4)}});
            return said;
        });
    }
    FakeAnswer well(const client::Call& call) const {
        return call.url.find("/manifests/") != std::string::npos
                   ? manifest_answer()
                   : answer(200, "{}", {{"Content-Type", "application/json"}});
    }
    Answer ask(const std::string& name) {
        switch (GetParam().purpose) {
            case Purpose::manifest:
                return manifest(false, 10s, name);
            case Purpose::list:
                return list(ListKind::tags, "", "", name);
            default:
                return blob(std::make_shared<Bytes>(), {}, 0, 10s, name);
        }
    }
    // What everybody else sees after one repository has been asked for often.
    void expect_others_are_well() {
        const auto purpose = GetParam().purpose;
        EXPECT_TRUE(up().usable(0, "well/a", purpose)) << said.status;
        EXPECT_EQ(up().status().mirrors[0].second == "open", false) << said.status;
        EXPECT_EQ(ask("well/a").outcome, Outcome::ok) << said.status;
    }

    FakeAnswer said;
};

TEST_P(EveryStatus, a_4xx_about_the_request_is_final_asked_once_and_good_for_the_host) {
    for (int status = 400; status < 500; ++status) {
        if (std::set{401, 403, 407, 408, 421, 425, 429}.contains(status)) continue;
        if (status == 400 && GetParam().at_target) continue;  // of a signed address: below
        said = answer(status, R"({"errors":[{"code":"C","message":"why"}]})");
        for (int i = 0; i < 2 * kLimit; ++i) {
            const size_t before = http.calls().size();
            const auto got = ask("sick/a");
            const bool absent = status == 404;
            EXPECT_EQ(got.outcome, absent ? Outcome::not_found : Outcome::rejected) << status;
            EXPECT_EQ(got.status, status);
            EXPECT_EQ(http.calls().size(), before + (GetParam().at_target ? 2 : 1)) << status;
            const std::string host = GetParam().at_target ? "target.example" : "registry.example";
            EXPECT_EQ(got.detail, host + " answers " + std::to_string(status) + ", C: why");
        }
        EXPECT_TRUE(up().usable(0, "sick/a", GetParam().purpose)) << status;
        expect_others_are_well();
        upstream.reset();
    }
}

TEST_P(EveryStatus, what_one_repository_is_told_never_takes_the_others_away) {
    for (int status = 200; status < 600; ++status) {
        if (status == 200 || status == 206) continue;
        said = answer(status);
        for (const char* after : {"", "60"}) {
            if (*after) said.fields = {{"Retry-After", after}};
            for (int i = 0; i < 2 * kLimit; ++i) ask("sick/a");
            expect_others_are_well();
            upstream.reset();
        }
    }
}

TEST_P(EveryStatus, however_the_answer_to_one_repository_ends_the_others_are_well) {
    for (const auto end : {client::End::cut, client::End::stalled, client::End::protocol,
                           client::End::timeout, client::End::too_large}) {
        for (const int status : {0, 200}) {
            said = answer(status, "x");
            said.end = end;
            for (int i = 0; i < 2 * kLimit; ++i) ask("sick/a");
            expect_others_are_well();
            upstream.reset();
        }
    }
    said = answer(200, "<html>", {{"Content-Type", "text/html"}});
    for (int i = 0; i < 2 * kLimit; ++i) ask("sick/a");
    expect_others_are_well();
}

TEST_P(EveryStatus, a_failure_of_many_repositories_counts_against_the_host_that_gave_it) {
    for (const int status : {408, 421, 425, 500, 502, 503, 504, 599}) {
        options.max_retries = 0;
        said = answer(status);
        for (int i = 0; i < 2 * kLimit; ++i) ask("sick/" + std::to_string(i));
        const bool open = up().status().mirrors[0].second == "open";
        EXPECT_EQ(open, !GetParam().at_target) << status;
        EXPECT_EQ(ask("well/a").outcome, Outcome::ok) << status;
        upstream.reset();
    }
}

TEST_P(EveryStatus, a_hold_off_is_for_the_repository_and_purpose) {
    options.max_retries = 0;
    said = answer(429, "", {{"Retry-After", "300"}});
    EXPECT_EQ(ask("sick/a").outcome, Outcome::throttled);
    const size_t before = http.calls().size();
    const auto again = ask("sick/a");
    EXPECT_EQ(again.outcome, Outcome::throttled);
    EXPECT_EQ(again.retry_after, 300s);
    // At a target: the registry is asked where it leads today, the target is left in peace.
    EXPECT_EQ(http.calls().size(), before + (GetParam().at_target ? 1 : 0));
    EXPECT_EQ(up().usable(0, "sick/a", GetParam().purpose), GetParam().at_target);
    for (const auto other : {Purpose::manifest, Purpose::list, Purpose::blob})
        if (other != GetParam().purpose) {
            EXPECT_TRUE(up().usable(0, "sick/a", other));
        }
    expect_others_are_well();
}

TEST_P(EveryStatus, a_reload_ends_failures_and_hold_offs) {
    options.max_retries = 0;
    for (const auto& bad : {answer(429, "", {{"Retry-After", "300"}}), answer(500),
                            broken(client::End::unreachable)}) {
        said = bad;
        for (int i = 0; i < 2 * kLimit; ++i) ask("sick/a");
        up().forget();
        const size_t before = http.calls().size();
        ask("sick/a");
        EXPECT_EQ(http.calls().size(), before + (GetParam().at_target ? 2 : 1)) << bad.status;
        upstream.reset();
    }
}

INSTANTIATE_TEST_SUITE_P(, EveryStatus,
                         ::testing::Values(Case{Purpose::manifest, false},
                                           Case{Purpose::manifest, true},
                                           Case{Purpose::list, false}, Case{Purpose::list, true},
                                           Case{Purpose::blob, false}, Case{Purpose::blob, true}),
                         [](const auto& info) { return name_of(info.param); });

class Targets : public World {
protected:
    Targets() {
        options.breaker_failures = kLimit;
        http.handle([this](const client::Call& call) {
            if (call.url.starts_with("https://registry.example/"))
                return answer(307, "", {{"Location", to}});
            return call.url.starts_with("https://dead.example") ? broken(client::End::unreachable)
                                                                : answer(200, "bytes");
        });
    }
    std::string to = "https://dead.example/x";
};

TEST_F(Targets, a_dead_target_is_set_aside_and_the_registry_is_not) {
    for (int i = 0; i < 2 * kLimit; ++i) {
        const auto got = blob(std::make_shared<Bytes>());
        EXPECT_EQ(got.outcome, Outcome::unreachable);
        EXPECT_TRUE(got.detail.starts_with("dead.example: ")) << got.detail;
    }
    EXPECT_EQ(http.calls_to("dead.example").size(), static_cast<size_t>(kLimit));
    EXPECT_TRUE(up().usable(0, "library/debian"));
    to = "https://cdn.example/x";
    EXPECT_EQ(blob(std::make_shared<Bytes>()).outcome, Outcome::ok);
}

TEST_F(Targets, hosts_that_a_registry_invents_take_a_bounded_room) {
    for (int i = 0; i < 200; ++i) {
        to = "https://host" + std::to_string(i) + ".example/x";
        EXPECT_EQ(blob(std::make_shared<Bytes>()).outcome, Outcome::ok);
    }
}

TEST(Hosts, are_bounded_and_the_one_asked_longest_ago_goes) {
    SeededRandom random(1);
    const Options options;
    Hosts hosts(options, random);
    const auto at = [&](size_t i) {
        return hosts.of(*client::Url::parse("https://h" + std::to_string(i) + ".example/"));
    };
    const auto first = at(0);
    for (size_t i = 0; i < 3 * kMaxHosts; ++i) {
        at(i);
        EXPECT_EQ(at(0), first);
    }
    EXPECT_EQ(hosts.size(), kMaxHosts);
}

// Lists.

class PageSize : public World {
protected:
    PageSize() {
        http.handle([this](const client::Call& call) {
            return call.url.find("n=") == std::string::npos
                       ? answer(200, R"({"tags":["1"]})", {{"Content-Type", "application/json"}})
                       : said;
        });
    }
    FakeAnswer said = answer(400, R"({"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]})");
};

TEST_F(PageSize, a_list_that_is_refused_because_of_n_is_asked_again_without_it) {
    for (const char* query : {"n=10000", "n=x", "last=a&n=5", "n=5&last=a"}) {
        const size_t before = http.calls().size();
        EXPECT_EQ(list(ListKind::tags, "", query).outcome, Outcome::ok) << query;
        EXPECT_EQ(http.calls().size(), before + 2);
        const bool has_last = std::string_view(query).find("last") != std::string_view::npos;
        EXPECT_EQ(http.calls().back().url.ends_with(has_last ? "/list?last=a" : "/list"), true);
    }
}

TEST_F(PageSize, other_answers_to_n_are_not_asked_again) {
    for (const int status : {404, 401, 429, 500}) {
        said = answer(status);
        const size_t before = http.calls().size();
        EXPECT_NE(list(ListKind::tags, "", "n=5").outcome, Outcome::ok);
        EXPECT_EQ(http.calls().size(), before + 1) << status;
        upstream.reset();
    }
}

// What the client sees of an outcome that is no answer, when there are several.
TEST(Ranking, is_one_and_complete) {
    std::vector<Outcome> all;
    for (size_t i = 0; i < kOutcomes; ++i) all.push_back(static_cast<Outcome>(i));
    for (const auto a : all)
        for (const auto b : all) EXPECT_EQ(outranks(a, b) + outranks(b, a), a == b ? 0 : 1);
    EXPECT_TRUE(outranks(Outcome::rejected, Outcome::not_found));
    EXPECT_TRUE(outranks(Outcome::failed, Outcome::rejected));
    EXPECT_TRUE(outranks(Outcome::refused, Outcome::not_found));
    EXPECT_TRUE(outranks(Outcome::throttled, Outcome::unreachable));
}

}  // namespace
}  // namespace weir::upstream
