// tests/unit/meta/contract.h: what meta/metadata.h promises, asked of any implementation.
//
// Include in one file of a test binary and instantiate MetadataContract with the implementations to
// ask.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "unit/meta/backend.h"

namespace weir::meta {

class MetadataContract : public testing::TestWithParam<Implementation> {
protected:
    static constexpr const char* kRepository = "docker.io/library/debian";
    std::unique_ptr<Backend> backend = GetParam().make();
    std::unique_ptr<Metadata> db = backend->open();
};

// --- blobs
// ----------------------------------------------------------------------------------------

TEST_P(MetadataContract, a_blob_is_found_as_it_was_put) {
    BlobRow row = blob_row(1, 42, 5'000'000'000);
    row.accessed = row.created + std::chrono::microseconds(7);
    row.upstream = "it's; DROP TABLE blobs; -- \"quoted\"";
    EXPECT_FALSE(db->find_blob(row.digest));
    EXPECT_TRUE(db->put_blob(row, kRepository));
    const auto found = db->find_blob(row.digest);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->digest, row.digest);
    EXPECT_EQ(found->size, row.size);
    EXPECT_EQ(found->generation, row.generation);
    EXPECT_EQ(found->created, row.created);
    EXPECT_EQ(found->accessed, row.accessed);
    EXPECT_EQ(found->upstream, row.upstream);
    EXPECT_TRUE(db->linked(kRepository, row.digest));
}

TEST_P(MetadataContract, digests_of_two_algorithms_with_a_common_prefix_are_two_blobs) {
    BlobRow longer = blob_row(1, 2, 20);
    longer.digest = digest_of(1, oci::Digest::Algorithm::sha512);
    EXPECT_TRUE(db->put_blob(blob_row(1, 1, 10), ""));
    EXPECT_FALSE(db->find_blob(longer.digest));
    EXPECT_TRUE(db->put_blob(longer, ""));
    EXPECT_EQ(db->find_blob(digest_of(1))->size, 10u);
    EXPECT_EQ(db->find_blob(longer.digest)->size, 20u);
    EXPECT_EQ(db->find_blob(longer.digest)->digest, longer.digest);
}

TEST_P(MetadataContract, a_blob_without_a_repository_is_linked_nowhere) {
    EXPECT_TRUE(db->put_blob(blob_row(1), ""));
    EXPECT_EQ(db->usage().repositories, 0u);
    EXPECT_TRUE(db->repositories("", 10).empty());
}

TEST_P(MetadataContract, the_first_row_of_a_digest_stays_and_the_second_is_refused_but_linked) {
    EXPECT_TRUE(db->put_blob(blob_row(1, 10, 100), "a/first"));
    db->put_staging(staging_row(1, 11, 50));
    EXPECT_FALSE(db->put_blob(blob_row(1, 11, 100), "a/second"));
    EXPECT_EQ(db->find_blob(digest_of(1))->generation, 10u);
    EXPECT_TRUE(db->linked("a/second", digest_of(1)));
    EXPECT_FALSE(db->find_staging(digest_of(1)));
    EXPECT_EQ(db->usage().blobs, 1u);
    EXPECT_EQ(db->usage().blob_bytes, 100u);
}

TEST_P(MetadataContract, a_stored_blob_is_no_longer_staged) {
    db->put_staging(staging_row(1, 5, 60));
    db->put_staging(staging_row(2, 6, 70));
    EXPECT_TRUE(db->put_blob(blob_row(1, 5), kRepository));
    EXPECT_FALSE(db->find_staging(digest_of(1)));
    EXPECT_TRUE(db->find_staging(digest_of(2)));
    EXPECT_EQ(db->usage().staging_bytes, 70u);
}

TEST_P(MetadataContract, only_the_generation_that_was_meant_is_removed) {
    db->put_blob(blob_row(1, 10), kRepository);
    EXPECT_FALSE(db->remove_blob(digest_of(1), 9));
    EXPECT_TRUE(db->find_blob(digest_of(1)));
    EXPECT_TRUE(db->remove_blob(digest_of(1), 10));
    EXPECT_FALSE(db->find_blob(digest_of(1)));
    EXPECT_FALSE(db->remove_blob(digest_of(1), 10));
    EXPECT_TRUE(db->put_blob(blob_row(1, 12), kRepository));
    EXPECT_FALSE(db->remove_blob(digest_of(1), 10));
    EXPECT_EQ(db->find_blob(digest_of(1))->generation, 12u);
}

TEST_P(MetadataContract, a_removed_blob_may_still_be_asked_for_under_its_repositories) {
    db->put_blob(blob_row(1, 10), kRepository);
    db->remove_blob(digest_of(1), 10);
    EXPECT_TRUE(db->linked(kRepository, digest_of(1)));
}

// --- manifests and tags
// ---------------------------------------------------------------------------

TEST_P(MetadataContract, a_manifest_comes_with_its_tag_and_links_nothing_but_itself) {
    ManifestRow row = manifest_row(1);
    row.bytes = std::string("{\0'\"\xff}", 6);
    const std::vector<oci::Digest> references = {digest_of(2), digest_of(3), digest_of(2)};
    db->put_manifest(row, kRepository, references, "latest");

    const auto found = db->find_manifest(row.digest);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->digest, row.digest);
    EXPECT_EQ(found->media_type, row.media_type);
    EXPECT_EQ(found->bytes, row.bytes);
    EXPECT_EQ(found->created, row.created);
    EXPECT_EQ(found->accessed, row.accessed);
    EXPECT_EQ(found->upstream, row.upstream);
    EXPECT_TRUE(db->linked(kRepository, digest_of(1)));
    for (uint64_t number : {2, 3}) {
        EXPECT_FALSE(db->linked(kRepository, digest_of(number)));
        EXPECT_TRUE(db->named(kRepository, digest_of(number)));
    }
    EXPECT_FALSE(db->find_blob(digest_of(2)));
    const auto tag = db->find_tag(kRepository, "latest");
    ASSERT_TRUE(tag);
    EXPECT_EQ(tag->digest, row.digest);
    EXPECT_EQ(tag->checked, row.created);
    EXPECT_EQ(tag->upstream, row.upstream);
}

TEST_P(MetadataContract, a_known_manifest_is_kept_and_gets_the_new_links_and_tag) {
    db->put_manifest(manifest_row(1), "a/first", {}, "");
    ManifestRow again = manifest_row(1);
    again.created = again.accessed = at(9000);
    again.upstream = "mirror";
    const std::vector<oci::Digest> references = {digest_of(2)};
    db->put_manifest(again, "a/second", references, "v1");
    EXPECT_EQ(db->find_manifest(digest_of(1))->created, at(2000));
    EXPECT_TRUE(db->linked("a/second", digest_of(1)));
    EXPECT_FALSE(db->linked("a/second", digest_of(2)));
    for (const char* repository : {"a/first", "a/second"})
        EXPECT_TRUE(db->named(repository, digest_of(2)));
    EXPECT_EQ(db->find_tag("a/second", "v1")->checked, at(9000));
    EXPECT_FALSE(db->find_tag("a/first", "v1"));
    EXPECT_EQ(db->usage().manifests, 1u);
}

TEST_P(MetadataContract, a_manifest_by_digest_makes_no_tag) {
    db->put_manifest(manifest_row(1), kRepository, {}, "");
    EXPECT_TRUE(db->tags(kRepository, "", 10).empty());
    EXPECT_EQ(db->usage().tags, 0u);
}

TEST_P(MetadataContract, a_large_manifest_with_many_references_fits) {
    ManifestRow row = manifest_row(1);
    row.bytes.assign(4 << 20, 'x');
    std::vector<oci::Digest> references;
    for (uint64_t i = 2; i < 2002; ++i) references.push_back(digest_of(i));
    db->put_manifest(row, kRepository, references, "big");
    EXPECT_EQ(db->find_manifest(row.digest)->bytes, row.bytes);
    EXPECT_TRUE(db->named(kRepository, references.back()));
}

TEST_P(MetadataContract, bytes_of_a_manifest_that_the_disk_has_changed_are_replaced) {
    ManifestRow wrong = manifest_row(1);
    wrong.bytes = "{}x";
    db->put_manifest(wrong, kRepository, std::vector{digest_of(2)}, "");
    ManifestRow right = manifest_row(1);
    right.bytes = "{}";
    db->put_manifest(right, kRepository, std::vector{digest_of(2)}, "");
    EXPECT_EQ(db->find_manifest(digest_of(1))->bytes, "{}");
    EXPECT_EQ(db->usage().manifests, 1u);
}

TEST_P(MetadataContract, a_manifest_of_no_repository_is_kept_and_links_nothing) {
    db->put_manifest(manifest_row(1), "", std::vector{digest_of(2)}, "");
    EXPECT_TRUE(db->find_manifest(digest_of(1)));
    EXPECT_FALSE(db->linked(kRepository, digest_of(1)));
    EXPECT_EQ(db->usage().repositories, 0u);
}

TEST_P(MetadataContract, what_came_with_a_login_is_private_until_it_comes_without) {
    BlobRow blob = blob_row(1);
    blob.private_of = "corp";
    db->put_blob(blob, kRepository);
    ManifestRow manifest = manifest_row(2);
    manifest.private_of = "corp";
    db->put_manifest(manifest, kRepository, {}, "");
    StagingRow staging = staging_row(3, 7, 100);
    staging.private_of = "corp";
    db->put_staging(staging);
    EXPECT_EQ(db->find_staging(digest_of(3))->private_of, "corp");
    // Another upstream's login makes it no less private.
    blob.private_of = manifest.private_of = "other";
    blob.generation += 1;
    db->put_blob(blob, "a/other");
    db->put_manifest(manifest, "a/other", {}, "");
    EXPECT_EQ(db->find_blob(digest_of(1))->private_of, "corp");
    EXPECT_EQ(db->find_manifest(digest_of(2))->private_of, "corp");
    blob.private_of = manifest.private_of = "";
    db->put_blob(blob, "a/third");
    db->put_manifest(manifest, "a/third", {}, "");
    EXPECT_EQ(db->find_blob(digest_of(1))->private_of, "");
    EXPECT_EQ(db->find_manifest(digest_of(2))->private_of, "");
    blob.private_of = manifest.private_of = "corp";
    db->put_blob(blob, kRepository);
    db->put_manifest(manifest, kRepository, {}, "");
    EXPECT_EQ(db->find_blob(digest_of(1))->private_of, "");
    EXPECT_EQ(db->find_manifest(digest_of(2))->private_of, "");
}

TEST_P(MetadataContract, a_link_from_before_is_no_claim_to_what_then_comes_with_a_login) {
    for (const uint64_t number : {1, 2}) db->link("a/other", digest_of(number));
    BlobRow blob = blob_row(1);
    ManifestRow manifest = manifest_row(2);
    blob.private_of = manifest.private_of = "corp";
    const uint64_t before = db->removals();
    db->put_blob(blob, kRepository);
    db->put_manifest(manifest, kRepository, {}, "");
    EXPECT_GT(db->removals(), before);
    for (const uint64_t number : {1, 2}) {
        EXPECT_TRUE(db->linked(kRepository, digest_of(number)));
        EXPECT_FALSE(db->linked("a/other", digest_of(number)));
    }
    // One that was proved since stays.
    db->link("a/other", digest_of(2));
    db->put_manifest(manifest, kRepository, {}, "");
    EXPECT_TRUE(db->linked("a/other", digest_of(2)));
}

TEST_P(MetadataContract, a_removed_manifest_is_gone) {
    db->put_manifest(manifest_row(1), kRepository, {}, "");
    EXPECT_TRUE(db->remove_manifest(digest_of(1)));
    EXPECT_FALSE(db->find_manifest(digest_of(1)));
    EXPECT_FALSE(db->remove_manifest(digest_of(1)));
    EXPECT_EQ(db->usage().manifests, 0u);
}

TEST_P(MetadataContract, a_tag_moves) {
    db->put_tag(kRepository, "latest", {digest_of(1), at(10), "a"});
    db->put_tag(kRepository, "latest", {digest_of(2), at(20), "b"});
    const auto tag = db->find_tag(kRepository, "latest");
    ASSERT_TRUE(tag);
    EXPECT_EQ(tag->digest, digest_of(2));
    EXPECT_EQ(tag->checked, at(20));
    EXPECT_EQ(tag->upstream, "b");
    EXPECT_EQ(db->usage().tags, 1u);
    EXPECT_FALSE(db->find_tag(kRepository, "Latest"));
    EXPECT_FALSE(db->find_tag("docker.io/library/other", "latest"));
}

TEST_P(MetadataContract, a_tag_alone_links_nothing) {
    db->put_tag(kRepository, "latest", {digest_of(1), at(10), "a"});
    EXPECT_FALSE(db->linked(kRepository, digest_of(1)));
}

TEST_P(MetadataContract, a_missing_digest_refutes_the_tags_that_lead_to_it) {
    ManifestRow image = manifest_row(1), index = manifest_row(2), apart = manifest_row(3);
    db->put_manifest(image, kRepository, std::vector{digest_of(10)}, "image");
    db->put_manifest(index, kRepository, std::vector{digest_of(1)}, "index");
    db->put_manifest(apart, kRepository, std::vector{digest_of(11)}, "apart");
    db->put_manifest(image, "a/other", std::vector{digest_of(10)}, "image");
    db->put_tag(kRepository, "resolved", {digest_of(12), at(10), "a"});
    using Names = std::set<std::string>;
    const auto refute = [&](uint64_t number) {
        const auto names = db->refute_tags(kRepository, digest_of(number));
        return Names(names.begin(), names.end());
    };
    const auto checked = [&](const char* repository, const char* tag) {
        return db->find_tag(repository, tag)->checked;
    };
    EXPECT_EQ(refute(12), Names{"resolved"});
    EXPECT_EQ(checked(kRepository, "resolved"), TagRow::kRefuted);
    EXPECT_EQ(db->find_tag(kRepository, "resolved")->digest, digest_of(12));
    EXPECT_EQ(refute(10), (Names{"image", "index"}));
    EXPECT_EQ(refute(10), Names{}) << "they are already";
    EXPECT_NE(checked(kRepository, "apart"), TagRow::kRefuted);
    EXPECT_NE(checked("a/other", "image"), TagRow::kRefuted);
    EXPECT_EQ(refute(99), Names{});
    EXPECT_TRUE(db->refute_tags("a/nowhere", digest_of(1)).empty());
    db->put_tag(kRepository, "resolved", {digest_of(13), at(20), "a"});
    EXPECT_EQ(checked(kRepository, "resolved"), at(20));
}

TEST_P(MetadataContract, a_removed_tag_is_gone_from_its_repository_only) {
    db->put_tag("a/x", "t", {digest_of(1), at(10), ""});
    db->put_tag("a/y", "t", {digest_of(1), at(10), ""});
    EXPECT_TRUE(db->remove_tag("a/x", "t"));
    EXPECT_FALSE(db->remove_tag("a/x", "t"));
    EXPECT_FALSE(db->remove_tag("a/nowhere", "t"));
    EXPECT_FALSE(db->find_tag("a/x", "t"));
    EXPECT_TRUE(db->find_tag("a/y", "t"));
    EXPECT_EQ(db->usage().tags, 1u);
}

TEST_P(MetadataContract, tags_come_sorted_bytewise_page_by_page) {
    for (const char* tag : {"b", "a", "B", "_", "1.10", "1.9", "a-b", "a.b"})
        db->put_tag(kRepository, tag, {digest_of(1), at(1), ""});
    db->put_tag("docker.io/library/other", "zzz", {digest_of(1), at(1), ""});
    const std::vector<std::string> sorted = {"1.10", "1.9", "B", "_", "a", "a-b", "a.b", "b"};
    EXPECT_EQ(db->tags(kRepository, "", 100), sorted);
    EXPECT_EQ(db->tags(kRepository, "", std::numeric_limits<size_t>::max()), sorted);
    EXPECT_EQ(db->tags(kRepository, "1.9", 2), (std::vector<std::string>{"B", "_"}));
    EXPECT_EQ(db->tags(kRepository, "aa", 1), std::vector<std::string>{"b"});
    EXPECT_TRUE(db->tags(kRepository, "b", 5).empty());
    EXPECT_TRUE(db->tags(kRepository, "", 0).empty());
    EXPECT_TRUE(db->tags("docker.io/unknown", "", 5).empty());
}

// --- links, repositories and lists
// ----------------------------------------------------------------

TEST_P(MetadataContract, a_link_holds_for_one_repository_and_one_digest) {
    db->link("a/x", digest_of(1));
    db->link("a/x", digest_of(1));
    EXPECT_TRUE(db->linked("a/x", digest_of(1)));
    EXPECT_FALSE(db->linked("a/x", digest_of(2)));
    EXPECT_FALSE(db->linked("a/X", digest_of(1)));
    EXPECT_FALSE(db->linked("a/y", digest_of(1)));
}

TEST_P(MetadataContract, a_digest_is_named_by_a_linked_manifest_or_a_tag_of_the_repository) {
    db->put_manifest(manifest_row(1), "a/x", std::vector{digest_of(2)}, "");
    EXPECT_TRUE(db->named("a/x", digest_of(2)));
    EXPECT_FALSE(db->named("a/x", digest_of(1)));
    EXPECT_FALSE(db->named("a/y", digest_of(2)));
    db->link("a/y", digest_of(2));
    EXPECT_FALSE(db->named("a/y", digest_of(2))) << "a link is another thing";
    db->put_tag("a/z", "t", {digest_of(3), at(1), ""});
    EXPECT_TRUE(db->named("a/z", digest_of(3)));
    EXPECT_FALSE(db->named("a/x", digest_of(3)));
    EXPECT_FALSE(db->named("a/nowhere", digest_of(3)));
}

TEST_P(MetadataContract, a_repository_exists_as_soon_as_something_is_linked_to_it) {
    db->put_list("a/listed", "tags", "", {});
    EXPECT_FALSE(db->linked("a/asked", digest_of(1)));
    EXPECT_FALSE(db->find_tag("a/asked", "t"));
    EXPECT_EQ(db->usage().repositories, 0u);
    db->link("b/'quoted'", digest_of(1));
    db->put_blob(blob_row(2), "a/pushed");
    db->put_manifest(manifest_row(3), "a/Z", {}, "");
    db->put_manifest(manifest_row(4), "a/Z", {}, "t");
    EXPECT_EQ(db->repositories("", 10),
              (std::vector<std::string>{"a/Z", "a/pushed", "b/'quoted'"}));
    EXPECT_EQ(db->repositories("a/Z", 1), std::vector<std::string>{"a/pushed"});
    EXPECT_TRUE(db->repositories("b/'quoted'", 10).empty());
    EXPECT_EQ(db->usage().repositories, 3u);
}

TEST_P(MetadataContract, a_list_is_remembered_by_repository_kind_and_query) {
    const ListRow row{"{\"tags\":[\"'\"]}", "application/json", "last=x&n=2", true, at(77)};
    db->put_list(kRepository, "tags", "n=2", row);
    const auto found = db->find_list(kRepository, "tags", "n=2");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->body, row.body);
    EXPECT_EQ(found->content_type, row.content_type);
    EXPECT_EQ(found->next_query, row.next_query);
    EXPECT_EQ(found->filters_applied, row.filters_applied);
    EXPECT_EQ(found->fetched, row.fetched);
    EXPECT_FALSE(db->find_list(kRepository, "tags", ""));
    EXPECT_FALSE(db->find_list(kRepository, "referrers", "n=2"));
    EXPECT_FALSE(db->find_list("a/other", "tags", "n=2"));

    db->put_list(kRepository, "tags", "n=2", {"new", "text/plain", "", false, at(78)});
    EXPECT_EQ(db->find_list(kRepository, "tags", "n=2")->body, "new");
    EXPECT_FALSE(db->find_list(kRepository, "tags", "n=2")->filters_applied);
}

// --- staging
// --------------------------------------------------------------------------------------

TEST_P(MetadataContract, a_staging_row_is_replaced_as_it_grows) {
    StagingRow row = staging_row(1, 7, 100, 50);
    EXPECT_FALSE(db->find_staging(row.digest));
    db->put_staging(row);
    auto found = db->find_staging(row.digest);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->generation, 7u);
    EXPECT_FALSE(found->size);
    EXPECT_EQ(found->extents, row.extents);
    EXPECT_EQ(found->updated, at(50));

    row.generation = 8;
    row.size = 1000;
    row.extents.insert(500, 600);
    row.updated = at(60);
    db->put_staging(row);
    found = db->find_staging(row.digest);
    EXPECT_EQ(found->digest, row.digest);
    EXPECT_EQ(found->generation, 8u);
    EXPECT_EQ(found->size, 1000u);
    EXPECT_EQ(found->extents.text(), "0-100,500-600");
    EXPECT_EQ(db->usage().staging_bytes, 200u);
    row.extents.clear();
    db->put_staging(row);
    EXPECT_EQ(db->usage().staging_bytes, 0u);
    EXPECT_TRUE(db->remove_staging(row.digest));
    EXPECT_FALSE(db->remove_staging(row.digest));
    EXPECT_FALSE(db->find_staging(row.digest));
}

TEST_P(MetadataContract, stagings_come_oldest_first) {
    db->put_staging(staging_row(1, 1, 10, 300));
    db->put_staging(staging_row(2, 2, 20, 100));
    db->put_staging(staging_row(3, 3, 30, 200));
    const auto two = db->stagings(2);
    ASSERT_EQ(two.size(), 2u);
    EXPECT_EQ(two[0].digest, digest_of(2));
    EXPECT_EQ(two[1].digest, digest_of(3));
    EXPECT_EQ(two[1].extents.text(), "0-30");
    EXPECT_EQ(db->stagings(100).size(), 3u);
    EXPECT_EQ(db->usage().staging_bytes, 60u);
}

TEST_P(MetadataContract, stagings_are_walked_in_digest_order) {
    db->put_staging(staging_row(3, 3, 30, 200));
    db->put_staging(staging_row(1, 1, 10, 300));
    db->put_staging(staging_row(2, 2, 20, 100));
    const auto first = db->stagings_after({}, 2);
    ASSERT_EQ(first.size(), 2u);
    EXPECT_EQ(first[0].digest, digest_of(1));
    EXPECT_EQ(first[1].digest, digest_of(2));
    EXPECT_EQ(first[1].extents.text(), "0-20");
    const auto rest = db->stagings_after(first[1].digest, 2);
    ASSERT_EQ(rest.size(), 1u);
    EXPECT_EQ(rest[0].generation, 3u);
    EXPECT_TRUE(db->stagings_after(rest[0].digest, 2).empty());
}

// --- generations, access times, counters
// ----------------------------------------------------------

TEST_P(MetadataContract, no_generation_is_given_twice_also_not_after_a_restart) {
    std::set<uint64_t> seen;
    for (int i = 0; i < 2500; ++i) EXPECT_TRUE(seen.insert(db->next_generation()).second);
    EXPECT_FALSE(seen.contains(0));
    if (!backend->persistent()) return;
    for (int restart = 0; restart < 3; ++restart) {
        db.reset();
        db = backend->open();
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(seen.insert(db->next_generation()).second);
    }
}

TEST_P(MetadataContract, access_times_move_forward_only_and_unknown_digests_are_ignored) {
    db->put_blob(blob_row(1), kRepository);
    db->put_blob(blob_row(2), kRepository);
    db->put_manifest(manifest_row(3), kRepository, {}, "");
    const std::vector<Touch> touches = {{digest_of(1), at(5000)},
                                        {digest_of(99), at(5000)},
                                        {digest_of(2), at(1)},
                                        {digest_of(3), at(6000)}};
    db->touch(touches);
    EXPECT_EQ(db->find_blob(digest_of(1))->accessed, at(5000));
    EXPECT_EQ(db->find_blob(digest_of(1))->created, at(1000));
    EXPECT_EQ(db->find_blob(digest_of(2))->accessed, at(1000));
    EXPECT_EQ(db->find_manifest(digest_of(3))->accessed, at(6000));
    EXPECT_FALSE(db->find_blob(digest_of(99)));
    db->touch({});
}

TEST_P(MetadataContract, usage_counts_what_is_there) {
    const Usage empty = db->usage();
    EXPECT_EQ(empty.blobs + empty.blob_bytes + empty.manifests + empty.repositories + empty.tags +
                  empty.staging_bytes,
              0u);
    for (uint64_t i = 1; i <= 10; ++i) db->put_blob(blob_row(i, i, i * 100), kRepository);
    for (uint64_t i = 1; i <= 3; ++i) db->remove_blob(digest_of(i), i);
    db->put_manifest(manifest_row(20), kRepository, {}, "a");
    db->put_manifest(manifest_row(20), "a/other", {}, "b");
    db->put_staging(staging_row(30, 1, 17));
    const Usage usage = db->usage();
    EXPECT_EQ(usage.blobs, 7u);
    EXPECT_EQ(usage.blob_bytes, 4900u);
    EXPECT_EQ(usage.manifests, 1u);
    EXPECT_EQ(usage.repositories, 2u);
    EXPECT_EQ(usage.tags, 2u);
    EXPECT_EQ(usage.staging_bytes, 17u);
}

TEST_P(MetadataContract, everything_is_there_after_a_restart) {
    if (!backend->persistent()) return;
    db->put_blob(blob_row(1, 3), kRepository);
    db->put_manifest(manifest_row(2), kRepository, {}, "latest");
    db->put_staging(staging_row(3, 4, 10));
    db->put_list(kRepository, "tags", "", {"x", "", "", false, at(1)});
    db.reset();
    db = backend->open();
    EXPECT_EQ(db->find_blob(digest_of(1))->generation, 3u);
    EXPECT_EQ(db->find_tag(kRepository, "latest")->digest, digest_of(2));
    EXPECT_TRUE(db->find_manifest(digest_of(2)));
    EXPECT_TRUE(db->linked(kRepository, digest_of(1)));
    EXPECT_EQ(db->find_staging(digest_of(3))->extents.text(), "0-10");
    EXPECT_EQ(db->find_list(kRepository, "tags", "")->body, "x");
    EXPECT_EQ(db->usage().blobs, 1u);
}

// --- many threads
// ---------------------------------------------------------------------------------

TEST_P(MetadataContract, a_writer_sees_its_own_write_at_once_on_every_thread) {
    constexpr uint64_t kThreads = 6;
    constexpr uint64_t kEach = 40;
    std::vector<std::jthread> threads;
    std::atomic<uint64_t> missed{0};
    for (uint64_t t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (uint64_t i = 0; i < kEach; ++i) {
                const uint64_t number = t * kEach + i + 1;
                db->put_blob(blob_row(number, db->next_generation(), 10), kRepository);
                if (!db->find_blob(digest_of(number))) ++missed;
                if (!db->linked(kRepository, digest_of(number))) ++missed;
            }
        });
    }
    threads.clear();
    EXPECT_EQ(missed, 0u);
    EXPECT_EQ(db->usage().blobs, kThreads * kEach);
    EXPECT_EQ(db->usage().blob_bytes, kThreads * kEach * 10);
    EXPECT_EQ(db->usage().repositories, 1u);
}

TEST_P(MetadataContract, of_many_who_put_the_same_blob_one_wins) {
    std::vector<std::jthread> threads;
    std::atomic<int> winners{0};
    for (uint64_t t = 0; t < 8; ++t)
        threads.emplace_back(
            [&, t] { winners += db->put_blob(blob_row(1, 100 + t), kRepository); });
    threads.clear();
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(db->usage().blobs, 1u);
}

TEST_P(MetadataContract, a_reader_never_sees_half_of_a_change) {
    // The tag and all links come with the manifest or not at all.
    constexpr uint64_t kManifests = 60;
    std::atomic<bool> done{false};
    std::atomic<uint64_t> torn{0};
    std::vector<std::jthread> threads;
    for (int reader = 0; reader < 3; ++reader) {
        threads.emplace_back([&] {
            while (!done) {
                const auto names = db->tags(kRepository, "", 1000);
                for (uint64_t i = 1; i <= names.size(); ++i) {
                    const auto tag = db->find_tag(kRepository, names[i - 1]);
                    if (!tag || !db->find_manifest(tag->digest)) ++torn;
                    if (tag && !db->linked(kRepository, tag->digest)) ++torn;
                }
                if (db->usage().manifests < names.size()) ++torn;
            }
        });
    }
    for (uint64_t i = 1; i <= kManifests; ++i) {
        const std::vector<oci::Digest> references = {digest_of(1000 + i)};
        db->put_manifest(manifest_row(i), kRepository, references, "t" + std::to_string(i));
    }
    done = true;
    threads.clear();
    EXPECT_EQ(torn, 0u);
}

}  // namespace weir::meta
