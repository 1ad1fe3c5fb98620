// tests/unit/meta/tiers_contract.h: what meta/upkeep.h promises of the disk tier and of usage,
// asked of any implementation.
#pragma once
#include "unit/meta/upkeep_contract.h"

namespace weir::meta {

class TiersContract : public UpkeepContract {
protected:
    std::vector<Erasure> erasures() { return db->erasures(std::nullopt, 100); }
};

// --- the disk tier

TEST_P(TiersContract, the_largest_and_least_used_go_first) {
    put(1, 1'000'000);
    put(2, 100'000'000);
    put(3, 1'000);
    put(4, 100'000'000);
    touch(4, 2000);
    EXPECT_THAT(victims(false),
                ElementsAre(digest_of(2), digest_of(1), digest_of(4), digest_of(3)));
    EXPECT_THAT(victims(false, "", {}, 2), ElementsAre(digest_of(2), digest_of(1)));
}

TEST_P(TiersContract, only_what_is_elsewhere_may_leave_the_disk) {
    put(1, 100, "");
    put(2, 100, "docker.io");
    EXPECT_THAT(victims(true), IsEmpty());
    EXPECT_THAT(victims(false), ElementsAre(digest_of(2)));
    EXPECT_FALSE(db->evict(victim(1)));
    EXPECT_EQ(place_of(1), "disk");
    put_in_s3(3, 100, "");
    put_in_s3(4, 100, "docker.io");
    EXPECT_THAT(victims(true), UnorderedElementsAre(digest_of(3), digest_of(4)));
    EXPECT_THAT(victims(false), UnorderedElementsAre(digest_of(2), digest_of(4)));
}

TEST_P(TiersContract, a_blob_that_was_pushed_too_is_not_left_to_its_upstream) {
    put(1, 100, "docker.io");
    EXPECT_FALSE(put(1, 100, ""));
    EXPECT_THAT(victims(false), IsEmpty());
    EXPECT_FALSE(db->evict(victim(1)));
    EXPECT_FALSE(put(1, 100, "docker.io"));
    EXPECT_THAT(victims(false), IsEmpty());
}

TEST_P(TiersContract, what_is_evicted_stays_in_s3_or_else_its_row_goes) {
    put_in_s3(1, 70);
    db->enable_uploads(false);
    put(2, 30);
    EXPECT_EQ(db->tier_usage().disk_bytes, 100u);
    EXPECT_TRUE(db->evict(victim(1)));
    EXPECT_EQ(place_of(1), "s3");
    EXPECT_TRUE(db->evict(victim(2)));
    EXPECT_EQ(place_of(2), "nowhere");
    EXPECT_TRUE(db->linked(kRepository, digest_of(2)));
    EXPECT_EQ(db->tier_usage().disk_blobs, 0u);
    EXPECT_EQ(db->tier_usage().s3_bytes, 70u);
    EXPECT_THAT(victims(false), IsEmpty());
    EXPECT_THAT(victims(true), IsEmpty());
    EXPECT_FALSE(db->evict(victim(1)));
}

TEST_P(TiersContract, only_the_generation_that_was_chosen_is_evicted) {
    put(1);
    Victim old = victim(1);
    old.generation += 1000;
    EXPECT_FALSE(db->evict(old));
    EXPECT_EQ(place_of(1), "disk");
}

TEST_P(TiersContract, a_blob_comes_back_to_the_disk_with_a_new_generation) {
    put_in_s3(1);
    const Victim old = victim(1);
    EXPECT_TRUE(db->evict(old));
    EXPECT_TRUE(put(1, 100, ""));
    EXPECT_EQ(place_of(1), "disk and s3");
    EXPECT_GT(db->find_blob(digest_of(1))->generation, old.generation);
    EXPECT_EQ(db->find_blob(digest_of(1))->upstream, "docker.io");
    EXPECT_FALSE(db->evict(old));
    EXPECT_FALSE(put(1));
    EXPECT_EQ(db->tier_usage().disk_bytes, 100u);
    EXPECT_EQ(db->tier_usage().s3_bytes, 100u);
    EXPECT_EQ(db->usage().blobs, 1u);
    EXPECT_EQ(db->tier_usage().uploads, 0u);
}

TEST_P(TiersContract, what_comes_after_an_eviction_is_worth_more_than_what_was_there_before) {
    put(1, 1'000'000);
    put(2, 1'000'000);
    put(3, 1'000'000);
    EXPECT_TRUE(db->evict(victim(3)));
    reopen();  // what was learnt is kept
    put(4, 1'000'000);
    touch(1, 3000);
    EXPECT_THAT(victims(false), ElementsAre(digest_of(2), digest_of(4), digest_of(1)));
}

TEST_P(TiersContract, victims_of_one_upstream) {
    put(1, 300, "docker.io");
    put(2, 200, "quay.io");
    put(3, 400, "quay.io");
    EXPECT_THAT(victims(false, "quay.io"), ElementsAre(digest_of(3), digest_of(2)));
    EXPECT_THAT(victims(false, "ghcr.io"), IsEmpty());
    EXPECT_EQ(db->disk_bytes_of("quay.io"), 600u);
    EXPECT_EQ(db->disk_bytes_of("ghcr.io"), 0u);
    EXPECT_TRUE(db->evict(victim(3)));
    EXPECT_EQ(db->disk_bytes_of("quay.io"), 200u);
}

TEST_P(TiersContract, victims_by_age_are_those_not_read_since) {
    for (uint64_t i = 1; i <= 6; ++i) put(i, 100 * i, i % 2 != 0 ? "docker.io" : "quay.io");
    touch(1, 2000);
    touch(4, 3000);
    touch(5, 4000);
    EXPECT_THAT(victims(false, "", at(3000)),
                UnorderedElementsAre(digest_of(1), digest_of(2), digest_of(3), digest_of(6)));
    EXPECT_THAT(victims(false, "quay.io", at(3000)), ElementsAre(digest_of(6), digest_of(2)));
    EXPECT_EQ(victims(false, "", at(3000), 3).size(), 3u);
}

TEST_P(TiersContract, a_blob_whose_upload_is_under_way_stays) {
    db->enable_uploads(true);
    put(1, 100, "docker.io", "");
    const auto rows = claim();
    for (const char* upload_id : {"", "id"}) {
        db->note_upload_id(rows.at(0), upload_id);
        EXPECT_THAT(victims(false), IsEmpty());
        EXPECT_FALSE(db->evict(victim(1)));
        EXPECT_THAT(sweep(), IsEmpty());
    }
    // Left behind in S3, it has to be aborted first.
    db->upload_failed(rows[0], at(5000));
    EXPECT_FALSE(db->evict(victim(1)));
    db->upload_done(rows[0]);
    EXPECT_TRUE(db->evict(victim(1)));
    EXPECT_EQ(sweep().size(), 1u);
}

TEST_P(TiersContract, what_s3_lost_goes_up_again_or_is_gone) {
    put_in_s3(1);
    put_in_s3(2);
    image(3, {}, "");
    upload_all();
    EXPECT_TRUE(db->evict(victim(2)));
    for (uint64_t i = 1; i <= 4; ++i) db->lost_in_s3(digest_of(i));
    EXPECT_EQ(place_of(1), "disk");
    EXPECT_EQ(place_of(2), "nowhere");
    EXPECT_TRUE(db->linked(kRepository, digest_of(2)));
    const auto rows = claim(4'000'000'000);
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].digest, digest_of(1));
    EXPECT_EQ(rows[1].digest, digest_of(3));
}

TEST_P(TiersContract, what_the_disk_lost_is_in_s3_or_gone) {
    put_in_s3(1);
    put_in_s3(2);
    db->enable_uploads(false);
    put(3, 100, "");
    const auto generation = [this](uint64_t n) { return db->find_blob(digest_of(n))->generation; };
    EXPECT_FALSE(db->lost_on_disk(digest_of(1), generation(1) + 1));
    EXPECT_TRUE(db->lost_on_disk(digest_of(1), generation(1)));
    EXPECT_FALSE(db->lost_on_disk(digest_of(1), generation(1)));
    EXPECT_TRUE(db->remove_blob(digest_of(2), generation(2)));
    EXPECT_TRUE(db->lost_on_disk(digest_of(3), generation(3)));
    EXPECT_EQ(place_of(1), "s3");
    EXPECT_EQ(place_of(2), "s3");
    EXPECT_EQ(place_of(3), "nowhere");
}

TEST_P(TiersContract, what_is_found_in_s3_is_known_from_then_on) {
    put(1);
    image(2, {}, "");
    db->enable_uploads(true);
    put(3);
    db->found_in_s3(digest_of(1), 100, at(50));
    db->found_in_s3(digest_of(2), 7, at(50));
    db->found_in_s3(digest_of(3), 100, at(50));
    db->found_in_s3(digest_of(4), 5'000, at(50));
    EXPECT_EQ(place_of(1), "disk and s3");
    EXPECT_EQ(place_of(2), "nowhere");
    EXPECT_EQ(place_of(4), "s3");
    EXPECT_EQ(db->find_blob(digest_of(4))->size, 5'000u);
    EXPECT_EQ(db->find_blob(digest_of(4))->accessed, at(50));
    EXPECT_THAT(claim(), IsEmpty());
    EXPECT_TRUE(put(4, 5'000));
    EXPECT_EQ(place_of(4), "disk and s3");
}

TEST_P(TiersContract, what_is_found_in_s3_but_doomed_stays_doomed) {
    put_in_s3(1);
    unlink(1);
    sweep();
    db->found_in_s3(digest_of(1), 100, at(50));
    EXPECT_EQ(place_of(1), "nowhere");
    EXPECT_THAT(doomed(), ElementsAre(digest_of(1)));
}

// --- files to erase

TEST_P(TiersContract, a_file_that_leaves_the_disk_is_written_down_until_it_is_erased) {
    put_in_s3(1);
    put_in_s3(2);
    db->enable_uploads(false);
    put(3);
    put(4);
    put(5, 100, "docker.io", "");
    const auto file = [this](uint64_t n) {
        return Erasure{digest_of(n), db->find_blob(digest_of(n))->generation};
    };
    const std::vector<Erasure> files = {file(1), file(2), file(3), file(4), file(5)};
    EXPECT_TRUE(db->evict(victim(1)));
    EXPECT_TRUE(db->lost_on_disk(files[1].digest, files[1].generation));
    EXPECT_TRUE(db->evict(victim(3)));
    EXPECT_TRUE(db->remove_blob(files[3].digest, files[3].generation));
    EXPECT_EQ(sweep().size(), 1u);
    EXPECT_THAT(erasures(), UnorderedElementsAreArray(files));
    reopen();
    EXPECT_THAT(erasures(), UnorderedElementsAreArray(files));
    db->erased(std::span(files).first(3));
    EXPECT_THAT(erasures(), UnorderedElementsAre(files[3], files[4]));
    db->erased(files);
    EXPECT_THAT(erasures(), IsEmpty());
}

TEST_P(TiersContract, a_second_file_of_a_blob_is_written_down_and_the_first_is_not) {
    db->put_blob(blob_row(1, 7), kRepository);
    EXPECT_FALSE(db->put_blob(blob_row(1, 8), kRepository));
    EXPECT_THAT(erasures(), ElementsAre(Erasure{digest_of(1), 8}));
    EXPECT_FALSE(db->put_blob(blob_row(1, 7), kRepository));
    EXPECT_THAT(erasures(), ElementsAre(Erasure{digest_of(1), 8}));
}

TEST_P(TiersContract, what_stays_on_the_disk_is_not_to_be_erased) {
    put(1, 100, "");
    Victim old = victim(1);
    EXPECT_FALSE(db->evict(old));
    EXPECT_FALSE(db->lost_on_disk(digest_of(1), old.generation + 1));
    unlink(1);
    std::optional<oci::Digest> next;
    db->rehearsal()->sweep_blobs(std::nullopt, at(1'000'000), 10, &next);
    EXPECT_THAT(erasures(), IsEmpty());
}

TEST_P(TiersContract, a_blob_that_is_only_in_s3_has_no_file_to_erase) {
    put_in_s3(1);
    EXPECT_TRUE(db->evict(victim(1)));
    db->erased(db->erasures(std::nullopt, 10));
    unlink(1);
    EXPECT_EQ(sweep().size(), 1u);
    EXPECT_THAT(erasures(), IsEmpty());
}

TEST_P(TiersContract, files_to_erase_come_page_by_page) {
    for (uint64_t i = 1; i <= 5; ++i) put(i);
    for (uint64_t i = 1; i <= 5; ++i) EXPECT_TRUE(db->evict(victim(i)));
    for (uint64_t i = 1; i <= 2; ++i) put(i);
    for (uint64_t i = 1; i <= 2; ++i) EXPECT_TRUE(db->evict(victim(i)));
    std::vector<Erasure> seen;
    std::optional<Erasure> after;
    while (true) {
        const auto page = db->erasures(after, 2);
        seen.insert(seen.end(), page.begin(), page.end());
        if (page.empty()) break;
        after = page.back();
    }
    EXPECT_EQ(seen, erasures());
    EXPECT_EQ(seen.size(), 7u);
}

// --- usage

TEST_P(TiersContract, usage_is_told_by_tier_upstream_and_repository) {
    put_in_s3(1, 10, "docker.io");
    put_in_s3(2, 20, "quay.io");
    put(3, 40, "quay.io");
    EXPECT_TRUE(db->evict(victim(2)));
    db->link("a/other", digest_of(3));
    db->put_tag(kRepository, "t", {digest_of(9), at(1), ""});
    const auto tiers = db->tier_usage();
    EXPECT_EQ(tiers.disk_blobs, 2u);
    EXPECT_EQ(tiers.disk_bytes, 50u);
    EXPECT_EQ(tiers.s3_blobs, 2u);
    EXPECT_EQ(tiers.s3_bytes, 30u);
    const auto upstreams = db->usage_by_upstream();
    ASSERT_EQ(upstreams.size(), 2u);
    EXPECT_EQ(upstreams[1].upstream, "quay.io");
    EXPECT_EQ(upstreams[1].disk_bytes, 40u);
    EXPECT_EQ(upstreams[1].s3_bytes, 20u);
    EXPECT_EQ(upstreams[1].blobs, 2u);
    const auto repository = db->repository_usage(kRepository);
    ASSERT_TRUE(repository);
    EXPECT_EQ(repository->repository, kRepository);
    EXPECT_EQ(repository->blobs, 3u);
    EXPECT_EQ(repository->bytes, 70u);
    EXPECT_EQ(repository->disk_bytes, 50u);
    EXPECT_EQ(repository->s3_bytes, 30u);
    EXPECT_EQ(repository->tags, 1u);
    EXPECT_EQ(db->repository_usage("a/other")->bytes, 40u);
    EXPECT_FALSE(db->repository_usage("a/nowhere"));
    EXPECT_THAT(db->linked_from(digest_of(3), 10), UnorderedElementsAre(kRepository, "a/other"));
    EXPECT_EQ(db->linked_from(digest_of(3), 1).size(), 1u);
    // What is only named counts as well, and who names it may be asked for it, after those.
    image(21, {3}, "", "a/naming");
    image(22, {21}, "", "a/above");
    db->put_tag("a/tagging", "t", {digest_of(3), at(1), ""});
    EXPECT_EQ(db->repository_usage("a/naming")->bytes, 40u);
    EXPECT_EQ(db->repository_usage("a/above")->bytes, 40u);
    EXPECT_THAT(db->linked_from(digest_of(3), 10), UnorderedElementsAre(kRepository, "a/other"));
    EXPECT_THAT(db->wanted_by(digest_of(3), 10),
                ElementsAre("a/other", kRepository, "a/tagging", "a/naming"));
    EXPECT_EQ(db->wanted_by(digest_of(3), 3).size(), 3u);
    std::vector<oci::Digest> digests = db->manifest_digests({}, 1);
    ASSERT_EQ(digests.size(), 1u);
    for (const auto& digest : db->manifest_digests(digests[0], 10)) digests.push_back(digest);
    EXPECT_THAT(digests, UnorderedElementsAre(digest_of(21), digest_of(22)));
    EXPECT_TRUE(std::ranges::is_sorted(digests));
}

TEST_P(TiersContract, blob_states_come_page_by_page) {
    for (uint64_t i = 1; i <= 10; ++i) put(i, i);
    std::vector<oci::Digest> seen;
    std::optional<oci::Digest> after;
    while (true) {
        const auto page = db->blob_states(after, 3);
        if (page.empty()) break;
        for (const auto& state : page) seen.push_back(state.digest);
        after = page.back().digest;
    }
    EXPECT_EQ(seen.size(), 10u);
    EXPECT_TRUE(std::ranges::is_sorted(seen));
    const auto first = db->blob_states(std::nullopt, 1).at(0);
    const auto row = db->find_blob(first.digest);
    EXPECT_EQ(first.size, row->size);
    EXPECT_EQ(first.generation, row->generation);
    EXPECT_TRUE(first.on_disk);
    EXPECT_FALSE(first.in_s3);
    EXPECT_EQ(first.upstream, "docker.io");
}

}  // namespace weir::meta
