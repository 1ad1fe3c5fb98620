// tags/list and referrers: remembered, and given from memory when the upstream is silent.
#include "oci/link.h"
#include "oci/manifest.h"
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class ListsTest : public Lab {
protected:
    oci::Digest simple(const std::string& tag) { return image(tag, {blob(100), blob(1000)}); }
    std::optional<ListView> tags(const std::string& query = "") {
        return ask([&] { return machine->cache().tags(machine->target(kLocal), query); });
    }
    std::optional<ListView> referrers(const oci::Digest& digest) {
        return ask([&] { return machine->cache().referrers(machine->target(kLocal), digest, ""); });
    }
    template <class F>
    std::optional<ListView> ask(F make) {
        failed.reset();
        try {
            return run(make);
        } catch (const Failure& failure) {
            failed = failure.kind();
            return std::nullopt;
        }
    }
};

TEST_F(ListsTest, a_list_is_asked_for_once_within_its_ttl) {
    boot();
    simple("v1");
    simple("v2");
    const auto list = tags();
    ASSERT_TRUE(list);
    EXPECT_EQ(oci::parse_tag_list(list->body, 10), (std::vector<std::string>{"v1", "v2"}));
    EXPECT_EQ(list->from, From::miss);
    EXPECT_EQ(tags()->from, From::hit_disk);
    EXPECT_EQ(asks(What::tags).size(), 1u);
    wait(61s);
    tags();
    EXPECT_EQ(asks(What::tags).size(), 2u);
}

TEST_F(ListsTest, every_query_is_a_list_of_its_own) {
    boot();
    simple("v1");
    tags("n=1");
    tags("n=2");
    tags("n=1");
    EXPECT_EQ(asks(What::tags).size(), 2u);
}

TEST_F(ListsTest, a_silent_upstream_gives_the_old_list_within_a_second) {
    boot();
    simple("v1");
    tags();
    for (const Mood mood : {Mood::hangs, Mood::refuses, Mood::fails, Mood::denies}) {
        mirror().mood = mood;
        wait(2min);
        const auto list = tags();
        ASSERT_TRUE(list) << sim::mood_name(mood);
        EXPECT_TRUE(list->stale);
        EXPECT_LE(took, 1100ms);
        tags();
        EXPECT_LE(took, 5ms) << "and is not asked again at once";
    }
}

TEST_F(ListsTest, tags_that_were_pulled_stand_in_for_a_list_nobody_ever_saw) {
    boot();
    simple("v1");
    manifest("v1");
    mirror().mood = Mood::fails;
    const auto list = tags();
    ASSERT_TRUE(list);
    EXPECT_TRUE(list->stale);
    EXPECT_EQ(oci::parse_tag_list(list->body, 10), std::vector<std::string>{"v1"});
}

TEST_F(ListsTest, without_an_answer_and_without_a_tag_it_is_a_failure) {
    boot();
    mirror().mood = Mood::fails;
    EXPECT_FALSE(tags());
    EXPECT_EQ(failed, Kind::upstream_bad);
}

TEST_F(ListsTest, referrers_come_from_the_api) {
    boot();
    const auto list = referrers(simple("v1"));
    ASSERT_TRUE(list);
    EXPECT_EQ(list->body, oci::empty_index());
    EXPECT_EQ(asks(What::manifest, "").size(), 0u);
}

TEST_F(ListsTest, an_upstream_without_the_api_is_asked_by_the_tag_schema) {
    mirror().has_referrers = false;
    boot();
    const auto subject = simple("v1");
    const auto index = content.make_index({content.make_manifest({blob(10), blob(10)})});
    content.tag(0, kRepo, oci::referrers_tag(subject), index, clock.now());
    const auto list = referrers(subject);
    ASSERT_TRUE(list);
    EXPECT_EQ(list->body, *content.manifests.at(index).bytes);
    EXPECT_FALSE(list->filters_applied);
}

TEST_F(ListsTest, no_referrers_anywhere_is_an_empty_index) {
    mirror().has_referrers = false;
    boot();
    const auto list = referrers(simple("v1"));
    ASSERT_TRUE(list);
    EXPECT_EQ(list->body, oci::empty_index());
}

TEST_F(ListsTest, referrers_stay_when_the_upstream_is_silent) {
    boot();
    const auto subject = simple("v1");
    ASSERT_TRUE(referrers(subject));
    mirror().mood = Mood::refuses;
    wait(2min);
    const auto list = referrers(subject);
    ASSERT_TRUE(list);
    EXPECT_TRUE(list->stale);
}

TEST_F(ListsTest, the_catalog_is_what_is_linked) {
    boot();
    simple("v1");
    manifest("v1");
    EXPECT_EQ(run([&] { return machine->cache().catalog("", 10); }),
              std::vector<std::string>{kLocal});
}

}  // namespace
}  // namespace weir::cache
