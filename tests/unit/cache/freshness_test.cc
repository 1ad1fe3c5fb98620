// How long a tag is believed, and what happens when its upstream is silent or says no.
#include <re2/re2.h>

#include "oci/manifest.h"
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class FreshnessTest : public Lab {
protected:
    oci::Digest simple(const std::string& tag) { return image(tag, {blob(100), blob(1000)}); }
    // Lets the time pass; the tag is asked for again and again, but not at its end.
    void asked_often(const std::string& tag, Duration time) {
        for (int i = 0; i < 8; ++i) {
            if (i > 0) EXPECT_TRUE(manifest(tag));
            wait(time / 8);
        }
    }
    size_t asked() const { return asks(What::manifest, "").size(); }
    static std::shared_ptr<const re2::RE2> pattern(const char* text) {
        return std::make_shared<const re2::RE2>(text);
    }
};

TEST_F(FreshnessTest, a_fresh_tag_asks_nobody) {
    options.freshness.ttl = 60s;
    boot();
    simple("v1");
    manifest("v1");
    wait(59s);
    const auto view = manifest("v1");
    ASSERT_TRUE(view);
    EXPECT_FALSE(view->stale);
    EXPECT_GE(view->age, 59s);
    EXPECT_EQ(asked(), 1u);
}

TEST_F(FreshnessTest, one_head_behind_a_stale_answer) {
    options.freshness.ttl = 60s;
    mirror().latency = 100ms;
    boot();
    const auto digest = simple("v1");
    manifest("v1");
    asked_often("v1", 61s);
    for (int i = 0; i < 10; ++i) {
        const auto view = manifest("v1");
        ASSERT_TRUE(view);
        EXPECT_TRUE(view->stale);
        EXPECT_EQ(view->from, From::stale);
        EXPECT_EQ(view->manifest->digest, digest);
        EXPECT_LE(took, 1ms);
    }
    wait(1s);
    EXPECT_EQ(asks(What::manifest, "HEAD").size(), 1u);
    EXPECT_EQ(asks(What::manifest, "GET").size(), 1u);
    EXPECT_FALSE(manifest("v1")->stale) << "confirmed";
}

TEST_F(FreshnessTest, a_tag_that_moved_is_fetched_behind_the_stale_answer) {
    options.freshness.ttl = 60s;
    boot();
    const auto old = simple("v1");
    manifest("v1");
    const auto now = simple("v1");
    asked_often("v1", 61s);
    EXPECT_EQ(manifest("v1")->manifest->digest, old);
    wait(1s);
    mirror().mood = Mood::hangs;
    EXPECT_EQ(manifest("v1")->manifest->digest, now);
    EXPECT_LE(took, 1ms);
}

TEST_F(FreshnessTest, a_silent_upstream_is_asked_again_only_after_a_while) {
    options.freshness.ttl = 10s;
    boot();
    const auto digest = simple("v1");
    manifest("v1");
    mirror().mood = Mood::fails;
    wait(11s);
    for (int i = 0; i < 20; ++i) {
        const auto view = manifest("v1");
        ASSERT_TRUE(view);
        EXPECT_EQ(view->manifest->digest, digest);
        EXPECT_TRUE(view->stale);
        wait(200ms);
    }
    EXPECT_EQ(asks(What::manifest, "HEAD").size(), 1u);
    wait(3s);
    manifest("v1");
    wait(1s);
    EXPECT_EQ(asks(What::manifest, "HEAD").size(), 2u);
}

TEST_F(FreshnessTest, a_hit_never_waits_for_a_hung_upstream) {
    options.freshness.ttl = 10s;
    boot();
    const auto digest = simple("v1");
    manifest("v1");
    for (const Mood mood :
         {Mood::hangs, Mood::refuses, Mood::fails, Mood::throttles, Mood::denies, Mood::rejects}) {
        mirror().mood = mood;
        for (int i = 0; i < 6; ++i) {
            wait(5s);
            ASSERT_TRUE(manifest("v1")) << sim::mood_name(mood);
            EXPECT_LE(took, 1ms) << sim::mood_name(mood);
        }
        for (const bool head : {false, true}) {
            const auto by_tag = manifest("v1", head);
            ASSERT_TRUE(by_tag) << sim::mood_name(mood);
            EXPECT_LE(took, 1ms);
            EXPECT_EQ(by_tag->manifest->digest, digest);
            ASSERT_TRUE(manifest(digest.text(), head));
            EXPECT_LE(took, 1ms);
        }
    }
}

TEST_F(FreshnessTest, a_hit_long_after_a_restart_waits_for_a_moment_once) {
    boot();
    const auto digest = simple("v1");
    manifest("v1");
    restart();
    mirror().mood = Mood::hangs;
    wait(1h);
    ASSERT_TRUE(manifest("v1"));
    EXPECT_LE(took, 310ms);
    ASSERT_TRUE(manifest("v1"));
    EXPECT_LE(took, 5ms);
    ASSERT_TRUE(manifest(digest.text()));
    EXPECT_LE(took, 5ms);
}

TEST_F(FreshnessTest, who_asks_more_seldom_than_the_ttl_gets_what_the_tag_is_now) {
    for (const Duration ttl : {1s, 60s, 300s}) {
        options.freshness.ttl = ttl;
        boot();
        simple("v1");
        manifest("v1");
        for (const double share : {1.1, 1.5, 3.0, 100.0}) {
            const auto now = simple("v1");
            wait(Duration(static_cast<int64_t>(static_cast<double>(ttl.count()) * share)));
            const bool head = share == 1.5;
            const auto view = manifest("v1", head);
            ASSERT_TRUE(view);
            EXPECT_EQ(view->manifest->digest, now) << share;
            EXPECT_FALSE(view->stale);
        }
        stop();
        machine.reset();
    }
}

TEST_F(FreshnessTest, a_tag_that_has_moved_is_given_stale_too_where_the_new_one_takes_long) {
    options.freshness.ttl = 1s;
    boot();
    simple("v1");
    manifest("v1");
    const auto now = simple("v1");
    wait(3s);
    mirror().latency = 200ms;  // the HEAD is in time, the GET behind it is not
    const auto view = manifest("v1");
    ASSERT_TRUE(view);
    EXPECT_NE(view->manifest->digest, now);
    EXPECT_TRUE(view->stale);
    wait(1s);
    const auto next = manifest("v1");
    ASSERT_TRUE(next);
    EXPECT_EQ(next->manifest->digest, now);
    EXPECT_FALSE(next->stale);
}

TEST_F(FreshnessTest, a_tag_that_is_always_asked_for_is_not_stale_for_ever) {
    options.freshness.ttl = 60s;
    options.freshness.max_stale = 10min;
    options.upstream.breaker_failures = 1000;
    boot();
    const auto digest = simple("v1");
    manifest("v1");
    mirror().mood = Mood::hangs;
    Duration longest{};
    for (Duration age{}; age < 9min; age += 30s) {
        asked_often("v1", 30s);
        manifest("v1");
        longest = std::max(longest, took);
    }
    EXPECT_LE(longest, 1ms);
    asked_often("v1", 2min);
    wait(6s);
    const auto view = manifest("v1");
    ASSERT_TRUE(view);
    EXPECT_EQ(view->manifest->digest, digest);
    EXPECT_TRUE(view->stale);
    EXPECT_GE(took, 290ms);
    EXPECT_LE(took, 310ms);
    manifest("v1");
    EXPECT_LE(took, 1ms) << "nobody else waits for a while";
}

TEST_F(FreshnessTest, a_signature_that_was_found_is_believed_no_longer_than_a_missing_one) {
    boot();
    for (const char* suffix : {".sig", ".att", ".sbom", ""}) {
        const std::string tag = "sha256-" + blob(1).hex() + suffix;
        const auto first = simple(tag);
        EXPECT_EQ(manifest(tag)->manifest->digest, first);
        const auto second = simple(tag);
        wait(1s);
        EXPECT_EQ(manifest(tag)->manifest->digest, first);
        wait(2s);
        EXPECT_EQ(manifest(tag)->manifest->digest, second) << suffix;
    }
}

TEST_F(FreshnessTest, a_digest_that_is_gone_ends_the_belief_in_the_tag_that_led_to_it) {
    boot();
    const auto old = simple("v1");
    ASSERT_TRUE(manifest("v1", true));
    const auto now = simple("v1");
    content.repository(0, kRepo).manifests.erase(old);
    EXPECT_FALSE(manifest(old.text()));
    EXPECT_EQ(failed, Kind::manifest_unknown);
    const auto head = manifest("v1", true);
    ASSERT_TRUE(head);
    EXPECT_EQ(head->manifest->digest, now);
    EXPECT_EQ(manifest("v1")->manifest->digest, now);
}

TEST_F(FreshnessTest, so_does_a_child_or_a_layer_that_is_gone_and_also_after_a_restart) {
    for (const bool layer_is_gone : {false, true}) {
        boot();
        const auto layer = blob(100);
        const auto child = content.make_manifest({blob(10), layer});
        const auto index = content.make_index({child});
        content.tag(0, kRepo, "multi", index, clock.now());
        manifest("multi");
        if (layer_is_gone) {
            manifest(child.text());
            content.repository(0, kRepo).blobs.erase(layer);
            EXPECT_TRUE(read(layer)->failed);
        } else {
            content.repository(0, kRepo).manifests.erase(child);
            EXPECT_FALSE(manifest(child.text()));
        }
        const auto now = content.make_index({content.make_manifest({blob(10), blob(100)})});
        content.tag(0, kRepo, "multi", now, clock.now());
        if (layer_is_gone) restart();
        EXPECT_EQ(manifest("multi")->manifest->digest, now);
        stop();
        machine.reset();
    }
}

TEST_F(FreshnessTest, what_is_refuted_is_given_only_if_the_upstream_does_not_answer) {
    boot();
    const auto layer = blob(100);
    const auto digest = image("v1", {blob(10), layer});
    manifest("v1");
    content.repository(0, kRepo).blobs.erase(layer);
    read(layer);
    mirror().mood = Mood::refuses;
    const auto view = manifest("v1");
    ASSERT_TRUE(view);
    EXPECT_EQ(view->manifest->digest, digest);
    EXPECT_TRUE(view->stale);
    mirror().mood = Mood::well;
    wait(10s);
    EXPECT_FALSE(manifest("v1")->stale) << "the tag has not moved: believed again";
}

TEST_F(FreshnessTest, a_ttl_of_nothing_asks_first_and_answers_stale_after_a_moment) {
    options.freshness.ttl = 0s;
    boot();
    const auto old = simple("v1");
    manifest("v1");
    const auto now = simple("v1");
    wait(1ms);
    EXPECT_EQ(manifest("v1")->manifest->digest, now);
    mirror().mood = Mood::hangs;
    wait(1ms);
    const auto view = manifest("v1");
    ASSERT_TRUE(view);
    EXPECT_EQ(view->manifest->digest, now);
    EXPECT_LE(took, 310ms);
    EXPECT_NE(old, now);
}

TEST_F(FreshnessTest, a_ttl_of_nothing_lets_one_request_in_a_while_wait_for_a_hung_upstream) {
    options.freshness.ttl = 0s;
    boot();
    simple("v1");
    manifest("v1");
    mirror().mood = Mood::hangs;
    wait(1ms);
    ASSERT_TRUE(manifest("v1"));
    EXPECT_GE(took, 290ms);
    for (int i = 0; i < 10; ++i) {
        ASSERT_TRUE(manifest("v1"));
        EXPECT_LE(took, 5ms);
    }
    mirror().mood = Mood::well;
    const auto now = simple("v1");
    wait(15s);
    manifest("v1");
    wait(1s);
    EXPECT_EQ(manifest("v1")->manifest->digest, now);
}

TEST_F(FreshnessTest, a_ttl_of_nothing_and_a_head_never_give_an_answer_without_bytes) {
    options.freshness.ttl = 0s;
    boot();
    const auto digest = simple("v1");
    manifest("v1", true);
    wait(1s);
    const auto view = manifest("v1");
    ASSERT_TRUE(view);
    ASSERT_TRUE(view->manifest);
    ASSERT_TRUE(view->manifest->bytes);
    EXPECT_EQ(view->manifest->digest, digest);
}

TEST_F(FreshnessTest, immutable_tags_are_never_asked_for_again) {
    options.freshness.ttl = 1s;
    options.freshness.immutable = {pattern("v[0-9.]+")};
    boot();
    const auto digest = simple("v1.2");
    simple("latest");
    manifest("v1.2");
    manifest("latest");
    simple("v1.2");
    wait(1h);
    const auto view = manifest("v1.2");
    ASSERT_TRUE(view);
    EXPECT_EQ(view->manifest->digest, digest);
    EXPECT_FALSE(view->stale);
    wait(1s);
    EXPECT_EQ(internet.count(What::manifest, "", "v1.2"), 1u);
    manifest("latest");
    wait(1s);
    EXPECT_EQ(internet.count(What::manifest, "", "latest"), 2u);
}

TEST_F(FreshnessTest, the_first_rule_that_matches_a_tag_decides) {
    options.freshness.ttl = 1h;
    options.freshness.rules = {{pattern("nightly-.*"), 5s}, {nullptr, 10min}};
    boot();
    simple("nightly-1");
    simple("v1");
    manifest("nightly-1");
    manifest("v1");
    asked_often("nightly-1", 5500ms);
    EXPECT_TRUE(manifest("nightly-1")->stale);
    EXPECT_FALSE(manifest("v1")->stale);
    asked_often("v1", 11min);
    EXPECT_TRUE(manifest("v1")->stale);
}

TEST_F(FreshnessTest, a_missing_tag_is_remembered_for_its_time) {
    options.freshness.negative_ttl = 10s;
    boot();
    EXPECT_FALSE(manifest("v1"));
    EXPECT_EQ(failed, Kind::manifest_unknown);
    const auto digest = simple("v1");
    EXPECT_FALSE(manifest("v1"));
    EXPECT_FALSE(manifest("v1", true));
    EXPECT_EQ(asked(), 1u);
    wait(10s);
    EXPECT_EQ(manifest("v1")->manifest->digest, digest);
}

TEST_F(FreshnessTest, a_missing_signature_is_forgotten_within_seconds) {
    options.freshness.negative_ttl = 60s;
    options.freshness.signature_negative_ttl = 2s;
    boot();
    const std::string tag = "sha256-" + blob(1).hex() + ".sig";
    EXPECT_FALSE(manifest(tag));
    EXPECT_FALSE(manifest("v1"));
    const auto signature = simple(tag);
    simple("v1");
    wait(3s);
    EXPECT_EQ(manifest(tag)->manifest->digest, signature);
    EXPECT_FALSE(manifest("v1"));
}

TEST_F(FreshnessTest, no_answer_is_not_remembered_as_missing) {
    boot();
    const auto digest = simple("v1");
    mirror().mood = Mood::denies;
    EXPECT_FALSE(manifest("v1"));
    mirror().mood = Mood::well;
    EXPECT_EQ(manifest("v1")->manifest->digest, digest);
}

TEST_F(FreshnessTest, the_second_registry_of_a_name_does_not_take_over_from_a_silent_first) {
    options.freshness.ttl = 10s;
    options.mirrors = {1, 1};
    options.routes.push_back({"both", {{0, kRepo}, {1, kRepo}}});
    boot();
    const auto digest = simple("v1");
    content.tag(1, kRepo, "v1", content.make_manifest({blob(10), blob(10)}), clock.now());
    ASSERT_TRUE(manifest("v1", false, "both"));
    mirror().mood = Mood::fails;
    wait(11s);
    manifest("v1", false, "both");
    wait(2s);
    EXPECT_EQ(manifest("v1", false, "both")->manifest->digest, digest);
}

TEST_F(FreshnessTest, an_answer_that_comes_late_does_not_bring_an_old_tag_back) {
    options.freshness.ttl = 10s;
    options.longest_job = 50ms;
    mirror().latency = 10ms;
    boot();
    simple("v1");
    manifest("v1");
    restart();
    const auto now = simple("v1");
    wait(20s);
    // Reads the old row while the first answer's HEAD is under way.
    Scope scope("late");
    int ended = 0;
    for (int i = 0; i < 8; ++i)
        scope.spawn(loops[0], [&, i]() -> Task<> {
            co_await sleep_for(20ms * i);
            co_await machine->cache().manifest(machine->target(kLocal),
                                               oci::Reference(std::string("v1")), false);
            ++ended;
        });
    until([&] { return ended == 8 && scope.running() == 0; });
    wait(1s);
    const auto view = manifest("v1");
    EXPECT_EQ(view->manifest->digest, now);
    EXPECT_FALSE(view->stale);
}

}  // namespace
}  // namespace weir::cache
