// The promises of upstream/upstream.h about mirrors: in order, set aside when they fail, left in
// peace when they ask.
#include "base/failure.h"
#include "unit/upstream/world.h"
#include "upstream/budget.h"

namespace weir::upstream {
namespace {

class Mirrors : public World {
protected:
    Mirrors() {
        options.mirrors = {{"https://first.example", {}}, {"https://second.example", {}}};
        options.breaker_failures = 3;
        http.handle([this](const client::Call& call) {
            return call.url.find("first.example") != std::string::npos ? first : second;
        });
    }
    size_t firsts() const { return http.calls_to("first.example").size(); }
    size_t seconds() const { return http.calls_to("second.example").size(); }
    std::string state(size_t mirror = 0) { return up().status().mirrors[mirror].second; }

    FakeAnswer first = manifest_answer();
    FakeAnswer second = manifest_answer();
};

TEST_F(Mirrors, the_first_that_has_it_answers_and_the_rest_are_not_asked) {
    const auto got = manifest();
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.mirror, "first.example");
    EXPECT_EQ(seconds(), 0u);
}

TEST_F(Mirrors, whatever_ails_the_first_the_second_answers) {
    for (const auto& ill :
         {answer(429, "", {{"Retry-After", "60"}}), answer(500), answer(503), answer(404),
          answer(403), answer(418), broken(client::End::unreachable), broken(client::End::timeout),
          broken(client::End::protocol), answer(200, "<html>", {{"Content-Type", "text/html"}}),
          challenge("Bearer realm=\"https://127.0.0.1/\"")}) {
        first = ill;
        const auto got = manifest();
        EXPECT_EQ(got.outcome, Outcome::ok) << ill.status;
        EXPECT_EQ(got.mirror, "second.example");
        upstream.reset();
    }
}

TEST_F(Mirrors, not_found_is_said_only_when_all_say_so) {
    first = second = answer(404);
    EXPECT_EQ(manifest().outcome, Outcome::not_found);
    second = answer(500);
    EXPECT_EQ(manifest().outcome, Outcome::failed);
    second = broken(client::End::unreachable);
    EXPECT_EQ(manifest().outcome, Outcome::unreachable);
    first = answer(401);
    second = answer(404);
    EXPECT_EQ(manifest().outcome, Outcome::refused);
}

TEST_F(Mirrors, a_mirror_that_hangs_leaves_time_for_the_next) {
    first.delay = kForever;
    const TimePoint before = clock.now();
    const auto got = manifest(false, 8s);
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.mirror, "second.example");
    EXPECT_EQ(clock.now() - before, 4s);
}

TEST_F(Mirrors, a_body_that_trickles_past_the_deadline_is_a_timeout) {
    first.body_delay = kForever;
    second = first;
    const TimePoint before = clock.now();
    EXPECT_EQ(manifest(false, 8s).outcome, Outcome::timeout);
    EXPECT_EQ(clock.now() - before, 8s);
    EXPECT_EQ(http.running(), 0u);
}

TEST_F(Mirrors, after_so_many_failures_in_a_row_a_repository_is_not_asked_for_there) {
    first = answer(500);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(firsts(), 3u);
    EXPECT_EQ(state(), "closed") << "one repository says nothing of the host";
    EXPECT_FALSE(up().usable(0, "library/debian", Purpose::manifest));
    EXPECT_TRUE(up().usable(0, "library/debian", Purpose::blob));
    EXPECT_TRUE(up().usable(0, "library/alpine", Purpose::manifest));
}

TEST_F(Mirrors, a_host_that_can_not_be_reached_is_set_aside_for_everything) {
    first = broken(client::End::unreachable);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(firsts(), 3u);
    EXPECT_EQ(state(), "open");
    EXPECT_FALSE(up().usable(0));
    EXPECT_TRUE(up().usable(1));
}

TEST_F(Mirrors, a_success_between_failures_starts_the_count_anew) {
    for (int i = 0; i < 6; ++i) {
        first = i % 3 == 2 ? manifest_answer() : answer(500);
        manifest();
    }
    EXPECT_EQ(state(), "closed");
}

TEST_F(Mirrors, not_found_refused_and_throttled_are_no_failures) {
    for (const auto& healthy : {answer(404), answer(401), answer(403), answer(412)}) {
        first = healthy;
        for (int i = 0; i < 5; ++i) manifest();
        EXPECT_EQ(state(), "closed") << healthy.status;
    }
}

TEST_F(Mirrors, one_probe_goes_through_and_closes_the_breaker_or_doubles_its_time) {
    options.mirrors.resize(1);
    options.timeouts.response = 1s;
    first = broken(client::End::unreachable);
    for (int i = 0; i < 3; ++i) manifest();
    EXPECT_EQ(manifest().outcome, Outcome::unreachable);
    EXPECT_EQ(firsts(), 3u);

    advance(6s);  // 5 s and up to a tenth
    EXPECT_TRUE(up().usable(0));
    first.delay = 100ms;
    const auto probe = start_manifest();
    loop.run_ready();
    EXPECT_EQ(state(), "probing");
    EXPECT_FALSE(up().usable(0));
    const auto meanwhile = start_manifest();
    settle();
    EXPECT_EQ((*probe)->outcome, Outcome::unreachable);
    EXPECT_EQ((*meanwhile)->outcome, Outcome::unreachable);
    EXPECT_EQ(firsts(), 4u);

    advance(6s);
    EXPECT_FALSE(up().usable(0)) << "twice as long now";
    advance(6s);
    first = manifest_answer();
    EXPECT_EQ(manifest().outcome, Outcome::ok);
    EXPECT_EQ(state(), "closed");
    EXPECT_EQ(manifest().outcome, Outcome::ok);
}

TEST_F(Mirrors, retry_after_is_heeded_and_remembered_within_bounds) {
    options.mirrors.resize(1);
    first = answer(429, R"({"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]})",
                   {{"Retry-After", "30"}});
    auto got = manifest();
    EXPECT_EQ(got.outcome, Outcome::throttled);
    EXPECT_EQ(got.retry_after, 30s);
    EXPECT_NE(got.detail.find("TOOMANYREQUESTS: pull rate limit"), std::string::npos) << got.detail;
    EXPECT_EQ(state(), "later");
    advance(10s);
    got = manifest();
    EXPECT_EQ(got.outcome, Outcome::throttled);
    EXPECT_EQ(got.retry_after, 20s);
    EXPECT_EQ(firsts(), 1u);
    advance(20s);
    first = answer(429, "", {{"Retry-After", "86400"}});
    EXPECT_EQ(manifest().retry_after, 300s);
    advance(300s);
    first = manifest_answer();
    EXPECT_EQ(manifest().outcome, Outcome::ok);
}

TEST_F(Mirrors, a_503_with_retry_after_is_a_wish_for_peace_and_without_one_a_failure) {
    options.mirrors.resize(1);
    first = answer(503, "", {{"Retry-After", "Thu, 01 Jan 1970 00:00:31 GMT"}});
    EXPECT_EQ(manifest().outcome, Outcome::throttled);
    upstream.reset();
    first = answer(503);
    EXPECT_EQ(manifest().outcome, Outcome::failed);
}

TEST_F(Mirrors, a_limit_on_manifests_does_not_stop_the_blobs_of_pulls_under_way) {
    first = second = answer(429, "", {{"Retry-After", "30"}});
    EXPECT_EQ(manifest().outcome, Outcome::throttled);
    EXPECT_TRUE(up().usable(0, "library/debian"));
    first = answer(200, "blob");
    EXPECT_EQ(blob(std::make_shared<Bytes>()).outcome, Outcome::ok);
    first = answer(429, "", {{"Retry-After", "30"}});
    EXPECT_EQ(blob(std::make_shared<Bytes>()).outcome, Outcome::throttled);
    EXPECT_FALSE(up().usable(0, "library/debian"));
    EXPECT_EQ(blob(std::make_shared<Bytes>()).outcome, Outcome::throttled);
}

TEST_F(Mirrors, retries_happen_inside_the_deadline_and_grow_when_told_to) {
    options.mirrors.resize(1);
    options.breaker_failures = 100;
    options.max_retries = 3;
    options.retry_delay = 1s;
    options.max_retry_delay = 3s;
    first = answer(500);
    std::vector<TimePoint> at;
    http.handle([&](const client::Call&) {
        at.push_back(clock.now());
        return first;
    });
    EXPECT_EQ(manifest(false, 60s).outcome, Outcome::failed);
    ASSERT_EQ(at.size(), 4u);
    const auto about = [](Duration took, Duration wanted) {
        EXPECT_GE(took, wanted * 8 / 10);
        EXPECT_LE(took, wanted * 12 / 10);
    };
    about(at[1] - at[0], 1s);
    about(at[2] - at[1], 2s);
    about(at[3] - at[2], 3s);
    at.clear();
    EXPECT_EQ(manifest(false, 2s).outcome, Outcome::failed);
    EXPECT_EQ(at.size(), 2u);
}

TEST_F(Mirrors, without_a_greater_maximum_the_delay_is_the_same_each_time) {
    options.mirrors.resize(1);
    options.max_retries = 2;
    options.retry_delay = 1s;
    first = answer(500);
    const TimePoint before = clock.now();
    manifest(false, 60s);
    EXPECT_LE(clock.now() - before, 2400ms);
    EXPECT_EQ(firsts(), 3u);
}

TEST_F(Mirrors, what_another_try_would_not_change_is_not_tried_again) {
    options.mirrors.resize(1);
    options.max_retries = 3;
    for (const auto& plain : {answer(404), answer(403), answer(400), answer(451)}) {
        first = plain;
        const size_t before = firsts();
        manifest();
        EXPECT_EQ(firsts(), before + 1);
    }
}

TEST_F(Mirrors, a_retry_that_succeeds_is_an_answer) {
    options.mirrors.resize(1);
    options.max_retries = 1;
    int count = 0;
    http.handle([&](const client::Call&) {
        return ++count == 1 ? broken(client::End::cut) : manifest_answer();
    });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
}

TEST_F(Mirrors, an_upstream_that_is_switched_off_asks_nobody) {
    options.offline = true;
    EXPECT_EQ(manifest().outcome, Outcome::offline);
    EXPECT_EQ(blob(std::make_shared<Bytes>()).outcome, Outcome::offline);
    EXPECT_EQ(list(ListKind::tags).outcome, Outcome::offline);
    EXPECT_FALSE(up().usable(0));
    EXPECT_EQ(http.calls().size(), 0u);
}

TEST_F(Mirrors, only_so_many_requests_run_at_once_and_the_rest_wait_their_turn) {
    options.max_concurrent = 2;
    options.max_queued = 3;
    first.delay = 1s;
    std::vector<std::shared_ptr<std::optional<ManifestAnswer>>> all;
    for (int i = 0; i < 6; ++i) all.push_back(start_manifest());
    loop.run_ready();
    EXPECT_EQ(http.running(), 2u);
    EXPECT_EQ(up().status().in_use, 2u);
    EXPECT_EQ(up().status().waiting, 3u);
    settle();
    int ok = 0, throttled = 0;
    for (const auto& one : all) {
        ok += (*one)->outcome == Outcome::ok;
        throttled += (*one)->outcome == Outcome::throttled;
    }
    EXPECT_EQ(ok, 5);
    EXPECT_EQ(throttled, 1);
    EXPECT_EQ(state(), "closed") << "our own limit says nothing about the mirror";
}

TEST_F(Mirrors, the_budget_is_read_from_every_answer_of_the_mirror) {
    first.fields.emplace_back("ratelimit-limit", "100;w=21600");
    first.fields.emplace_back("RateLimit-Remaining", "76;w=21600");
    EXPECT_FALSE(up().status().limit);
    manifest(true);
    EXPECT_EQ(up().status().limit, 100);
    EXPECT_EQ(up().status().remaining, 76);
    EXPECT_NE(metrics::expose().find("weir_upstream_ratelimit_remaining{upstream=\"test\"} 76"),
              std::string::npos);
}

TEST_F(Mirrors, wrong_bytes_count_against_the_mirror) {
    for (int i = 0; i < 3; ++i) up().report_bad(1, "a");
    EXPECT_FALSE(up().usable(1, "a"));
    EXPECT_TRUE(up().usable(1, "b"));
    EXPECT_EQ(state(1), "closed");
    for (const char* name : {"b", "c"}) up().report_bad(1, name);
    EXPECT_EQ(state(1), "open");
    EXPECT_NE(metrics::expose().find("weir_upstream_breaker_open{upstream=\"test\"} 1"),
              std::string::npos);
}

TEST_F(Mirrors, an_upstream_may_be_dropped_while_its_requests_end) {
    first.delay = 1s;
    const auto pending = start_manifest();
    loop.run_ready();
    upstream.reset();
    settle();
    EXPECT_EQ((*pending)->outcome, Outcome::ok);
}

TEST_F(Mirrors, a_mirror_that_is_no_address_is_a_configuration_error) {
    options.mirrors = {{"ftp://x", {}}};
    EXPECT_THROW(up(), Failure);
}

TEST(BudgetTest, retry_after_is_seconds_or_a_date_and_nonsense_is_nothing) {
    const WallTime now{std::chrono::sys_days{std::chrono::year{2026} / 1 / 2}};
    const auto read = [&](const char* value) {
        return retry_after({{{"retry-after", value}}}, now);
    };
    EXPECT_EQ(read("120"), 120s);
    EXPECT_EQ(read("Fri, 02 Jan 2026 00:01:30 GMT"), 90s);
    EXPECT_EQ(read("Thu, 01 Jan 2026 00:00:00 GMT"), 0s);
    for (const char* nonsense : {"", "soon", "-5", "1.5", "Fri, 99 Jan 2026"})
        EXPECT_EQ(read(nonsense), std::nullopt);
    EXPECT_TRUE(read("99999999999999999999") == std::nullopt);
    EXPECT_EQ(parse_limit("100;w=21600"), 100);
    EXPECT_EQ(parse_limit("7"), 7);
    EXPECT_EQ(parse_limit("x"), std::nullopt);
}

}  // namespace
}  // namespace weir::upstream
