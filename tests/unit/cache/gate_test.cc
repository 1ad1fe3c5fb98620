// The rule of cache/gate.h: what a repository is given, and what its upstream is asked, for every
// way in which a digest can be here without being its own.
#include "cache/gate.h"

#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

const oci::Digest kDigest = *oci::Digest::parse("sha256:" + std::string(64, 'a'));
const oci::Digest kOther = *oci::Digest::parse("sha256:" + std::string(64, 'b'));
const oci::Digest kLong = *oci::Digest::parse("sha512:" + std::string(128, 'b'));

TEST(Gate, a_head_proves_only_what_it_tells) {
    const Held blob{kDigest, 100, "", ""};
    const Held of_corp{kDigest, 100, "corp", ""};
    const Held manifest{kDigest, 100, "", "type"};
    const struct {
        const char* what;
        Told told;
        Held held;
        bool proves;
    } rows[] = {
        {"the length", {"up", 100, "", {}}, blob, true},
        {"no length", {"up", {}, "", {}}, blob, false},
        {"a length of nothing", {"up", 0, "", {}}, blob, false},
        {"another length", {"up", 101, "", {}}, blob, false},
        {"private, its upstream", {"corp", 100, "", {}}, of_corp, true},
        {"private, another upstream", {"up", 100, "", {}}, of_corp, false},
        {"private, its upstream, another length", {"corp", 1, "", {}}, of_corp, false},
        {"a manifest's type", {"up", 100, "type", {}}, manifest, true},
        {"no type", {"up", 100, "", {}}, manifest, false},
        {"another type", {"up", 100, "other", {}}, manifest, false},
        {"its digest", {"up", 100, "type", kDigest}, manifest, true},
        {"another digest", {"up", 100, "type", kOther}, manifest, false},
        {"a digest of another kind", {"up", 100, "type", kLong}, manifest, true},
    };
    for (const auto& row : rows) EXPECT_EQ(proves(row.told, row.held), row.proves) << row.what;
}

// Registry 0 has team/app; registry 1 is another's.
class GateTest : public Lab {
protected:
    GateTest() {
        options.mirrors = {1, 1};
        options.routes.push_back({"local/same", {{0, "team/same"}}});
        options.routes.push_back({"evil/app", {{1, "lab/app"}}});
        content.repository(0, "team/same");
        content.repository(1, "lab/app");
        name_what_is_read = false;
    }
    void with_login(size_t registry) {
        options.logins.insert(registry);
        options.upstream.trusted_hosts = {"auth.sim"};
        internet.mirror(registry, 0).asks_for_token = true;
    }
    oci::Digest tagged(const std::vector<oci::Digest>& layers) { return image("v1", layers); }
    // What a registry was asked for blobs or manifests since the last look.
    std::vector<std::string> asked(size_t registry) {
        std::vector<std::string> methods;
        for (; seen_ < internet.asks().size(); ++seen_) {
            const auto& ask = internet.asks()[seen_];
            if (ask.registry != registry || ask.status == 401) continue;
            if (ask.what == What::blob || ask.what == What::manifest) methods.push_back(ask.method);
        }
        return methods;
    }
    using Methods = std::vector<std::string>;
    size_t seen_ = 0;
};

TEST_F(GateTest, a_manifest_that_names_a_digest_gives_no_claim_to_it) {
    boot();
    const auto layer = blob(10 * kKib);
    tagged({blob(100), layer});
    manifest("v1");
    read(layer);
    const auto naming = content.make_manifest({blob(100, ""), layer});
    const auto index = content.make_index({*content.repository(0, kRepo).tag("v1")});
    content.put(1, "lab/app", naming);
    content.put(1, "lab/app", index);
    content.repository(1, "lab/app").blobs.erase(layer);
    content.repository(1, "lab/app").manifests.erase(*content.repository(0, kRepo).tag("v1"));
    ASSERT_TRUE(manifest(naming.text(), false, "evil/app"));
    ASSERT_TRUE(manifest(index.text(), false, "evil/app"));
    EXPECT_EQ(read(layer, {}, {}, "evil/app")->failed, Kind::blob_unknown);
    EXPECT_EQ(read(layer, {{0, 9}}, {}, "evil/app")->failed, Kind::blob_unknown);
    EXPECT_EQ(head_fails(layer, "evil/app"), Kind::blob_unknown);
    EXPECT_FALSE(manifest(content.repository(0, kRepo).tag("v1")->text(), false, "evil/app"));
}

TEST_F(GateTest, its_own_upstream_is_asked_the_same_whether_a_digest_is_here_or_not) {
    boot();
    const auto here = blob(10 * kKib), nowhere = blob(10 * kKib, "");
    const auto image_here = tagged({blob(100), here});
    manifest("v1");
    read(here);
    for (const bool named : {false, true}) {
        for (const auto& digest : {here, nowhere}) {
            if (named) name(digest, "evil/app");
            asked(1);
            read(digest, {}, {}, "evil/app");
            // Of what its own manifest names, the bytes decide.
            Methods methods = named ? Methods{"HEAD", "GET"} : Methods{"HEAD"};
            if (named && digest == nowhere) methods = {"GET"};
            EXPECT_EQ(asked(1), methods) << named;
            wait(1min);
        }
    }
    for (const auto& digest : {image_here, content.make_manifest({blob(10, "")})}) {
        asked(1);
        manifest(digest.text(), false, "evil/app");
        EXPECT_EQ(asked(1), Methods{"HEAD"});
    }
}

TEST_F(GateTest, what_is_private_of_another_upstream_is_asked_for_as_if_it_were_not_here) {
    with_login(0);
    boot();
    const auto here = blob(10 * kKib), nowhere = blob(10 * kKib, "");
    read(here);
    EXPECT_EQ(machine->metadata().find_blob(here)->private_of, "r0");
    content.put_blob(1, "lab/app", here);
    content.put_blob(1, "lab/app", nowhere);
    for (const auto& digest : {here, nowhere}) {
        asked(1);
        EXPECT_TRUE(whole(digest, *read(digest, {}, {}, "evil/app")));
        EXPECT_EQ(asked(1), (Methods{"HEAD", "GET"}));
    }
}

TEST_F(GateTest, private_bytes_are_proved_by_bytes_elsewhere_and_are_stored_once) {
    with_login(0);
    boot();
    const auto layer = blob(100 * kKib);
    read(layer);
    content.put_blob(1, "lab/app", layer);
    name(layer, "evil/app");
    asked(1);
    const auto used = machine->space().used();
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "evil/app")));
    EXPECT_EQ(asked(1), Methods{"GET"});
    EXPECT_EQ(machine->space().used(), used);
    EXPECT_EQ(machine->metadata().find_blob(layer)->private_of, "") << "it came to nobody";
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "evil/app")));
    EXPECT_TRUE(asked(1).empty()) << "it is linked now";
}

TEST_F(GateTest, within_one_upstream_a_head_proves_what_came_with_a_login) {
    with_login(0);
    boot();
    const auto layer = blob(10 * kKib);
    read(layer);
    content.put_blob(0, "team/same", layer);
    name(layer, "local/same");
    asked(0);
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "local/same")));
    EXPECT_EQ(asked(0), Methods{"HEAD"});
}

TEST_F(GateTest, a_part_of_a_blob_is_no_claim_to_the_private_manifest_of_that_digest) {
    with_login(0);
    boot();
    for (const bool comes_first : {true, false}) {
        const auto image = tagged({blob(100), blob(1000)});
        // It says that it has a blob of this digest, and gives whatever bytes.
        content.blobs[image] = std::make_shared<const std::string>(10 * kKib, 'x');
        content.put_blob(1, "lab/app", image);
        internet.given(image).damaged = true;
        if (!comes_first) ASSERT_TRUE(manifest("v1"));
        read(image, {{0, 9}}, {}, "evil/app");
        if (comes_first) ASSERT_TRUE(manifest(image.text()));
        EXPECT_FALSE(manifest(image.text(), false, "evil/app")) << comes_first;
        wait(10min);
    }
}

TEST_F(GateTest, an_upstream_that_says_yes_to_every_head_gets_nobody_anothers_private_bytes) {
    with_login(0);
    boot();
    const auto layer = blob(10 * kKib);
    const auto private_image = tagged({blob(100), layer});
    manifest("v1");
    read(layer);
    // It has them by name, tells their sizes and types, and has none of the bytes.
    content.put_blob(1, "lab/app", layer);
    content.put(1, "lab/app", private_image);
    content.tag(1, "lab/app", "v1", private_image, clock.now());
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        const bool lie = ask.registry == 1 && ask.method == "GET" &&
                         (ask.what == What::blob || ask.what == What::manifest);
        return lie ? Fault{Fault::Kind::absent, 0} : Fault{};
    };
    EXPECT_EQ(head_fails(layer, "evil/app"), std::nullopt) << "that is its own word";
    EXPECT_TRUE(manifest("v1", true, "evil/app"));
    EXPECT_TRUE(read(layer, {}, {}, "evil/app")->failed);
    EXPECT_TRUE(read(layer, {{0, 9}}, {}, "evil/app")->failed);
    EXPECT_FALSE(manifest(private_image.text(), false, "evil/app"));
    EXPECT_FALSE(manifest("v1", false, "evil/app"));
    EXPECT_FALSE(machine->cache().blob_now(machine->target("evil/app"), layer));
}

TEST_F(GateTest, a_private_fetch_that_is_under_way_is_not_joined_from_another_upstream) {
    with_login(0);
    mirror().bytes_per_second = 64 * kKib;
    boot();
    const auto layer = blob(300 * kKib);
    content.put_blob(1, "lab/app", layer);
    const auto all = start(layer);
    until([&] { return all->bytes.size() > 10 * kKib; });
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        return ask.registry == 1 && ask.method == "GET" ? Fault{Fault::Kind::absent, 0} : Fault{};
    };
    EXPECT_TRUE(read(layer, {}, {}, "evil/app")->failed);
    finish(*all);
    EXPECT_TRUE(whole(layer, *all));
}

TEST_F(GateTest, a_fetch_that_another_upstream_feeds_does_not_get_private_bytes) {
    with_login(0);
    boot();
    const auto layer = blob(300 * kKib);
    content.put_blob(1, "lab/app", layer);
    // Its head promises the blob, and nothing follows.
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        return ask.registry == 1 && ask.method == "GET" ? Fault{Fault::Kind::stall, 0} : Fault{};
    };
    const auto bait = start(layer, {}, {}, "evil/app");
    wait(100ms);
    const auto reading = read(layer);
    EXPECT_TRUE(whole(layer, *reading));
    EXPECT_TRUE(bait->bytes.empty());
    finish(*bait);
    EXPECT_FALSE(bait->complete);
}

TEST_F(GateTest, a_link_from_before_proves_nothing_of_what_comes_with_a_login) {
    with_login(0);
    boot();
    const auto layer = blob(300 * kKib);
    content.put_blob(1, "lab/app", layer);
    // A part that another upstream gave of it, of the right length.
    EXPECT_TRUE(read(layer, {{0, 9}}, {}, "evil/app")->complete);
    EXPECT_TRUE(whole(layer, *read(layer)));
    EXPECT_FALSE(machine->metadata().linked("evil/app", layer));
    EXPECT_TRUE(machine->metadata().linked(kLocal, layer));
}

TEST_F(GateTest, a_head_of_another_length_is_no_proof_and_the_bytes_decide) {
    boot();
    const auto layer = blob(10 * kKib);
    read(layer);
    content.put_blob(0, "team/same", layer);
    name(layer, "local/same");
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        return ask.method == "HEAD" ? Fault{Fault::Kind::more_length, 7} : Fault{};
    };
    asked(0);
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "local/same")));
    EXPECT_EQ(asked(0), (Methods{"HEAD", "GET"}));
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "local/same")));
    EXPECT_TRUE(asked(0).empty());
}

TEST_F(GateTest, a_layer_whose_head_is_denied_comes_by_get_where_its_manifest_names_it) {
    boot();
    const auto layer = blob(10 * kKib);
    read(layer);
    content.put_blob(0, "team/same", layer);
    name(layer, "local/same");
    internet.fault = [](const sim::Ask& ask, uint64_t) {
        return ask.method == "HEAD" ? Fault{Fault::Kind::absent, 0} : Fault{};
    };
    asked(0);
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "local/same")));
    EXPECT_EQ(asked(0), (Methods{"HEAD", "GET"}));
    EXPECT_TRUE(whole(layer, *read(layer, {}, {}, "local/same")));
    EXPECT_TRUE(asked(0).empty());
}

TEST_F(GateTest, a_tag_is_a_name_and_its_head_a_proof_of_public_bytes_only) {
    boot();
    const auto digest = tagged({blob(100), blob(200)});
    manifest("v1");
    content.tag(0, "team/same", "v1", digest, clock.now());
    asked(0);
    ASSERT_TRUE(manifest("v1", true, "local/same"));
    ASSERT_TRUE(manifest("v1", false, "local/same")->manifest->bytes);
    ASSERT_TRUE(manifest(digest.text(), false, "local/same")->manifest->bytes);
    EXPECT_EQ(asked(0), Methods{"HEAD"});
}

TEST_F(GateTest, proofs_of_many_clients_are_one_head) {
    boot();
    const auto layer = blob(10 * kKib);
    read(layer);
    content.put_blob(0, "team/same", layer);
    asked(0);
    std::vector<std::shared_ptr<Reading>> all;
    for (int i = 0; i < 10; ++i) all.push_back(start(layer, {}, {}, "local/same"));
    for (const auto& reading : all) finish(*reading);
    for (const auto& reading : all) EXPECT_TRUE(whole(layer, *reading));
    EXPECT_EQ(asked(0), Methods{"HEAD"});
}

TEST_F(GateTest, what_is_linked_asks_nobody_and_what_is_not_is_refused_while_the_upstream_is_down) {
    boot();
    const auto layer = blob(10 * kKib);
    tagged({blob(100), layer});
    manifest("v1");
    read(layer);
    content.put_blob(0, "team/same", layer);
    name(layer, "local/same");
    mirror().mood = Mood::refuses;
    EXPECT_TRUE(whole(layer, *read(layer)));
    EXPECT_EQ(read(layer, {}, {}, "local/same")->failed, Kind::upstream_unreachable);
    restart();
    EXPECT_TRUE(whole(layer, *read(layer)));
    EXPECT_TRUE(manifest("v1"));
}

TEST_F(GateTest, a_manifest_whose_bytes_the_database_has_changed_is_fetched_again) {
    boot();
    const auto digest = tagged({blob(100), blob(200)});
    manifest("v1");
    meta::ManifestRow wrong = *machine->metadata().find_manifest(digest);
    wrong.bytes[10] = static_cast<char>(wrong.bytes[10] ^ 1);
    machine->metadata().put_manifest(wrong, kLocal, {}, "");
    restart();
    for (const std::string& reference : {std::string("v1"), digest.text()}) {
        mirror().mood = Mood::refuses;
        EXPECT_FALSE(manifest(reference));
        EXPECT_NE(failed, Kind::manifest_unknown);
        mirror().mood = Mood::well;
        wait(10s);
    }
    const auto view = manifest(digest.text());
    ASSERT_TRUE(view);
    EXPECT_EQ(*view->manifest->bytes, *content.manifests.at(digest).bytes);
    EXPECT_EQ(machine->metadata().find_manifest(digest)->bytes,
              *content.manifests.at(digest).bytes);
}

}  // namespace
}  // namespace weir::cache
