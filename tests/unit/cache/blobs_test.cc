// Under which repository a blob may be served, what a HEAD costs, and that hits never wait.
#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class BlobsTest : public Lab {
protected:
    BlobsTest() {
        options.routes.push_back({"local/other", {{0, "team/other"}}});
        options.routes.push_back({"local/alone", {}});
        content.repository(0, "team/other");
    }
};

TEST_F(BlobsTest, a_blob_is_not_served_under_an_unlinked_repository) {
    boot();
    const auto digest = blob(10 * kKib);
    EXPECT_TRUE(whole(digest, *read(digest)));
    EXPECT_EQ(read(digest, {}, {}, "local/other")->failed, Kind::blob_unknown);
    EXPECT_EQ(head_fails(digest, "local/other"), Kind::blob_unknown);
    EXPECT_EQ(read(digest, {}, {}, "local/alone")->failed, Kind::blob_unknown);
}

TEST_F(BlobsTest, nor_while_it_is_being_fetched_for_another) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(300 * kKib);
    const auto all = start(digest);
    until([&] { return all->bytes.size() > 10 * kKib; });
    EXPECT_EQ(read(digest, {}, {}, "local/other")->failed, Kind::blob_unknown);
    finish(*all);
    EXPECT_TRUE(whole(digest, *all));
}

TEST_F(BlobsTest, an_upstream_that_confirms_it_by_a_head_links_it_without_a_byte) {
    boot();
    const auto digest = blob(10 * kKib);
    content.put_blob(0, "team/other", digest);
    read(digest);
    const auto reading = read(digest, {}, {}, "local/other");
    EXPECT_TRUE(whole(digest, *reading));
    EXPECT_EQ(reading->from, From::hit_disk);
    EXPECT_EQ(asks(What::blob, "HEAD").size(), 1u);
    EXPECT_EQ(asks(What::blob).size(), 1u);
    read(digest, {}, {}, "local/other");
    EXPECT_EQ(asks(What::blob, "HEAD").size(), 1u) << "it is linked now";
}

TEST_F(BlobsTest, a_shared_layer_costs_a_second_repository_one_head_and_no_byte) {
    boot();
    const auto layer = blob(10 * kKib), config = blob(100);
    image("v1", {config, layer});
    content.put(0, "team/other", *content.repository(0, kRepo).tag("v1"));
    read(layer);
    const auto digest = content.repository(0, kRepo).tag("v1")->text();
    ASSERT_TRUE(manifest(digest, false, "local/other"));
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "local/other")));
    EXPECT_EQ(asks(What::blob).size(), 1u);
    EXPECT_EQ(asks(What::blob, "HEAD").size(), 1u);
    mirror().mood = Mood::refuses;
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "local/other")));
}

TEST_F(BlobsTest, a_head_downloads_nothing) {
    boot();
    const auto digest = blob(10 * kKib);
    EXPECT_EQ(head_fails(digest), std::nullopt);
    EXPECT_TRUE(asks(What::blob).empty());
    EXPECT_FALSE(stored(digest));
    EXPECT_EQ(machine->metadata().find_staging(digest), std::nullopt);
}

TEST_F(BlobsTest, a_head_of_what_is_being_fetched_asks_nobody) {
    mirror().bytes_per_second = 256 * kKib;
    boot();
    const auto digest = blob(300 * kKib);
    const auto all = start(digest);
    until([&] { return all->bytes.size() > 10 * kKib; });
    EXPECT_EQ(head_fails(digest), std::nullopt);
    EXPECT_TRUE(asks(What::blob, "HEAD").empty());
    finish(*all);
}

TEST_F(BlobsTest, heads_of_many_clients_are_one) {
    boot();
    const auto digest = blob(10 * kKib);
    Scope scope("heads");
    int ended = 0;
    for (int i = 0; i < 10; ++i)
        scope.spawn(loops[0], [&]() -> Task<> {
            co_await machine->cache().blob(machine->target(kLocal), digest, {}, true);
            ++ended;
        });
    until([&] { return ended == 10 && scope.running() == 0; });
    EXPECT_EQ(asks(What::blob, "HEAD").size(), 1u);
}

TEST_F(BlobsTest, a_missing_blob_is_remembered_as_such_for_heads_and_gets) {
    options.freshness.negative_ttl = 10s;
    boot();
    const auto digest = blob(10 * kKib, "");
    EXPECT_EQ(head_fails(digest), Kind::blob_unknown);
    EXPECT_EQ(head_fails(digest), Kind::blob_unknown);
    EXPECT_EQ(read(digest)->failed, Kind::blob_unknown);
    EXPECT_EQ(asks(What::blob, "").size(), 1u);
}

TEST_F(BlobsTest, a_hit_never_waits_for_a_hung_upstream) {
    boot();
    const auto digest = blob(10 * kKib);
    read(digest);
    for (const Mood mood : {Mood::hangs, Mood::refuses, Mood::fails, Mood::denies}) {
        mirror().mood = mood;
        const auto reading = read(digest);
        EXPECT_TRUE(whole(digest, *reading));
        EXPECT_LE(reading->ended - reading->began, 5ms);
        EXPECT_EQ(head_fails(digest), std::nullopt);
        EXPECT_LE(took, 5ms);
    }
}

TEST_F(BlobsTest, a_hot_blob_is_answered_without_a_coroutine) {
    boot();
    const auto digest = blob(10 * kKib);
    const auto& target = machine->target(kLocal);
    EXPECT_FALSE(machine->cache().blob_now(target, digest));
    read(digest);
    read(digest);
    const auto view = machine->cache().blob_now(target, digest);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->size, 10 * kKib);
    EXPECT_FALSE(machine->cache().blob_now(machine->target("local/other"), digest));
}

TEST_F(BlobsTest, a_request_has_one_deadline_however_many_steps_it_takes) {
    boot();
    const auto digest = blob(300 * kKib);
    content.put_blob(0, "team/other", digest);
    mirror().mood = Mood::hangs;
    const auto first = start(digest);
    // It joins a fetch that brings nothing, and its own repository has to be proven too.
    const auto second = start(digest, {}, {}, "local/other");
    finish(*first);
    finish(*second);
    EXPECT_LE(first->ended - first->began, 10s);
    EXPECT_LE(second->ended - second->began, 10s);
    EXPECT_EQ(second->failed, Kind::upstream_timeout);
}

TEST_F(BlobsTest, access_times_are_written_in_batches) {
    options.cache.touch_interval = 10s;
    options.tiers = true;
    boot();
    const auto digest = blob(10 * kKib);
    read(digest);
    const auto before = machine->metadata().find_blob(digest)->accessed;
    wait(25s);
    read(digest);
    EXPECT_EQ(machine->metadata().find_blob(digest)->accessed, before);
    wait(11s);
    EXPECT_GT(machine->metadata().find_blob(digest)->accessed, before);
}

}  // namespace
}  // namespace weir::cache
