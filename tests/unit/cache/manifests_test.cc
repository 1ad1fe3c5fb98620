// Manifests by digest and tag: kept as they came, asked for only when somebody asks.
#include "unit/cache/lab.h"

#include "oci/manifest.h"

namespace weir::cache {
namespace {

class ManifestsTest : public Lab {
protected:
    ManifestsTest() {
        options.routes.push_back({"local/other", {{0, "team/other"}}});
        content.repository(0, "team/other");
    }
    oci::Digest simple(const std::string& tag) { return image(tag, {blob(100), blob(1000)}); }
    bool right(const std::optional<ManifestView>& view, const oci::Digest& digest) {
        return view && view->manifest->bytes &&
               *view->manifest->bytes == *content.manifests.at(digest).bytes &&
               view->manifest->digest == digest &&
               view->manifest->media_type == content.manifests.at(digest).media_type;
    }
};

TEST_F(ManifestsTest, a_tag_is_fetched_once_and_then_known_by_digest_too) {
    boot();
    const auto digest = simple("v1");
    EXPECT_TRUE(right(manifest("v1"), digest));
    EXPECT_TRUE(right(manifest("v1"), digest));
    const auto by_digest = manifest(digest.text());
    EXPECT_TRUE(right(by_digest, digest));
    EXPECT_EQ(by_digest->from, From::hit_memory);
    EXPECT_EQ(asks(What::manifest, "").size(), 1u);
}

TEST_F(ManifestsTest, what_is_known_is_there_after_a_restart) {
    boot();
    const auto digest = simple("v1");
    manifest("v1");
    restart();
    mirror().mood = Mood::refuses;
    const auto view = manifest("v1");
    EXPECT_TRUE(right(view, digest));
    EXPECT_EQ(view->from, From::hit_disk);
    EXPECT_TRUE(right(manifest(digest.text()), digest));
}

TEST_F(ManifestsTest, many_clients_cause_one_request) {
    boot();
    simple("v1");
    Scope scope("clients");
    int ended = 0;
    for (int i = 0; i < 20; ++i)
        scope.spawn(loops[0], [&]() -> Task<> {
            co_await machine->cache().manifest(machine->target(kLocal),
                                               oci::Reference(std::string("v1")), false);
            ++ended;
        });
    until([&] { return ended == 20 && scope.running() == 0; });
    EXPECT_EQ(asks(What::manifest, "").size(), 1u);
}

TEST_F(ManifestsTest, an_index_never_pulls_its_children) {
    boot();
    const auto a = content.make_manifest({blob(100), blob(1000)});
    const auto b = content.make_manifest({blob(100), blob(1000)});
    const auto index = content.make_index({a, b});
    content.tag(0, kRepo, "multi", index, clock.now());
    EXPECT_TRUE(right(manifest("multi"), index));
    wait(5s);
    EXPECT_EQ(asks(What::manifest, "").size(), 1u);
    EXPECT_TRUE(right(manifest(a.text()), a));
    EXPECT_EQ(internet.count(What::manifest, "", b.text()), 0u);
}

TEST_F(ManifestsTest, a_head_downloads_no_manifest) {
    boot();
    const auto digest = simple("v1");
    const auto view = manifest("v1", true);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->manifest->digest, digest);
    EXPECT_EQ(view->manifest->bytes, nullptr);
    EXPECT_EQ(view->manifest->size, content.manifests.at(digest).bytes->size());
    EXPECT_TRUE(asks(What::manifest, "GET").empty());
}

TEST_F(ManifestsTest, a_second_head_within_the_ttl_asks_nobody) {
    boot();
    const auto digest = simple("v1");
    manifest("v1", true);
    mirror().mood = Mood::hangs;
    const auto view = manifest("v1", true);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->manifest->digest, digest);
    EXPECT_LE(took, 5ms);
}

TEST_F(ManifestsTest, a_head_then_a_get_by_digest_cost_one_of_each) {
    boot();
    const auto digest = simple("v1");
    manifest("v1", true);
    EXPECT_TRUE(right(manifest(digest.text()), digest));
    EXPECT_TRUE(right(manifest("v1"), digest));
    EXPECT_EQ(asks(What::manifest, "").size(), 2u);
}

TEST_F(ManifestsTest, a_get_after_a_head_is_of_the_digest_that_was_told) {
    boot();
    const auto digest = simple("v1");
    manifest("v1", true);
    simple("v1");
    const auto view = manifest("v1");
    EXPECT_TRUE(right(view, digest)) << "within the TTL the tag has not moved for us";
}

TEST_F(ManifestsTest, a_get_long_after_a_head_is_of_what_the_tag_is_now) {
    boot();
    simple("v1");
    manifest("v1", true);
    const auto now = simple("v1");
    wait(10min);
    const auto view = manifest("v1");
    EXPECT_TRUE(right(view, now));
    EXPECT_FALSE(view->stale);
}

TEST_F(ManifestsTest, a_digest_that_is_gone_since_the_head_is_looked_for_by_its_tag) {
    boot();
    const auto old = simple("v1");
    manifest("v1", true);
    const auto now = simple("v1");
    content.repository(0, kRepo).manifests.erase(old);
    EXPECT_TRUE(right(manifest("v1"), now));
}

TEST_F(ManifestsTest, an_upstream_whose_head_tells_no_digest_is_asked_by_get) {
    boot();
    const auto digest = simple("v1");
    manifest_faults = {{Fault::Kind::no_digest, 0}};
    const auto view = manifest("v1", true);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->manifest->digest, digest);
    EXPECT_EQ(asks(What::manifest, "GET").size(), 1u);
}

TEST_F(ManifestsTest, an_empty_answer_without_a_digest_is_no_answer) {
    boot();
    const auto digest = simple("v1");
    content.manifests.at(digest).bytes = std::make_shared<const std::string>();
    manifest_faults = {{Fault::Kind::no_digest, 0}, {Fault::Kind::no_digest, 0}};
    EXPECT_FALSE(manifest("v1", true));
    EXPECT_EQ(failed, Kind::upstream_bad);
}

TEST_F(ManifestsTest, a_wrong_manifest_is_refused_and_not_kept) {
    boot();
    const auto digest = simple("v1");
    // A HEAD comes first: nothing here names the digest.
    manifest_faults = {{}, {Fault::Kind::flip, 40}, {Fault::Kind::flip, 40}};
    EXPECT_FALSE(manifest(digest.text()));
    EXPECT_EQ(failed, Kind::upstream_bad);
    EXPECT_FALSE(manifest("v1"));
    EXPECT_TRUE(right(manifest("v1"), digest));
}

TEST_F(ManifestsTest, a_manifest_is_not_served_under_an_unlinked_repository) {
    boot();
    const auto digest = simple("v1");
    manifest("v1");
    EXPECT_FALSE(manifest(digest.text(), false, "local/other"));
    EXPECT_EQ(failed, Kind::manifest_unknown);
    const size_t before = asks(What::manifest, "").size();
    EXPECT_FALSE(manifest(digest.text(), false, "local/other"));
    EXPECT_EQ(asks(What::manifest, "").size(), before) << "remembered";
    content.put(0, "team/other", digest);
    wait(20s);
    const size_t gets = internet.count(What::manifest, "GET", digest.text());
    EXPECT_TRUE(right(manifest(digest.text(), false, "local/other"), digest));
    EXPECT_EQ(internet.count(What::manifest, "GET", digest.text()), gets) << "a HEAD was enough";
}

TEST_F(ManifestsTest, no_answer_is_never_a_missing_manifest) {
    const std::pair<Mood, Kind> moods[] = {
        {Mood::denies, Kind::upstream_refused}, {Mood::rejects, Kind::upstream_refused},
        {Mood::throttles, Kind::too_many},      {Mood::busy, Kind::too_many},
        {Mood::fails, Kind::upstream_bad},      {Mood::refuses, Kind::upstream_unreachable},
        {Mood::hangs, Kind::upstream_timeout}};
    options.upstream.breaker_failures = 1000;
    boot();
    simple("v1");
    for (const auto& [mood, kind] : moods) {
        for (const bool head : {false, true}) {
            mirror().mood = mood;
            EXPECT_FALSE(manifest("v1", head));
            EXPECT_EQ(failed, kind) << sim::mood_name(mood);
            EXPECT_LE(took, 10s);
            wait(20s);
        }
    }
    mirror().mood = Mood::well;
    EXPECT_TRUE(manifest("v1"));
}

}  // namespace
}  // namespace weir::cache
