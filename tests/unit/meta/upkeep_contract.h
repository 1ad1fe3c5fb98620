// tests/unit/meta/upkeep_contract.h: what meta/upkeep.h promises of uploads, asked of any
// implementation. Eviction and usage: tiers_contract.h. Pins and collection: collection_contract.h.
//
// Include in one file of a test binary and instantiate UpkeepContract with the implementations to
// ask.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/meta/backend.h"

namespace weir::meta {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using testing::UnorderedElementsAreArray;

class UpkeepContract : public testing::TestWithParam<Implementation> {
protected:
    static constexpr const char* kRepository = "docker.io/library/debian";
    using What = UploadRow::What;

    bool put(uint64_t number, uint64_t size = 100, std::string upstream = "docker.io",
             std::string_view repository = kRepository) {
        BlobRow row = blob_row(number, db->next_generation(), size);
        row.upstream = std::move(upstream);
        return db->put_blob(row, repository);
    }
    void touch(uint64_t number, int64_t seconds) {
        const Touch one{digest_of(number), at(seconds)};
        db->touch({&one, 1});
    }
    void image(uint64_t number, std::vector<uint64_t> references, std::string_view tag = "",
               std::string_view repository = kRepository) {
        std::vector<oci::Digest> digests;
        for (uint64_t reference : references) digests.push_back(digest_of(reference));
        db->put_manifest(manifest_row(number), repository, digests, tag);
    }
    std::vector<UploadRow> claim(int64_t now = 5000, int64_t lease_end = 6000, size_t limit = 100) {
        return db->claim_uploads(limit, at(now), at(lease_end));
    }
    // Brings up all that is due.
    void upload_all(int64_t now = 5000) {
        for (const auto& row : claim(now, now + 1)) db->upload_done(row);
    }
    void put_in_s3(uint64_t number, uint64_t size = 100, std::string upstream = "docker.io") {
        db->enable_uploads(true);
        put(number, size, std::move(upstream));
        upload_all();
    }
    std::vector<oci::Digest> victims(bool s3, std::string_view upstream = "",
                                     std::optional<WallTime> before = {}, size_t limit = 100) {
        std::vector<oci::Digest> digests;
        for (const auto& victim : db->disk_victims(upstream, before, s3, limit))
            digests.push_back(victim.digest);
        return digests;
    }
    Victim victim(uint64_t number) {
        const auto row = db->find_blob(digest_of(number));
        return {row->digest, row->generation, row->size, row->upstream, row->in_s3, 0};
    }
    std::string place_of(uint64_t number) { return place(*db, digest_of(number)); }
    // All that is doomed, claimed at some time far behind the grace.
    std::vector<oci::Digest> doomed() {
        return db->claim_doomed(backend->clock.wall() + std::chrono::hours(1), 100);
    }
    std::vector<Doomed> sweep() {
        std::optional<oci::Digest> next;
        return db->sweep_blobs(std::nullopt, at(1'000'000), 1000, &next);
    }
    void lose(uint64_t number) {
        EXPECT_TRUE(
            db->lost_on_disk(digest_of(number), db->find_blob(digest_of(number))->generation));
    }
    void unlink(uint64_t number, std::string_view repository = kRepository) {
        const auto digest = digest_of(number);
        db->unlink(repository, at(1'000'000), {&digest, 1});
    }
    bool reopen() {
        if (!backend->persistent()) return false;
        db.reset();
        db = backend->open();
        return true;
    }

    std::unique_ptr<Backend> backend = GetParam().make();
    std::unique_ptr<Engine> db = backend->open();
};

// --- uploads

TEST_P(UpkeepContract, without_uploads_nothing_is_queued) {
    put(1);
    image(2, {1}, "latest");
    EXPECT_THAT(claim(), IsEmpty());
    EXPECT_EQ(db->tier_usage().uploads, 0u);
}

TEST_P(UpkeepContract, what_is_stored_is_queued_with_it_and_given_oldest_first) {
    db->enable_uploads(true);
    put(1, 700);
    image(2, {1}, "latest");
    EXPECT_EQ(db->tier_usage().uploads, 3u);
    EXPECT_EQ(db->tier_usage().upload_bytes, 700 + manifest_row(2).bytes.size());
    EXPECT_THAT(claim(999), IsEmpty());
    const auto rows = claim();
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].what, What::blob);
    EXPECT_EQ(rows[0].digest, digest_of(1));
    EXPECT_EQ(rows[0].generation, db->find_blob(digest_of(1))->generation);
    EXPECT_EQ(rows[0].size, 700u);
    EXPECT_EQ(rows[0].attempts, 0u);
    EXPECT_EQ(rows[0].name + rows[0].upload_id, "");
    EXPECT_EQ(rows[1].what, What::manifest);
    EXPECT_EQ(rows[1].digest, digest_of(2));
    EXPECT_EQ(rows[1].size, manifest_row(2).bytes.size());
    EXPECT_EQ(rows[2].what, What::tag);
    EXPECT_EQ(rows[2].digest, digest_of(2));
    EXPECT_EQ(rows[2].name, std::string(kRepository) + "\nlatest");
    EXPECT_FALSE(rows[2].gone);
}

TEST_P(UpkeepContract, a_claimed_upload_is_not_given_again_before_its_lease_ends) {
    db->enable_uploads(true);
    for (uint64_t i = 1; i <= 3; ++i) put(i);
    EXPECT_EQ(claim(5000, 6000, 2).size(), 2u);
    EXPECT_EQ(claim(5000, 7000, 2).size(), 1u);
    EXPECT_THAT(claim(5999), IsEmpty());
    EXPECT_EQ(claim(6000).size(), 2u);
}

TEST_P(UpkeepContract, leases_of_a_process_before_end_with_it) {
    db->enable_uploads(true);
    put(1);
    EXPECT_EQ(claim(5000, 900'000).size(), 1u);
    if (!reopen()) return;
    EXPECT_EQ(claim(5000, 900'000).size(), 1u);
    EXPECT_THAT(claim(5000), IsEmpty());
}

TEST_P(UpkeepContract, a_failed_upload_is_tried_again_later_and_knows_its_multipart) {
    db->enable_uploads(true);
    put(1);
    auto rows = claim(5000, 900'000);
    db->note_upload_id(rows[0], "multi'part");
    db->upload_failed(rows[0], at(5500));
    EXPECT_THAT(claim(5499), IsEmpty());
    rows = claim(5500);
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].attempts, 1u);
    EXPECT_EQ(rows[0].upload_id, "multi'part");
    EXPECT_EQ(place_of(1), "disk");
}

TEST_P(UpkeepContract, what_was_uploaded_is_in_s3_and_queued_no_more) {
    db->enable_uploads(true);
    put(1);
    image(2, {1}, "latest");
    upload_all();
    EXPECT_EQ(place_of(1), "disk and s3");
    EXPECT_EQ(db->tier_usage().uploads, 0u);
    EXPECT_EQ(db->tier_usage().upload_bytes, 0u);
    put(1);
    image(2, {1}, "latest");
    EXPECT_THAT(claim(9000), IsEmpty());
}

TEST_P(UpkeepContract, a_tag_is_queued_when_it_moves_and_not_when_it_is_confirmed) {
    db->enable_uploads(true);
    db->put_tag(kRepository, "t", {digest_of(1), at(100), ""});
    upload_all();
    db->put_tag(kRepository, "t", {digest_of(1), at(200), ""});
    EXPECT_THAT(claim(5000), IsEmpty());
    db->put_tag(kRepository, "t", {digest_of(2), at(300), ""});
    const auto rows = claim(5000);
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].digest, digest_of(2));
}

TEST_P(UpkeepContract, a_tag_that_moves_while_it_is_uploaded_is_uploaded_again) {
    db->enable_uploads(true);
    db->put_tag(kRepository, "t", {digest_of(1), at(100), ""});
    const auto first = claim(5000, 900'000);
    db->put_tag(kRepository, "t", {digest_of(2), at(300), ""});
    EXPECT_THAT(claim(5000), IsEmpty());
    db->upload_done(first.at(0));
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(backend->clock.wall().time_since_epoch())
            .count();
    const auto second = claim(now, now + 100);
    ASSERT_EQ(second.size(), 1u);
    EXPECT_EQ(second[0].digest, digest_of(2));
    db->upload_done(second[0]);
    EXPECT_EQ(db->tier_usage().uploads, 0u);
}

TEST_P(UpkeepContract, a_removed_tag_goes_from_s3_too) {
    db->enable_uploads(true);
    db->put_tag(kRepository, "t", {digest_of(1), at(100), ""});
    upload_all();
    db->remove_tag(kRepository, "t");
    const auto rows = claim(4'000'000'000);
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_TRUE(rows[0].gone);
    EXPECT_EQ(rows[0].name, std::string(kRepository) + "\nt");
    db->upload_done(rows[0]);
    EXPECT_EQ(db->tier_usage().uploads, 0u);
}

TEST_P(UpkeepContract, an_upload_that_ends_after_its_blob_was_lost_dooms_the_object) {
    db->enable_uploads(true);
    put(1, 100, "docker.io", "");
    const auto rows = claim();
    EXPECT_THAT(sweep(), IsEmpty());  // it waits for the upload
    lose(1);
    EXPECT_EQ(place_of(1), "nowhere");
    EXPECT_EQ(db->tier_usage().uploads, 0u);
    db->upload_done(rows.at(0));
    EXPECT_THAT(doomed(), ElementsAre(digest_of(1)));
}

TEST_P(UpkeepContract, an_upload_waits_for_the_deletion_of_its_digest) {
    put_in_s3(1);
    unlink(1);
    EXPECT_EQ(sweep().size(), 1u);
    EXPECT_THAT(doomed(), ElementsAre(digest_of(1)));
    put(1);
    EXPECT_EQ(place_of(1), "disk");
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(backend->clock.wall().time_since_epoch())
            .count();
    EXPECT_THAT(claim(now, now), IsEmpty());
    const auto digest = digest_of(1);
    db->doomed_done({&digest, 1});
    EXPECT_EQ(claim(now, now + 1).size(), 1u);
}

TEST_P(UpkeepContract, an_upload_does_not_wait_for_ever_for_a_deletion) {
    put_in_s3(1);
    unlink(1);
    sweep();
    EXPECT_EQ(doomed().size(), 1u);
    put(1);
    const auto claimed = backend->clock.wall();
    EXPECT_THAT(db->claim_uploads(10, claimed, claimed), IsEmpty());
    const auto later = claimed + Upkeep::kClaimTime;
    EXPECT_EQ(db->claim_uploads(10, later, later + std::chrono::hours(1)).size(), 1u);
}

TEST_P(UpkeepContract, a_deletion_that_was_given_up_holds_no_upload_back) {
    put_in_s3(1);
    unlink(1);
    sweep();
    EXPECT_EQ(doomed().size(), 1u);
    put(1);
    const auto now = backend->clock.wall();
    EXPECT_THAT(db->claim_uploads(10, now, now), IsEmpty());
    const auto digest = digest_of(1);
    db->release_doomed({&digest, 1});
    EXPECT_EQ(db->claim_uploads(10, now, now + std::chrono::hours(1)).size(), 1u);
}

TEST_P(UpkeepContract, an_upload_that_a_deletion_overtook_is_done_again) {
    db->enable_uploads(true);
    put(1, 100, "docker.io", "");
    const auto slow = claim();
    lose(1);
    EXPECT_THAT(doomed(), ElementsAre(digest_of(1)));  // it may have come up already
    put(1);
    db->upload_done(slow.at(0));
    EXPECT_EQ(place_of(1), "disk");
    const auto digest = digest_of(1);
    db->doomed_done({&digest, 1});
    const auto now = backend->clock.wall();
    const auto rows = db->claim_uploads(10, now, now);
    ASSERT_EQ(rows.size(), 1u);
    db->upload_done(rows[0]);
    EXPECT_EQ(place_of(1), "disk and s3");
    EXPECT_THAT(doomed(), IsEmpty());
}

TEST_P(UpkeepContract, an_upload_that_ends_during_the_deletion_is_deleted_by_the_next) {
    db->enable_uploads(true);
    put(1, 100, "docker.io", "");
    const auto slow = claim();
    lose(1);
    EXPECT_EQ(doomed().size(), 1u);
    db->upload_done(slow.at(0));
    const auto digest = digest_of(1);
    db->doomed_done({&digest, 1});
    EXPECT_THAT(doomed(), ElementsAre(digest_of(1)));
    db->doomed_done({&digest, 1});
    EXPECT_EQ(db->tier_usage().doomed, 0u);
}

TEST_P(UpkeepContract, what_was_stored_before_s3_was_configured_is_queued_page_by_page) {
    for (uint64_t i = 1; i <= 20; ++i) put(i);
    for (uint64_t i = 21; i <= 27; ++i) image(i, {}, "t" + std::to_string(i));
    db->enable_uploads(true);
    std::optional<oci::Digest> after;
    int pages = 0;
    while (true) {
        const auto last = db->queue_missing_uploads(after, 4);
        if (!last) break;
        if (after) EXPECT_LT(*after, *last);
        after = last;
        ASSERT_LE(++pages, 20);
    }
    EXPECT_EQ(db->tier_usage().uploads, 34u);
    upload_all();
    after.reset();
    while (const auto last = db->queue_missing_uploads(after, 1000)) after = last;
    EXPECT_EQ(db->tier_usage().uploads, 0u);
}

TEST_P(UpkeepContract, what_was_stored_without_s3_is_looked_for_once) {
    const auto walk = [this] {
        int pages = 0;
        std::optional<oci::Digest> after;
        while (const auto last = db->queue_missing_uploads(after, 4)) {
            after = last;
            ++pages;
        }
        return pages;
    };
    for (uint64_t i = 1; i <= 10; ++i) put(i);
    db->enable_uploads(true);
    // A walk that a crash broke off begins anew.
    EXPECT_TRUE(db->queue_missing_uploads(std::nullopt, 4));
    reopen();
    db->enable_uploads(true);
    EXPECT_GE(walk(), 3);
    put(11);
    EXPECT_EQ(walk(), 0);
    reopen();
    // A run without S3 in between.
    db->enable_uploads(false);
    put(12);
    db->enable_uploads(true);
    EXPECT_GE(walk(), 3);
    EXPECT_EQ(db->tier_usage().uploads, 12u);
    EXPECT_EQ(walk(), 0);
}

TEST_P(UpkeepContract, what_is_stored_without_a_job_during_the_walk_is_looked_for_by_the_next) {
    for (uint64_t i = 1; i <= 8; ++i) put(i);
    db->enable_uploads(true);
    auto after = db->queue_missing_uploads(std::nullopt, 4);
    db->enable_uploads(false);  // as a verb beside it has them
    db->put_tag(kRepository, "t", {digest_of(99), at(1), ""});
    db->enable_uploads(true);
    while (after) after = db->queue_missing_uploads(after, 4);
    EXPECT_TRUE(db->queue_missing_uploads(std::nullopt, 4));
}

TEST_P(UpkeepContract, an_upload_id_is_known_as_long_as_its_row_has_it) {
    db->enable_uploads(true);
    put(1);
    const auto rows = claim();
    EXPECT_FALSE(db->upload_id_known(digest_of(1), "id"));
    db->note_upload_id(rows.at(0), "id");
    EXPECT_TRUE(db->upload_id_known(digest_of(1), "id"));
    EXPECT_FALSE(db->upload_id_known(digest_of(1), "other"));
    EXPECT_FALSE(db->upload_id_known(digest_of(2), "id"));
    db->upload_failed(rows[0], at(5000));
    EXPECT_TRUE(db->upload_id_known(digest_of(1), "id"));
    db->upload_done(rows[0]);
    EXPECT_FALSE(db->upload_id_known(digest_of(1), "id"));
}

}  // namespace weir::meta
