// What another process takes away (`weir gc`, `weir scrub`) while this one serves: its memory must
// not stand in for what is stored no more.
#include <fmt/format.h>

#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class RemovalsTest : public Lab {
protected:
    RemovalsTest() { options.tiers = true; }
    meta::Engine& db() { return machine->metadata(); }
    // As a collection does: the tag, its manifest's link, the manifest, its blobs.
    void collect(const std::string& tag, const oci::Digest& manifest,
                 const std::vector<oci::Digest>& blobs) {
        const WallTime later = clock.wall() + std::chrono::hours(1);
        ASSERT_TRUE(db().remove_tag_if(kLocal, tag, manifest));
        db().unlink(kLocal, later, {&manifest, 1});
        db().unlink(kLocal, later, blobs);
        ASSERT_TRUE(db().remove_manifest(manifest));
        std::optional<oci::Digest> next;
        for (const auto& gone : db().sweep_blobs(std::nullopt, later, 1000, &next))
            unlink_file(gone.digest, gone.generation, gone.size);
    }
    // A database in memory has no other process, so it can't tell what that did to the disk.
    void unlink_file(const oci::Digest& digest, uint64_t generation, uint64_t size) {
        machine->files().remove(fmt::format("{}/blobs/sha256/{}/{}.{}", sim::Machine::kRoot,
                                            digest.hex().substr(0, 2), digest.hex(), generation));
        machine->space().release(size);
    }
};

TEST_F(RemovalsTest, a_tag_that_another_process_collected_is_stored_again_when_it_is_asked_for) {
    boot();
    const auto config = blob(100), layer = blob(5000);
    const auto digest = image("v1", {config, layer});
    manifest("v1");
    for (const auto& one : {config, layer}) ASSERT_TRUE(whole(one, *read(one)));
    collect("v1", digest, {config, layer});
    ASSERT_FALSE(stored(layer));
    ASSERT_TRUE(manifest("v1"));
    for (const auto& one : {config, layer}) ASSERT_TRUE(whole(one, *read(one)));
    EXPECT_TRUE(db().find_tag(kLocal, "v1"));
    EXPECT_TRUE(db().find_manifest(digest));
    EXPECT_TRUE(stored(layer));
    restart();
    mirror().mood = Mood::refuses;
    EXPECT_TRUE(manifest("v1"));
    EXPECT_TRUE(whole(layer, *read(layer)));
}

TEST_F(RemovalsTest, a_digest_whose_manifest_goes_while_the_upstream_is_asked_is_stored_again) {
    options.routes.push_back({"local/other", {{0, "team/other"}}});
    content.repository(0, "team/other");
    boot();
    const auto digest = image("v1", {blob(100)});
    content.put(0, "team/other", digest);
    manifest("v1");
    Scope scope("client");
    bool done = false;
    scope.spawn(loops[0], [&]() -> Task<> {
        co_await machine->cache().manifest(machine->target("local/other"), oci::Reference(digest),
                                           false);
        done = true;
    });
    until([&] { return internet.count(What::manifest, "HEAD", digest.text()) == 1; });
    ASSERT_TRUE(db().remove_manifest(digest));
    until([&] { return done && scope.running() == 0; });
    EXPECT_TRUE(db().find_manifest(digest));
    EXPECT_TRUE(db().linked("local/other", digest));
}

TEST_F(RemovalsTest, a_file_that_another_process_found_bad_is_served_no_more) {
    boot();
    const auto layer = blob(5000);
    ASSERT_TRUE(whole(layer, *read(layer)));
    ASSERT_EQ(read(layer)->from, From::hit_disk);
    const auto row = *db().find_blob(layer);
    ASSERT_TRUE(db().lost_on_disk(layer, row.generation));
    unlink_file(layer, row.generation, row.size);
    const auto again = read(layer);
    EXPECT_TRUE(whole(layer, *again));
    EXPECT_EQ(again->from, From::miss);
    EXPECT_EQ(read(layer)->from, From::hit_disk);
}

}  // namespace
}  // namespace weir::cache
