// tags/list and referrers: remembered, and given from memory when the upstream is silent.
#include "oci/name.h"
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class ListsTest : public Lab {
protected:
    oci::Digest simple(const std::string& tag) { return image(tag, {blob(100), blob(1000)}); }
    std::optional<ListView> tags(const std::string& query = "") {
        return ask([&] { return machine->cache().tags(machine->target(kLocal), query); });
    }
    std::optional<ListView> referrers(const oci::Digest& digest, const std::string& query = "") {
        return ask(
            [&] { return machine->cache().referrers(machine->target(kLocal), digest, query); });
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
    EXPECT_EQ(list->text(), R"("v1","v2")");
    EXPECT_EQ(list->from, From::miss);
    EXPECT_EQ(tags()->from, From::hit_memory);
    EXPECT_EQ(asks(What::tags).size(), 1u);
    wait(61s);
    tags();
    EXPECT_EQ(asks(What::tags).size(), 2u);
}

TEST_F(ListsTest, one_list_answers_every_query) {
    boot();
    for (int i = 1; i <= 5; ++i) simple("v" + std::to_string(i));
    EXPECT_EQ(tags("n=2")->text(), R"("v1","v2")");
    EXPECT_EQ(tags("n=2")->next_query, "n=2&last=v2");
    EXPECT_EQ(tags("n=2&last=v2")->text(), R"("v3","v4")");
    EXPECT_EQ(tags("last=v4&n=2")->text(), R"("v5")");
    EXPECT_EQ(tags("last=v4&n=2")->next_query, "");
    EXPECT_EQ(tags("last=v5")->text(), "");
    EXPECT_EQ(tags("last=v2x&n=1")->text(), R"("v3")") << "one that is not there any more";
    EXPECT_EQ(tags("n=0")->text(), "");
    EXPECT_EQ(tags("n=0")->next_query, "");
    EXPECT_EQ(tags("n=100000000000&whatever=1")->text(), R"("v1","v2","v3","v4","v5")");
    EXPECT_EQ(asks(What::tags).size(), 1u);
    EXPECT_FALSE(tags("n=x"));
    EXPECT_EQ(failed, Kind::request_invalid);
}

TEST_F(ListsTest, a_list_is_there_after_a_restart) {
    boot();
    simple("v1");
    simple("v2");
    tags();
    restart();
    const auto list = tags("n=1");
    EXPECT_EQ(list->text(), R"("v1")");
    EXPECT_EQ(list->from, From::hit_disk);
    EXPECT_EQ(asks(What::tags).size(), 1u);
}

TEST_F(ListsTest, a_list_from_the_future_is_asked_for_anew) {
    boot();
    simple("v1");
    tags();
    clock.jump(-24h);
    restart();
    EXPECT_EQ(tags()->from, From::miss) << "its age is unknown";
    EXPECT_EQ(asks(What::tags).size(), 2u);
}

TEST_F(ListsTest, a_clock_that_jumps_changes_no_age_in_a_running_process) {
    boot();
    simple("v1");
    tags();
    for (const auto jump : {-24h * 365, 24h * 365}) {
        clock.jump(jump);
        EXPECT_EQ(tags()->from, From::hit_memory);
        EXPECT_EQ(asks(What::tags).size(), 1u);
    }
    clock.jump(-24h * 365);
    wait(61s);
    EXPECT_EQ(tags()->from, From::miss);
}

TEST_F(ListsTest, what_nobody_has_leaves_no_row) {
    mirror().has_referrers = false;
    boot();
    const auto subject = simple("v1");
    ASSERT_TRUE(referrers(subject));
    EXPECT_FALSE(machine->metadata().find_list(kLocal, "referrers " + subject.text(), ""));
    EXPECT_EQ(referrers(subject)->from, From::hit_memory) << "for a moment";
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
    EXPECT_EQ(list->text(), R"("v1")");
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
    EXPECT_EQ(list->text(), "");
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
    const auto text = *content.manifests.at(index).bytes;
    EXPECT_NE(text.find("[" + std::string(list->text()) + "]"), text.npos);
    EXPECT_NE(list->text(), "");
    EXPECT_FALSE(list->filters_applied);
}

// GitLab takes the tag for the digest.
TEST_F(ListsTest, the_subject_is_not_the_list_of_its_referrers) {
    mirror().has_referrers = false;
    boot();
    const auto child = simple("v1");
    const auto subject = content.make_index({child});
    content.tag(0, kRepo, oci::referrers_tag(subject), subject, clock.now());
    content.tag(0, kRepo, oci::referrers_tag(child), child, clock.now());
    EXPECT_EQ(referrers(subject)->text(), "");
    EXPECT_EQ(referrers(child)->text(), "");
}

TEST_F(ListsTest, referrers_found_or_not_live_for_seconds) {
    mirror().has_referrers = false;
    boot();
    const auto subject = simple("v1");
    EXPECT_EQ(referrers(subject)->text(), "");
    const auto one = content.make_index({content.make_manifest({blob(10), blob(10)})});
    content.tag(0, kRepo, oci::referrers_tag(subject), one, clock.now());
    wait(3s);
    const std::string first(referrers(subject)->text());
    EXPECT_NE(first, "");
    const auto two = content.make_index(
        {content.make_manifest({blob(10), blob(10)}), content.make_manifest({blob(20), blob(10)})});
    content.tag(0, kRepo, oci::referrers_tag(subject), two, clock.now());
    wait(3s);
    EXPECT_GT(referrers(subject)->text().size(), first.size());
}

TEST_F(ListsTest, no_referrers_anywhere_is_an_empty_index) {
    mirror().has_referrers = false;
    boot();
    const auto list = referrers(simple("v1"));
    ASSERT_TRUE(list);
    EXPECT_EQ(list->text(), "");
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
