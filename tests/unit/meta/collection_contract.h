// tests/unit/meta/collection_contract.h: what meta/upkeep.h promises of pins and collection, asked
// of any implementation.
#pragma once
#include "unit/meta/upkeep_contract.h"

namespace weir::meta {

class CollectionContract : public UpkeepContract {
protected:
    std::vector<oci::Digest> untagged(int64_t before = 1'000'000,
                                      std::string_view repository = kRepository) {
        std::vector<oci::Digest> digests;
        for (const auto& info : db->untagged(repository, at(before), 100))
            digests.push_back(info.digest);
        return digests;
    }
    std::vector<oci::Digest> loose(int64_t before = 1'000'000) {
        return db->loose_links(kRepository, at(before), 100);
    }
};

// --- pins

TEST_P(CollectionContract, a_pinned_repository_keeps_what_it_links) {
    put(1, 100, "docker.io", "docker.io/library/debian");
    put(2, 100, "docker.io", "docker.io/library/alpine");
    put(3, 100, "docker.io", "quay.io/x");
    db->link("quay.io/x", digest_of(1));
    db->put_pin({"docker.io/**", "*"});
    EXPECT_THAT(victims(false), ElementsAre(digest_of(3)));
    EXPECT_TRUE(db->remove_pin({"docker.io/**", "*"}));
    EXPECT_FALSE(db->remove_pin({"docker.io/**", "*"}));
    EXPECT_EQ(victims(false).size(), 3u);
}

TEST_P(CollectionContract, a_pinned_repository_keeps_what_its_manifests_name) {
    for (uint64_t i = 1; i <= 3; ++i) put(i, 100, "docker.io", "a/elsewhere");
    image(11, {1}, "", "a/child");
    image(12, {2}, "t", "a/pinned");
    image(13, {11}, "index", "a/pinned");
    db->put_pin({"a/pinned", "*"});
    EXPECT_THAT(victims(false), ElementsAre(digest_of(3)));
    EXPECT_THAT(victims(false), ElementsAre(digest_of(3)));
    db->remove_tag("a/pinned", "t");
    unlink(12, "a/pinned");
    EXPECT_THAT(victims(false), UnorderedElementsAre(digest_of(2), digest_of(3)));
}

TEST_P(CollectionContract, a_pinned_tag_keeps_what_its_manifest_or_index_names) {
    for (uint64_t i = 1; i <= 6; ++i) put(i);
    image(11, {1, 2}, "v1");
    image(12, {3});
    image(13, {12}, "v1-index");
    image(14, {4}, "v2");
    image(11, {1, 2}, "v1", "a/other");
    db->put_pin({kRepository, "v1*"});
    EXPECT_THAT(victims(false), UnorderedElementsAre(digest_of(4), digest_of(5), digest_of(6)));
    // Looked at again, and after the tag has moved away.
    EXPECT_EQ(victims(false).size(), 3u);
    image(14, {4}, "v1");
    EXPECT_THAT(victims(false),
                UnorderedElementsAre(digest_of(1), digest_of(2), digest_of(5), digest_of(6)));
}

TEST_P(CollectionContract, a_pin_of_a_tag_asks_for_repository_and_tag_together) {
    put(1);
    image(11, {1}, "latest", "a/one");
    image(11, {1}, "old", "a/two");
    db->put_pin({"a/two", "latest"});
    EXPECT_EQ(victims(false).size(), 1u);
    db->put_pin({"a/two", "o?d"});
    EXPECT_THAT(victims(false), IsEmpty());
}

TEST_P(CollectionContract, pins_of_the_configuration_replace_each_other_and_are_not_stored) {
    put(1);
    db->put_pin({"a", "b"});
    db->set_configured_pins({{kRepository, "*"}});
    EXPECT_THAT(victims(false), IsEmpty());
    EXPECT_THAT(db->pins(), ElementsAre(Pin{"a", "b"}));
    db->set_configured_pins({});
    EXPECT_EQ(victims(false).size(), 1u);
    if (!reopen()) return;
    EXPECT_THAT(db->pins(), ElementsAre(Pin{"a", "b"}));
}

TEST_P(CollectionContract, what_is_no_pattern_pins_only_its_own_name) {
    put(1, 100, "docker.io", "a/[b");
    put(2, 100, "docker.io", "a/b");
    db->put_pin({"a/[b", "*"});
    EXPECT_THAT(victims(false), ElementsAre(digest_of(2)));
}

TEST_P(CollectionContract, full_pages_come_also_when_the_lowest_are_pinned) {
    for (uint64_t i = 1; i <= 20; ++i) put(i, 1000 - i, "docker.io", i <= 10 ? "a/pinned" : "a/b");
    db->put_pin({"a/pinned", "*"});
    EXPECT_EQ(victims(false, "", {}, 10).size(), 10u);
    EXPECT_EQ(victims(false, "docker.io", {}, 10).size(), 10u);
    EXPECT_EQ(victims(false, "", at(9000), 10).size(), 10u);
}

// --- tags

TEST_P(CollectionContract, a_tag_tells_when_it_came_to_its_digest_and_was_last_pulled) {
    image(1, {}, "a");
    db->put_tag(kRepository, "b", {digest_of(2), at(100), ""});
    db->put_tag(kRepository, "b", {digest_of(2), at(200), ""});
    touch(1, 7000);
    auto infos = db->tag_infos(kRepository);
    ASSERT_EQ(infos.size(), 2u);
    EXPECT_EQ(infos[0].name, "a");
    EXPECT_EQ(infos[0].digest, digest_of(1));
    EXPECT_EQ(infos[0].pushed, at(2000));
    EXPECT_EQ(infos[0].pulled, at(7000));
    EXPECT_EQ(infos[1].pushed, at(100));
    EXPECT_EQ(infos[1].pulled, at(100));
    db->put_tag(kRepository, "b", {digest_of(3), at(300), ""});
    infos = db->tag_infos(kRepository);
    EXPECT_EQ(infos[1].pushed, at(300));
    EXPECT_THAT(db->tag_infos("a/nowhere"), IsEmpty());
}

TEST_P(CollectionContract, a_tag_is_removed_only_if_it_still_points_there) {
    db->put_tag(kRepository, "t", {digest_of(2), at(1), ""});
    EXPECT_FALSE(db->remove_tag_if(kRepository, "t", digest_of(1)));
    EXPECT_FALSE(db->remove_tag_if("a/nowhere", "t", digest_of(2)));
    EXPECT_TRUE(db->remove_tag_if(kRepository, "t", digest_of(2)));
    EXPECT_FALSE(db->find_tag(kRepository, "t"));
}

// --- what a memory may know

TEST_P(CollectionContract, the_number_of_removals_grows_with_each_thing_that_goes_and_else_never) {
    uint64_t last = db->removals();
    const auto grown = [&] { return std::exchange(last, db->removals()) != last; };
    put(1);
    put(2);
    image(11, {1, 2}, "t");
    touch(1, 3000);
    untagged();
    loose();
    EXPECT_FALSE(db->remove_tag_if(kRepository, "t", digest_of(1)));
    unlink(7);
    EXPECT_FALSE(db->lost_on_disk(digest_of(1), 999));
    EXPECT_EQ(db->sweep_manifests(at(1'000'000), 10).size(), 0u);
    EXPECT_THAT(sweep(), IsEmpty());
    EXPECT_FALSE(grown());
    EXPECT_TRUE(db->remove_tag_if(kRepository, "t", digest_of(11)));
    EXPECT_TRUE(grown());
    unlink(11);
    EXPECT_TRUE(grown());
    EXPECT_EQ(db->sweep_manifests(at(1'000'000), 10).size(), 1u);
    EXPECT_TRUE(grown());
    lose(2);
    EXPECT_TRUE(grown());
    unlink(1);
    EXPECT_TRUE(grown());
    EXPECT_EQ(sweep().size(), 1u);
    EXPECT_TRUE(grown());
    image(12, {}, "");
    EXPECT_FALSE(grown());
    EXPECT_TRUE(db->remove_manifest(digest_of(12)));
    EXPECT_TRUE(grown());
}

// --- manifests and links

TEST_P(CollectionContract, untagged_is_what_no_tag_index_or_subject_of_the_repository_holds) {
    image(1, {}, "tagged");
    image(2, {}, "");
    image(3, {4}, "index");
    image(4, {}, "");
    image(5, {}, "");
    image(5, {}, "elsewhere", "a/other");
    EXPECT_THAT(untagged(), UnorderedElementsAre(digest_of(2), digest_of(5)));
    EXPECT_THAT(untagged(1'000'000, "a/other"), IsEmpty());
    touch(2, 3000);
    EXPECT_THAT(untagged(3000), ElementsAre(digest_of(5)));
    db->remove_tag(kRepository, "index");
    EXPECT_THAT(untagged(3000), UnorderedElementsAre(digest_of(3), digest_of(5)));
    unlink(3);
    EXPECT_THAT(untagged(3000), UnorderedElementsAre(digest_of(4), digest_of(5)));
}

TEST_P(CollectionContract, a_referrer_stays_as_long_as_its_subject) {
    image(1, {}, "tagged");
    ManifestRow referrer = manifest_row(2);
    referrer.bytes = R"({"schemaVersion":2,"layers":[],"subject":{"mediaType":")" +
                     referrer.media_type + R"(","size":1,"digest":")" + digest_of(1).text() +
                     R"("}})";
    db->put_manifest(referrer, kRepository, {}, "");
    db->put_manifest(referrer, "a/other", {}, "");
    EXPECT_THAT(untagged(), IsEmpty());
    const auto elsewhere = db->untagged("a/other", at(1'000'000), 10);
    ASSERT_EQ(elsewhere.size(), 1u);
    EXPECT_EQ(elsewhere[0].subject, digest_of(1));
    EXPECT_EQ(elsewhere[0].media_type, referrer.media_type);
    EXPECT_EQ(elsewhere[0].pushed, at(2000));
    EXPECT_EQ(elsewhere[0].pulled, at(2000));
    db->remove_tag(kRepository, "tagged");
    EXPECT_THAT(untagged(), ElementsAre(digest_of(1)));
    unlink(1);
    EXPECT_THAT(untagged(), ElementsAre(digest_of(2)));
}

TEST_P(CollectionContract, what_came_to_be_needed_since_it_was_looked_for_stays_linked) {
    for (uint64_t i = 1; i <= 5; ++i) image(i, {});
    put(7);
    put(8);
    auto chosen = untagged();
    EXPECT_EQ(chosen.size(), 5u);
    for (const auto& digest : loose()) chosen.push_back(digest);
    EXPECT_EQ(chosen.size(), 7u);
    db->put_tag(kRepository, "moved", {digest_of(1), at(1), ""});
    image(12, {2}, "index");
    touch(3, 2'000'000);
    touch(7, 2'000'000);
    db->put_staging(staging_row(8, 800, 10));
    db->put_tag("a/other", "t", {digest_of(5), at(1), ""});
    EXPECT_THAT(db->unlink(kRepository, at(1'000'000), chosen),
                UnorderedElementsAre(digest_of(4), digest_of(5)));
    for (const uint64_t kept : {1, 2, 3, 7, 8})
        EXPECT_TRUE(db->linked(kRepository, digest_of(kept))) << kept;
}

TEST_P(CollectionContract, untagged_goes_on_after_a_digest) {
    for (uint64_t i = 1; i <= 9; ++i) image(i, {});
    std::vector<oci::Digest> seen;
    std::optional<oci::Digest> after;
    while (true) {
        const auto page = db->untagged(kRepository, at(1'000'000), 2, after);
        if (page.empty()) break;
        for (const auto& info : page) seen.push_back(info.digest);
        after = page.back().digest;
    }
    EXPECT_EQ(seen.size(), 9u);
    EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST_P(CollectionContract, a_loose_link_is_one_that_no_manifest_there_names) {
    put(1);
    put(2);
    put(3);
    image(11, {1}, "t");
    image(12, {2}, "t", "a/other");
    db->link(kRepository, digest_of(4));  // never stored, or evicted
    db->link(kRepository, digest_of(5));
    db->put_staging(staging_row(5, 1, 10));
    EXPECT_THAT(loose(), UnorderedElementsAre(digest_of(2), digest_of(3), digest_of(4)));
    touch(3, 5000);
    EXPECT_THAT(loose(5000), UnorderedElementsAre(digest_of(2), digest_of(4)));
    const auto going = loose(5000);
    image(7, {4});
    EXPECT_THAT(db->unlink(kRepository, at(5000), going), ElementsAre(digest_of(2)))
        << "a manifest has come to name the other one";
    EXPECT_TRUE(db->linked(kRepository, digest_of(4)));
    EXPECT_FALSE(db->linked(kRepository, digest_of(2)));
    EXPECT_THAT(loose(5000), IsEmpty());
    EXPECT_EQ(db->loose_links(kRepository, at(1'000'000), 1).size(), 1u);
}

TEST_P(CollectionContract, manifests_that_no_repository_links_are_swept) {
    image(1, {}, "");
    image(2, {}, "");
    image(3, {}, "");
    image(3, {}, "", "a/other");
    touch(2, 9000);
    for (uint64_t i = 1; i <= 3; ++i) unlink(i);
    EXPECT_EQ(db->sweep_manifests(at(9000), 10).size(), 1u);
    EXPECT_FALSE(db->find_manifest(digest_of(1)));
    EXPECT_TRUE(db->find_manifest(digest_of(2)));
    EXPECT_TRUE(db->find_manifest(digest_of(3)));
    image(2, {}, "");
    EXPECT_EQ(db->sweep_manifests(at(1'000'000), 10).size(), 0u);
    unlink(2);
    EXPECT_EQ(db->sweep_manifests(at(1'000'000), 10).size(), 1u);
}

TEST_P(CollectionContract, what_a_manifest_names_or_a_tag_points_at_is_no_garbage) {
    put(1, 100, "docker.io", "a/first");
    image(11, {}, "", "a/first");
    image(12, {11, 1}, "index", "a/second");
    image(13, {}, "", "a/first");
    db->put_tag("a/second", "resolved", {digest_of(13), at(1), ""});
    for (const uint64_t number : {1, 11, 13}) unlink(number, "a/first");
    EXPECT_EQ(db->sweep_manifests(at(1'000'000), 10).size(), 0u);
    EXPECT_THAT(sweep(), IsEmpty());
    db->remove_tag("a/second", "resolved");
    EXPECT_THAT(db->sweep_manifests(at(1'000'000), 10), ElementsAre(digest_of(13)));
    db->remove_tag("a/second", "index");
    unlink(12, "a/second");
    EXPECT_THAT(db->sweep_manifests(at(1'000'000), 10), ElementsAre(digest_of(12)));
    EXPECT_THAT(db->sweep_manifests(at(1'000'000), 10), ElementsAre(digest_of(11)));
    EXPECT_EQ(sweep().size(), 1u);
}

TEST_P(CollectionContract, manifests_are_swept_page_by_page_and_those_in_s3_are_doomed) {
    db->enable_uploads(true);
    for (uint64_t i = 1; i <= 5; ++i) image(i, {}, "");
    upload_all();
    for (uint64_t i = 1; i <= 5; ++i) unlink(i);
    EXPECT_EQ(db->sweep_manifests(at(1'000'000), 3).size(), 3u);
    EXPECT_EQ(db->sweep_manifests(at(1'000'000), 3).size(), 2u);
    EXPECT_EQ(db->sweep_manifests(at(1'000'000), 3).size(), 0u);
    EXPECT_EQ(doomed().size(), 5u);
}

// --- blobs and repositories

TEST_P(CollectionContract, blobs_that_no_repository_links_are_swept_page_by_page) {
    for (uint64_t i = 1; i <= 10; ++i) put(i, i, "docker.io", i <= 7 ? "" : kRepository);
    touch(1, 9000);
    std::vector<Doomed> swept;
    std::optional<oci::Digest> after, next;
    int pages = 0;
    do {
        for (const auto& one : db->sweep_blobs(after, at(9000), 3, &next)) swept.push_back(one);
        after = next;
        ++pages;
    } while (next);
    EXPECT_EQ(pages, 4);
    ASSERT_EQ(swept.size(), 6u);
    for (size_t i = 0; i < swept.size(); ++i) {
        EXPECT_EQ(swept[i].digest, digest_of(swept[i].generation));
        EXPECT_NE(swept[i].generation, 0u);
        EXPECT_NE(swept[i].size, 0u);
        EXPECT_FALSE(swept[i].in_s3);
        EXPECT_FALSE(db->find_blob(swept[i].digest));
    }
    EXPECT_EQ(db->usage().blobs, 4u);
    EXPECT_EQ(db->tier_usage().doomed, 0u);
}

TEST_P(CollectionContract, swept_blobs_that_are_in_s3_are_doomed_until_they_are_deleted) {
    put_in_s3(1);
    put_in_s3(2);
    EXPECT_TRUE(db->evict(victim(2)));
    unlink(1);
    unlink(2);
    auto swept = sweep();
    ASSERT_EQ(swept.size(), 2u);
    for (const auto& one : swept) {
        EXPECT_TRUE(one.in_s3);
        EXPECT_EQ(one.generation == 0, one.digest == digest_of(2));
    }
    EXPECT_EQ(db->tier_usage().doomed, 2u);
    // The grace.
    EXPECT_THAT(db->claim_doomed(backend->clock.wall(), 10), IsEmpty());
    backend->clock.advance(std::chrono::hours(1));
    EXPECT_EQ(db->claim_doomed(backend->clock.wall(), 1).size(), 1u);
    const auto both = db->claim_doomed(backend->clock.wall(), 10);
    EXPECT_THAT(both, UnorderedElementsAre(digest_of(1), digest_of(2)));
    db->doomed_done(both);
    EXPECT_EQ(db->tier_usage().doomed, 0u);
    EXPECT_THAT(doomed(), IsEmpty());
}

TEST_P(CollectionContract, a_blob_that_is_stored_again_is_doomed_no_more) {
    put_in_s3(1);
    put_in_s3(2);
    unlink(1);
    unlink(2);
    EXPECT_EQ(sweep().size(), 2u);
    put(1);
    EXPECT_EQ(place_of(1), "disk");
    EXPECT_THAT(doomed(), ElementsAre(digest_of(2)));
    // Stored again while it is being deleted: not given a second time.
    put(2);
    EXPECT_THAT(doomed(), IsEmpty());
    EXPECT_EQ(db->tier_usage().uploads, 2u);
    upload_all();
    EXPECT_EQ(place_of(1), "disk and s3");
    EXPECT_EQ(place_of(2), "disk");
    EXPECT_EQ(db->tier_usage().doomed, 1u);
}

TEST_P(CollectionContract, what_was_stored_again_but_not_uploaded_is_not_forgotten_in_s3) {
    put_in_s3(1);
    unlink(1);
    EXPECT_EQ(sweep().size(), 1u);
    put(1);
    unlink(1);
    EXPECT_EQ(sweep().size(), 1u);
    EXPECT_THAT(doomed(), ElementsAre(digest_of(1)));
}

TEST_P(CollectionContract, what_a_dead_process_claimed_is_given_again) {
    put_in_s3(1);
    unlink(1);
    sweep();
    EXPECT_EQ(doomed().size(), 1u);
    if (!reopen()) return;
    EXPECT_THAT(doomed(), IsEmpty());
    backend->clock.advance(Upkeep::kClaimTime);
    EXPECT_THAT(doomed(), ElementsAre(digest_of(1)));
}

TEST_P(CollectionContract, what_is_done_in_a_rehearsal_is_forgotten_with_it) {
    db->enable_uploads(true);
    put(1);
    image(11, {1}, "t");
    upload_all();
    const auto everything = [&](Engine& engine) {
        const auto usage = engine.usage();
        const auto tiers = engine.tier_usage();
        return std::vector{usage.blobs,  usage.manifests, usage.repositories, usage.tags,
                           tiers.doomed, tiers.uploads,   tiers.s3_blobs,     tiers.disk_bytes};
    };
    const auto before = everything(*db);
    for (int round = 0; round < 2; ++round) {
        const uint64_t removals = db->removals();
        const auto copy = db->rehearsal();
        EXPECT_EQ(everything(*copy), before);
        EXPECT_TRUE(copy->remove_tag_if(kRepository, "t", digest_of(11)));
        std::vector<oci::Digest> both = {digest_of(11), digest_of(1)};
        EXPECT_EQ(copy->unlink(kRepository, at(1'000'000), both), both);
        EXPECT_EQ(copy->sweep_manifests(at(1'000'000), 10), std::vector{digest_of(11)});
        std::optional<oci::Digest> next;
        EXPECT_EQ(copy->sweep_blobs(std::nullopt, at(1'000'000), 10, &next).size(), 1u);
        EXPECT_EQ(copy->tier_usage().doomed, 2u);
        EXPECT_EQ(db->removals(), removals);
        // Beside it the real one goes on.
        db->put_tag(kRepository, "u", {digest_of(11), at(1), ""});
        EXPECT_FALSE(copy->find_tag(kRepository, "u"));
        EXPECT_TRUE(db->remove_tag(kRepository, "u"));
        EXPECT_GT(db->removals(), removals);
        upload_all();
    }
    EXPECT_EQ(everything(*db), before);
}

TEST_P(CollectionContract, empty_repositories_go_with_their_lists) {
    db->link("a/links", digest_of(1));
    db->put_tag("a/tags", "t", {digest_of(1), at(1), ""});
    db->put_list("a/links", "tags", "", {"x", "", "", false, at(1)});
    EXPECT_EQ(db->remove_empty_repositories(10), 0u);
    unlink(1, "a/links");
    db->remove_tag("a/tags", "t");
    EXPECT_EQ(db->usage().repositories, 2u);
    db->link("a/tags", digest_of(1));
    EXPECT_EQ(db->remove_empty_repositories(10), 1u);
    EXPECT_THAT(db->repositories("", 10), ElementsAre("a/tags"));
    EXPECT_FALSE(db->find_list("a/links", "tags", ""));
    unlink(1, "a/tags");
    EXPECT_EQ(db->remove_empty_repositories(10), 1u);
    EXPECT_EQ(db->usage().repositories, 0u);
    for (int i = 0; i < 5; ++i) {
        db->link("a/" + std::to_string(i), digest_of(1));
        unlink(1, "a/" + std::to_string(i));
    }
    EXPECT_EQ(db->remove_empty_repositories(3), 3u);
    EXPECT_EQ(db->remove_empty_repositories(3), 2u);
}

TEST_P(CollectionContract, what_is_collected_can_be_stored_again) {
    db->enable_uploads(true);
    for (int round = 0; round < 3; ++round) {
        put(1);
        image(2, {1}, "t");
        upload_all(4'000'000'000);
        EXPECT_EQ(place_of(1), "disk and s3");
        db->remove_tag(kRepository, "t");
        const auto old = untagged();
        EXPECT_THAT(old, ElementsAre(digest_of(2)));
        db->unlink(kRepository, at(1'000'000), old);
        db->unlink(kRepository, at(1'000'000), loose());
        EXPECT_EQ(db->sweep_manifests(at(1'000'000), 10).size(), 1u);
        EXPECT_EQ(sweep().size(), 1u);
        EXPECT_EQ(db->remove_empty_repositories(10), 1u);
        const auto gone = doomed();
        EXPECT_EQ(gone.size(), 2u);
        db->doomed_done(gone);
        upload_all(4'000'000'000);  // the tag's removal
        const auto tiers = db->tier_usage();
        EXPECT_EQ(tiers.disk_blobs + tiers.s3_blobs + tiers.uploads + tiers.doomed, 0u);
        const auto usage = db->usage();
        EXPECT_EQ(usage.blobs + usage.manifests + usage.repositories + usage.tags, 0u);
    }
}

}  // namespace weir::meta
