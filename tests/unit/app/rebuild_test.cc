// The promises of app/verbs_rebuild.h.
#include "app/verbs_rebuild.h"

#include "base/failure.h"
#include "unit/app/verbs_world.h"

namespace weir::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kIndexType = "application/vnd.oci.image.index.v1+json";

std::string descriptor(const char* type, std::string_view bytes) {
    return fmt::format(R"({{"mediaType":"{}","digest":"{}","size":{}}})", type,
                       digest_of(bytes).text(), bytes.size());
}

std::string image(std::string_view config, std::string_view layer, std::string_view subject = "") {
    std::string more;
    if (!subject.empty()) more = R"(,"subject":)" + descriptor(kManifestType, subject);
    return fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]{}}})",
                       kManifestType,
                       descriptor("application/vnd.oci.image.config.v1+json", config),
                       descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer), more);
}

class Rebuild : public VerbWorld {
protected:
    oci::Digest manifest(const std::string& bytes, const char* type = kManifestType) {
        remote.manifests[digest_of(bytes)] = {type, bytes};
        return digest_of(bytes);
    }
    void tag(const std::string& name, const oci::Digest& digest) {
        remote.tags[name] =
            fmt::format(R"({{"digest":"{}","checked":1700000000000000,"upstream":"docker.io"}})",
                        digest.text());
    }
    oci::Digest blob(const std::string& bytes) {
        remote.blobs[digest_of(bytes)] = bytes;
        return digest_of(bytes);
    }
    // A file of a former database.
    std::string file(const std::string& bytes, uint64_t generation,
                     const std::string& name_of = "") {
        const std::string hex = digest_of(name_of.empty() ? bytes : name_of).hex();
        const std::string path =
            fmt::format("{}/blobs/sha256/{}/{}.{}", kRoot, hex.substr(0, 2), hex, generation);
        write(path, bytes);
        return path;
    }
    RebuildReport run(Rooms& which, RebuildOptions options = {}) {
        RebuildHands hands;
        hands.resolve = resolve;
        return run_task([&] { return rebuild(which, options, hands); });
    }
};

// ---- from S3

TEST_F(Rebuild, a_tag_comes_back_with_all_that_it_reaches) {
    const std::string child = image("config", "layer");
    const std::string index =
        fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{},{}]}})", kIndexType,
                    descriptor(kManifestType, child), descriptor(kManifestType, "never pulled"));
    manifest(child);
    manifest(index, kIndexType);
    tag("docker.io/library/x\nlatest", digest_of(index));
    blob("config");
    blob("layer");
    const RebuildReport report = run(rooms);
    EXPECT_EQ(report.problem_count, 0u);
    EXPECT_EQ(report.repositories, 1u);
    EXPECT_EQ(report.tags, 1u);
    EXPECT_EQ(report.manifests, 2u);
    EXPECT_EQ(report.s3_blobs, 2u);
    EXPECT_EQ(report.s3_bytes, 11u);

    const auto found = engine->find_tag("docker.io/library/x", "latest");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->digest, digest_of(index));
    EXPECT_EQ(found->upstream, "docker.io");
    EXPECT_EQ(found->checked, WallTime(std::chrono::microseconds(1700000000000000)));
    const auto stored = engine->find_manifest(digest_of(index));
    ASSERT_TRUE(stored);
    EXPECT_EQ(stored->bytes, index);
    EXPECT_EQ(stored->media_type, kIndexType);
    EXPECT_EQ(stored->upstream, "docker.io");
    for (const auto& part : {digest_of(index), digest_of(child), digest_of("layer")})
        EXPECT_TRUE(engine->linked("docker.io/library/x", part));
    const auto layer = engine->find_blob(digest_of("layer"));
    ASSERT_TRUE(layer);
    EXPECT_TRUE(layer->in_s3);
    EXPECT_FALSE(layer->on_disk);
}

TEST_F(Rebuild, what_was_found_in_s3_need_not_go_up_again) {
    manifest(image("config", "layer"));
    tag("docker.io/library/x\nlatest", digest_of(image("config", "layer")));
    blob("config");
    blob("layer");
    run(rooms);
    EXPECT_EQ(engine->tier_usage().uploads, 0u);
    while (engine->queue_missing_uploads(std::nullopt, 100)) break;
    EXPECT_EQ(engine->tier_usage().uploads, 0u);
}

TEST_F(Rebuild, signatures_are_reached_from_what_they_refer_to) {
    const std::string signed_image = image("config", "layer");
    const std::string signature = image("{}", "signature", signed_image);
    const std::string of_signature = image("{}", "countersignature", signature);
    const std::string stray = image("{}", "stray");
    for (const auto& bytes : {signed_image, signature, of_signature, stray}) manifest(bytes);
    tag("docker.io/library/x\nlatest", digest_of(signed_image));
    run(rooms);
    EXPECT_TRUE(engine->linked("docker.io/library/x", digest_of(signature)));
    EXPECT_TRUE(engine->linked("docker.io/library/x", digest_of(of_signature)));
    EXPECT_FALSE(engine->find_manifest(digest_of(stray)));
}

TEST_F(Rebuild, what_several_repositories_lead_to_is_linked_to_none_of_them) {
    const std::string hidden = image("config", "hidden"), naming = image("other", "hidden");
    const std::string index =
        fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}})", kIndexType,
                    descriptor(kManifestType, hidden));
    for (const auto& bytes : {hidden, naming}) manifest(bytes);
    manifest(index, kIndexType);
    tag("docker.io/corp/app\nv1", digest_of(hidden));
    tag("docker.io/guest/x\nv1", digest_of(naming));
    tag("docker.io/guest/y\nv1", digest_of(index));
    for (const char* bytes : {"config", "hidden", "other"}) blob(bytes);
    EXPECT_EQ(run(rooms).problem_count, 0u);
    EXPECT_TRUE(engine->linked("docker.io/guest/x", digest_of(naming)));
    EXPECT_TRUE(engine->linked("docker.io/guest/x", digest_of("other")));
    EXPECT_TRUE(engine->linked("docker.io/guest/y", digest_of(index)));
    for (const auto& digest : {digest_of(hidden), digest_of("hidden")})
        EXPECT_TRUE(engine->linked_from(digest, 10).empty());
    EXPECT_TRUE(engine->named("docker.io/corp/app", digest_of(hidden)));
    EXPECT_EQ(engine->find_blob(digest_of("hidden"))->private_of, "docker.io");
}

TEST_F(Rebuild, a_tag_that_was_only_a_name_links_nothing) {
    const std::string hidden = image("config", "hidden");
    manifest(hidden);
    remote.tags["docker.io/guest/x\nv1"] = fmt::format(
        R"({{"digest":"{}","checked":1700000000000000,"upstream":"docker.io","linked":false}})",
        digest_of(hidden).text());
    blob("hidden");
    EXPECT_EQ(run(rooms).tags, 1u);
    EXPECT_EQ(engine->find_tag("docker.io/guest/x", "v1")->digest, digest_of(hidden));
    for (const auto& digest : {digest_of(hidden), digest_of("hidden")})
        EXPECT_TRUE(engine->linked_from(digest, 10).empty());
}

TEST_F(Rebuild, nothing_is_private_where_no_login_is_configured) {
    const std::string signed_image = image("config", "layer");
    manifest(signed_image);
    tag("docker.io/library/x\nlatest", digest_of(signed_image));
    blob("layer");
    RebuildHands hands;
    hands.logins = false;
    run_task([&] { return rebuild(rooms, {}, hands); });
    EXPECT_EQ(engine->find_blob(digest_of("layer"))->private_of, "");
    EXPECT_EQ(engine->find_manifest(digest_of(signed_image))->private_of, "");
}

TEST_F(Rebuild, a_manifest_with_other_bytes_is_told_and_not_stored) {
    const std::string good = image("config", "layer");
    remote.manifests[digest_of(good)] = {kManifestType, image("config", "other")};
    tag("docker.io/library/x\nlatest", digest_of(good));
    const RebuildReport report = run(rooms);
    ASSERT_EQ(report.problem_count, 2u);
    EXPECT_THAT(report.problems[0], HasSubstr("has another digest"));
    EXPECT_THAT(report.problems[1], HasSubstr("docker.io/library/x:latest"));
    EXPECT_FALSE(engine->find_tag("docker.io/library/x", "latest"));
}

TEST_F(Rebuild, tags_that_make_no_sense_are_told_and_the_others_come) {
    const std::string good = image("config", "layer");
    manifest(good);
    tag("docker.io/library/x\nlatest", digest_of(good));
    remote.tags["docker.io/library/x\nbroken"] = "{";
    remote.tags["docker.io/library/x\nempty"] = R"({"digest":"sha256:x"})";
    tag("UPPER\nlatest", digest_of(good));
    const RebuildReport report = run(rooms);
    EXPECT_EQ(report.problem_count, 3u);
    EXPECT_THAT(engine->tags("docker.io/library/x", "", 10), ElementsAre("latest"));
}

TEST_F(Rebuild, pages_through_what_s3_lists) {
    remote.page = 7;
    for (int i = 0; i < 50; ++i) {
        const std::string layer = fmt::format("layer {}", i);
        blob(layer);
        tag(fmt::format("docker.io/library/x\nv{}", i), manifest(image("config", layer)));
    }
    blob("config");
    const RebuildReport report = run(rooms);
    EXPECT_EQ(report.tags, 50u);
    EXPECT_EQ(report.s3_blobs, 51u);
    EXPECT_EQ(engine->usage().tags, 50u);
}

TEST_F(Rebuild, ends_when_s3_can_not_be_listed) {
    remote.silent = true;
    EXPECT_THROW(run(rooms), Failure);
}

// ---- from the disk

TEST_F(Rebuild, files_become_rows_when_they_are_what_they_say) {
    file("some bytes", 41);
    const std::string wrong = file("other bytes", 42, "expected bytes");
    const RebuildReport report = run(disk_only);
    EXPECT_EQ(report.disk_blobs, 1u);
    EXPECT_EQ(report.disk_bytes, 10u);
    ASSERT_EQ(report.problem_count, 1u);
    EXPECT_THAT(report.problems[0], HasSubstr("has another digest"));
    EXPECT_FALSE(there(wrong));
    EXPECT_EQ(read(digest_of("some bytes")), "some bytes");
    // An upstream can give it again: it may be evicted.
    EXPECT_FALSE(engine->disk_victims("", std::nullopt, false, 10).empty());
}

TEST_F(Rebuild, of_several_copies_one_stays) {
    const std::string bad = file("same size!", 9, "some bytes");
    const std::string good = file("some bytes", 8);
    const std::string older = file("some bytes", 1);
    const RebuildReport report = run(disk_only);
    EXPECT_EQ(report.disk_blobs, 1u);
    EXPECT_EQ(report.left_overs, 1u);
    EXPECT_EQ(read(digest_of("some bytes")), "some bytes");
    const auto directory = parent_path(good);
    EXPECT_EQ(files.list(directory).size(), 1u);
}

TEST_F(Rebuild, generations_are_not_given_twice) {
    for (uint64_t i = 1; i <= 5; ++i) file("some bytes", i);
    run(disk_only);
    const auto row = engine->find_blob(digest_of("some bytes"));
    ASSERT_TRUE(row);
    EXPECT_GT(engine->next_generation(), row->generation);
    EXPECT_EQ(read(digest_of("some bytes")), "some bytes");
}

TEST_F(Rebuild, trusted_names_are_not_verified) {
    file("other bytes", 1, "expected bytes");
    RebuildOptions options;
    options.trust_names = true;
    EXPECT_EQ(run(disk_only, options).disk_blobs, 1u);
}

TEST_F(Rebuild, staging_files_of_the_old_database_go_and_foreign_files_stay) {
    const std::string staged = fmt::format("{}/staging/sha256-{}.3", kRoot, digest_of("x").hex());
    const std::string foreign = std::string(kRoot) + "/staging/README";
    write(staged, "x");
    write(foreign, "x");
    EXPECT_EQ(run(disk_only).left_overs, 1u);
    EXPECT_FALSE(there(staged));
    EXPECT_TRUE(there(foreign));
}

TEST_F(Rebuild, the_disk_adds_to_what_s3_has) {
    manifest(image("config", "layer"));
    tag("docker.io/library/x\nlatest", digest_of(image("config", "layer")));
    blob("config");
    file("config", 5);
    file("layer", 6);  // not uploaded before the database was lost
    const RebuildReport report = run(rooms);
    EXPECT_EQ(report.disk_blobs, 2u);
    const auto config = engine->find_blob(digest_of("config"));
    EXPECT_TRUE(config->on_disk && config->in_s3);
    const auto layer = engine->find_blob(digest_of("layer"));
    EXPECT_TRUE(layer->on_disk && !layer->in_s3);
    EXPECT_EQ(layer->upstream, "docker.io");
    EXPECT_EQ(engine->tier_usage().uploads, 1u);
}

TEST_F(Rebuild, knows_an_empty_database) {
    EXPECT_TRUE(is_empty(*engine));
    on_disk("some bytes");
    EXPECT_FALSE(is_empty(*engine));
}

}  // namespace
}  // namespace weir::app
