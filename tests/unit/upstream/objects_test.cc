// The promises of upstream/upstream.h about manifests, blobs and lists: what is asked and what is
// made of the answer.
#include "unit/upstream/world.h"
#include "upstream/content_range.h"

namespace weir::upstream {
namespace {

using client::End;

class Objects : public World {
protected:
    Objects() {
        http.handle([this](const client::Call&) { return said; });
    }
    FakeAnswer said = manifest_answer();
};

TEST_F(Objects, a_manifest_is_asked_for_in_all_types_and_comes_as_it_is) {
    const auto got = manifest();
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.bytes, kManifest);
    EXPECT_EQ(got.media_type, "application/vnd.oci.image.manifest.v1+json");
    EXPECT_EQ(got.digest, manifest_digest());
    EXPECT_EQ(got.size, kManifest.size());
    ASSERT_EQ(http.calls().size(), 1u);
    const auto& call = http.calls()[0];
    EXPECT_EQ(call.method, "GET");
    EXPECT_EQ(call.url, "https://registry.example/v2/library/debian/manifests/12");
    const std::string accept = FakeHttp::field(call, "Accept");
    for (const auto type :
         {oci::kOciManifest, oci::kOciIndex, oci::kDockerManifest, oci::kDockerList})
        EXPECT_NE(accept.find(type), std::string::npos) << type;
    EXPECT_TRUE(accept.ends_with(", */*;q=0.1")) << accept;
    EXPECT_EQ(FakeHttp::field(call, "Accept-Encoding"), "identity");
    EXPECT_FALSE(call.bulk);
    EXPECT_EQ(call.max_body_bytes, 4u << 20);
}

TEST_F(Objects, a_mirrors_path_stands_before_v2) {
    options.mirrors = {{"https://mirror.example/artifactory/hub", {}}};
    manifest();
    EXPECT_EQ(http.calls()[0].url,
              "https://mirror.example/artifactory/hub/v2/library/debian/manifests/12");
}

TEST_F(Objects, a_head_brings_digest_and_size_without_a_body) {
    const auto got = manifest(true);
    EXPECT_EQ(http.calls()[0].method, "HEAD");
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.bytes, "");
    EXPECT_EQ(got.digest, manifest_digest());
    EXPECT_EQ(got.size, kManifest.size());
    EXPECT_EQ(http.calls().size(), 1u);
}

// An absent field has no value: every way in which a HEAD can leave something out.
TEST_F(Objects, a_head_counts_only_with_digest_length_and_a_manifests_type) {
    const std::string type(oci::kOciManifest), sum = manifest_digest().text();
    const auto head = [](std::string content_type, std::string digest) {
        return answer(200, kManifest,
                      {{"Content-Type", content_type}, {"Docker-Content-Digest", digest}});
    };
    FakeAnswer no_length = head(type, sum);
    no_length.has_length = false;
    FakeAnswer zero = head(type, sum);
    zero.fields.emplace_back("Content-Length", "0");
    FakeAnswer huge = head(type, sum);
    huge.fields.emplace_back("Content-Length", "99999999999");
    const std::string schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (const auto& lacking :
         {answer(200, kManifest, {{"Content-Type", type}}),
          answer(200, kManifest, {{"Docker-Content-Digest", sum}}), head(type, "sha256:x"),
          head("a/b", sum), head("text/plain", sum), head("application/json", sum),
          head(schema1, sum), no_length, zero, huge, answer(405), answer(501)}) {
        const size_t before = http.calls().size();
        http.handle([&](const client::Call& call) {
            return call.method == "HEAD" ? lacking : manifest_answer();
        });
        const auto got = manifest(true);
        EXPECT_EQ(got.outcome, Outcome::ok);
        EXPECT_EQ(got.bytes, kManifest);
        EXPECT_EQ(got.size, kManifest.size());
        EXPECT_EQ(http.calls().size(), before + 2);
    }
}

TEST_F(Objects, a_head_by_digest_that_tells_of_another_is_asked_again_as_get) {
    http.handle([&](const client::Call& call) {
        auto made = manifest_answer();
        if (call.method == "HEAD") made.fields[1].second = kDigestText;
        return made;
    });
    const auto got = finish(start_manifest(true, 10s, "a", manifest_digest().text()));
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.bytes, kManifest);
}

TEST_F(Objects, what_a_client_accepts_is_asked_for_after_what_weir_knows) {
    finish(start<ManifestAnswer>([this]() {
        return up().manifest("a", oci::Reference("1"), false, clock.now() + 10s, "x/y, x/z");
    }));
    const std::string accept = FakeHttp::field(http.calls()[0], "Accept");
    EXPECT_TRUE(accept.ends_with(", x/y, x/z, */*;q=0.1")) << accept;
}

TEST_F(Objects, an_upstream_that_counts_heads_is_asked_by_get) {
    options.use_head = false;
    EXPECT_EQ(manifest(true).bytes, kManifest);
    EXPECT_EQ(http.calls().size(), 1u);
    EXPECT_EQ(http.calls()[0].method, "GET");
}

TEST_F(Objects, a_missing_manifest_is_not_found_and_head_does_not_ask_twice) {
    said = answer(404);
    EXPECT_EQ(manifest(true).outcome, Outcome::not_found);
    EXPECT_EQ(http.calls().size(), 1u);
    EXPECT_EQ(blob_head().outcome, Outcome::not_found);
    EXPECT_EQ(http.calls().size(), 2u);
}

TEST_F(Objects, what_a_head_rejects_the_get_decides_and_other_refusals_are_final) {
    for (const int status : {400, 406, 410, 412, 451}) {
        said = answer(status);
        const size_t before = http.calls().size();
        EXPECT_NE(manifest(true).outcome, Outcome::ok);
        EXPECT_EQ(http.calls().size(), before + 2) << status;
        http.handle([&](const client::Call& call) {
            return call.method == "HEAD" ? said : manifest_answer();
        });
        EXPECT_EQ(manifest(true).outcome, Outcome::ok) << status;
        http.handle([&](const client::Call& call) {
            return call.method == "HEAD" ? said
                                         : answer(206, "0", {{"Content-Range", "bytes 0-0/7"}});
        });
        EXPECT_EQ(blob_head().size, 7u) << status;
        http.handle([this](const client::Call&) { return said; });
    }
    for (const int status : {401, 403, 429, 500}) {
        said = answer(status);
        const size_t before = http.calls().size();
        EXPECT_NE(manifest(true).outcome, Outcome::ok);
        EXPECT_EQ(http.calls().size(), before + 1) << status;
        upstream.reset();
    }
}

TEST_F(Objects, each_status_and_end_has_its_outcome) {
    struct Case {
        FakeAnswer said;
        Outcome outcome;
    };
    FakeAnswer cut = manifest_answer();
    cut.end = End::cut;
    FakeAnswer stalled = manifest_answer();
    stalled.end = End::stalled;
    FakeAnswer cut_error = answer(404, "half");
    cut_error.end = End::cut;
    for (const auto& [what, outcome] :
         {Case{answer(404), Outcome::not_found}, Case{answer(401), Outcome::refused},
          Case{answer(403), Outcome::refused}, Case{answer(429), Outcome::throttled},
          Case{answer(503, "", {{"Retry-After", "1"}}), Outcome::throttled},
          Case{answer(503), Outcome::failed}, Case{answer(500), Outcome::failed},
          Case{answer(418), Outcome::rejected}, Case{answer(301), Outcome::failed},
          Case{answer(204), Outcome::failed}, Case{cut, Outcome::failed},
          Case{stalled, Outcome::timeout}, Case{cut_error, Outcome::not_found},
          Case{broken(End::unreachable), Outcome::unreachable},
          Case{broken(End::timeout), Outcome::timeout},
          Case{broken(End::forbidden), Outcome::forbidden},
          Case{broken(End::protocol), Outcome::failed},
          Case{broken(End::cancelled), Outcome::unreachable}}) {
        said = what;
        const auto got = manifest();
        EXPECT_EQ(got.outcome, outcome) << what.status << " " << client::end_name(what.end);
        EXPECT_FALSE(got.detail.empty());
        EXPECT_TRUE(is_no_answer(got.outcome) || got.outcome == Outcome::not_found);
        upstream.reset();
    }
}

TEST_F(Objects, a_manifest_over_the_limit_is_too_large) {
    options.max_manifest_bytes = 4;
    EXPECT_EQ(manifest().outcome, Outcome::too_large);
}

TEST_F(Objects, a_redirected_manifest_is_followed) {
    http.handle([](const client::Call& call) {
        return call.url.find("pkg.example") == std::string::npos
                   ? answer(307, "", {{"Location", "https://eu.pkg.example/v2/k8s/manifests/12"}})
                   : manifest_answer();
    });
    EXPECT_EQ(manifest().outcome, Outcome::ok);
}

TEST_F(Objects, what_an_error_says_is_told_short_and_clean) {
    said = answer(500, R"({"errors":[{"code":"UNKNOWN","message":"oh\u001b[31m no)" +
                           std::string(500, 'x') + "\"}]}");
    const auto got = manifest();
    EXPECT_NE(got.detail.find("registry.example answers 500, UNKNOWN: oh [31m no"),
              std::string::npos)
        << got.detail;
    EXPECT_LT(got.detail.size(), 300u);
}

// Lists.

TEST_F(Objects, tags_come_with_their_next_page) {
    said = answer(200, R"({"tags":["1"]})",
                  {{"Content-Type", "application/json; charset=utf-8"},
                   {"Link", "</v2/library/debian/tags/list?n=1&last=1>; rel=\"next\""}});
    const auto got = list(ListKind::tags, "", "n=1");
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.body, R"({"tags":["1"]})");
    EXPECT_EQ(got.content_type, "application/json");
    EXPECT_EQ(got.next_query, "n=1&last=1");
    EXPECT_EQ(http.calls()[0].url, "https://registry.example/v2/library/debian/tags/list?n=1");
}

TEST_F(Objects, referrers_are_asked_by_digest_and_a_missing_api_is_not_found) {
    said = answer(
        200, "{}",
        {{"Content-Type", std::string(oci::kOciIndex)}, {"OCI-Filters-Applied", "artifactType"}});
    const auto got = list(ListKind::referrers, kDigestText, "artifactType=a%2Fb");
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_TRUE(got.filters_applied);
    EXPECT_EQ(http.calls()[0].url, "https://registry.example/v2/library/debian/referrers/" +
                                       kDigestText + "?artifactType=a%2Fb");
    for (const auto& none : {answer(404), answer(400), answer(405), answer(501),
                             answer(200, "<html>", {{"Content-Type", "text/html"}})}) {
        said = none;
        EXPECT_EQ(list(ListKind::referrers, kDigestText).outcome, Outcome::not_found)
            << none.status;
    }
}

// Sizes.

TEST_F(Objects, a_blobs_size_comes_from_head_without_its_bytes) {
    said = answer(200, "0123456789");
    EXPECT_EQ(blob_head().size, 10u);
    EXPECT_EQ(http.calls()[0].method, "HEAD");
    EXPECT_EQ(http.calls()[0].url,
              "https://registry.example/v2/library/debian/blobs/" + kDigestText);
}

TEST_F(Objects, where_head_does_not_do_one_byte_tells_the_size) {
    FakeAnswer no_length = answer(200);
    no_length.has_length = false;
    for (const auto& lacking : {no_length, answer(405)}) {
        http.handle([&](const client::Call& call) {
            if (call.method == "HEAD") return lacking;
            EXPECT_EQ(FakeHttp::field(call, "Range"), "bytes=0-0");
            return answer(206, "0", {{"Content-Range", "bytes 0-0/4711"}});
        });
        const auto got = blob_head();
        EXPECT_EQ(got.outcome, Outcome::ok) << got.detail;
        EXPECT_EQ(got.size, 4711u);
    }
    // A signed address of the CDN that is good for GET alone.
    http.handle([](const client::Call& call) {
        if (call.url.find("cdn") == std::string::npos)
            return answer(307, "", {{"Location", "https://cdn.example/x"}});
        return call.method == "HEAD" ? answer(403) : answer(200, std::string(99, 'x'));
    });
    EXPECT_EQ(blob_head().size, 99u);
    http.handle([](const client::Call& call) {
        return call.method == "HEAD" ? answer(405)
                                     : answer(416, "", {{"Content-Range", "bytes */0"}});
    });
    const auto empty = finish(start<BlobHeadAnswer>([this]() {
        return up().blob_head("a", crypto::digest_of(oci::Digest::Algorithm::sha256, ""),
                              clock.now() + 10s);
    }));
    EXPECT_EQ(empty.outcome, Outcome::ok);
    EXPECT_EQ(empty.size, 0u);
}

TEST_F(Objects, a_blob_whose_size_nobody_tells_is_there_all_the_same) {
    FakeAnswer no_length = answer(200);
    no_length.has_length = false;
    FakeAnswer zero = answer(200);
    for (const auto& head : {no_length, zero})
        for (const auto& get :
             {no_length, zero, answer(400), answer(416, "", {{"Content-Range", "bytes */0"}}),
              answer(206, "0", {{"Content-Range", "bytes 0-0/*"}}), answer(500)}) {
            http.handle(
                [&](const client::Call& call) { return call.method == "HEAD" ? head : get; });
            const auto got = blob_head();
            EXPECT_EQ(got.outcome, Outcome::ok) << got.detail;
            EXPECT_EQ(got.size, std::nullopt) << get.status;
            upstream.reset();
        }
}

// Blobs.

TEST_F(Objects, a_whole_blob_arrives_in_bulk_with_its_size) {
    said = answer(200, "0123456789");
    const auto sink = std::make_shared<Bytes>();
    const auto got = blob(sink);
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.end, TransferEnd::complete);
    EXPECT_EQ(got.bytes, 10u);
    EXPECT_EQ(sink->text, "0123456789");
    EXPECT_EQ(sink->head->first, 0u);
    EXPECT_EQ(sink->head->whole_size, 10u);
    EXPECT_TRUE(http.calls()[0].bulk);
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "Range"), "");
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "Accept-Encoding"), "identity");
    EXPECT_TRUE(handle != nullptr);
}

TEST_F(Objects, a_range_arrives_from_its_first_byte) {
    said = answer(206, "3456", {{"Content-Range", "bytes 3-6/10"}});
    const auto sink = std::make_shared<Bytes>();
    auto got = blob(sink, {3, 6});
    EXPECT_EQ(got.end, TransferEnd::complete) << got.detail;
    EXPECT_EQ(sink->head->first, 3u);
    EXPECT_EQ(sink->head->whole_size, 10u);
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "Range"), "bytes=3-6");
    said = answer(206, "3456789", {{"Content-Range", "bytes 3-9/10"}});
    EXPECT_EQ(blob(sink, {3, std::nullopt}).end, TransferEnd::complete);
    EXPECT_EQ(FakeHttp::field(http.calls()[1], "Range"), "bytes=3-");
    EXPECT_EQ(blob(sink, {3, 99}).end, TransferEnd::complete)
        << "the end of the blob is the end of the range";
}

TEST_F(Objects, a_mirror_that_ignores_ranges_says_that_it_starts_at_zero) {
    said = answer(200, "0123456789");
    const auto sink = std::make_shared<Bytes>();
    const auto got = blob(sink, {3, 6});
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(sink->head->first, 0u);
    EXPECT_EQ(sink->text, "0123456789");
}

TEST_F(Objects, a_part_that_was_not_asked_for_never_reaches_the_sink) {
    for (const char* range :
         {"", "bytes 0-6/10", "bytes 4-6/10", "bytes 3-7/10", "bytes 3-6/6", "bytes 6-3/10",
          "bytes */10", "lines 3-6/10", "bytes 3-6", "bytes 3-5/10"}) {
        said = answer(206, "3456", {{"Content-Range", range}});
        const auto sink = std::make_shared<Bytes>();
        const auto got = blob(sink, {3, 6});
        EXPECT_EQ(got.outcome, Outcome::failed) << range;
        EXPECT_EQ(got.end, TransferEnd::none) << range;
        EXPECT_FALSE(sink->head) << range;
        upstream.reset();
    }
}

TEST_F(Objects, less_than_was_asked_for_is_a_cut) {
    said = answer(206, "34", {{"Content-Range", "bytes 3-4/10"}});
    EXPECT_EQ(blob(std::make_shared<Bytes>(), {3, 6}).end, TransferEnd::cut);
    said = answer(206, "34", {{"Content-Range", "bytes 3-6/10"}});
    said.has_length = false;
    EXPECT_EQ(blob(std::make_shared<Bytes>(), {3, 6}).end, TransferEnd::cut);
    said = answer(200, "0123");
    said.end = End::cut;
    const auto got = blob(std::make_shared<Bytes>());
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.end, TransferEnd::cut);
    EXPECT_EQ(got.bytes, 4u);
}

TEST_F(Objects, more_than_was_announced_is_a_failure) {
    said = answer(206, "3456789", {{"Content-Range", "bytes 3-6/10"}});
    said.has_length = false;
    const auto sink = std::make_shared<Bytes>();
    EXPECT_EQ(blob(sink, {3, 6}).outcome, Outcome::failed);
    EXPECT_EQ(sink->text, "");
}

TEST_F(Objects, a_range_beyond_the_end_tells_the_size_and_is_no_fault_of_the_mirror) {
    options.breaker_failures = 1;
    said = answer(416, "", {{"Content-Range", "bytes */10"}});
    const auto got = blob(std::make_shared<Bytes>(), {20, 30});
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.end, TransferEnd::none);
    EXPECT_EQ(got.beyond, 10u);
    said = answer(416, "");
    EXPECT_NE(blob(std::make_shared<Bytes>(), {20, 30}).outcome, Outcome::ok);
    EXPECT_TRUE(up().usable(0));
}

TEST_F(Objects, a_suffix_is_asked_for_as_one_and_must_be_the_end) {
    said = answer(206, "789", {{"Content-Range", "bytes 7-9/10"}});
    const auto sink = std::make_shared<Bytes>();
    upstream::BlobRange range;
    range.suffix = 3;
    EXPECT_EQ(blob(sink, range).end, TransferEnd::complete);
    EXPECT_EQ(FakeHttp::field(http.calls()[0], "Range"), "bytes=-3");
    EXPECT_EQ(sink->head->first, 7u);
    range.suffix = 99;
    said = answer(206, "0123456789", {{"Content-Range", "bytes 0-9/10"}});
    EXPECT_EQ(blob(std::make_shared<Bytes>(), range).end, TransferEnd::complete);
    range.suffix = 3;
    for (const char* wrong : {"bytes 6-8/10", "bytes 8-9/10", "bytes 7-9/*"}) {
        said = answer(206, "678", {{"Content-Range", wrong}});
        EXPECT_EQ(blob(std::make_shared<Bytes>(), range).outcome, Outcome::failed) << wrong;
        upstream.reset();
    }
}

TEST_F(Objects, a_stall_is_told_and_counts_against_the_mirror) {
    options.breaker_failures = 1;
    said = answer(200, "0123");
    said.end = End::stalled;
    EXPECT_EQ(blob(std::make_shared<Bytes>()).end, TransferEnd::stalled);
    EXPECT_FALSE(up().usable(0, "library/debian"));
}

TEST_F(Objects, a_signed_address_is_fetched_anew_for_each_attempt) {
    int signature = 0;
    http.handle([&](const client::Call& call) {
        if (call.url.find("cdn") != std::string::npos) return answer(200, "0123456789");
        return answer(307, "",
                      {{"Location", "https://cdn.example/x?sig=" + std::to_string(++signature)}});
    });
    blob(std::make_shared<Bytes>());
    blob(std::make_shared<Bytes>(), {5, std::nullopt});
    EXPECT_EQ(http.calls_to("sig=1").size(), 1u);
    EXPECT_EQ(http.calls_to("sig=2").size(), 1u);
    EXPECT_EQ(FakeHttp::field(http.calls_to("sig=2")[0], "Range"), "bytes=5-");
}

TEST_F(Objects, a_signed_address_that_has_expired_is_a_failure_not_a_refusal) {
    http.handle([&](const client::Call& call) {
        if (call.url.find("cdn") != std::string::npos) return answer(403);
        return answer(307, "", {{"Location", "https://cdn.example/x?sig=s3cret"}});
    });
    const auto got = blob(std::make_shared<Bytes>());
    EXPECT_EQ(got.outcome, Outcome::failed);
    EXPECT_EQ(got.detail, "cdn.example answers 403");
}

TEST_F(Objects, a_receiver_that_stops_or_throws_does_not_harm_the_mirror) {
    options.breaker_failures = 1;
    said = answer(200, "0123456789");
    auto sink = std::make_shared<Bytes>();
    sink->at_head = client::BodyAction::stop;
    EXPECT_EQ(blob(sink).end, TransferEnd::stopped);
    sink = std::make_shared<Bytes>();
    sink->throws = true;
    const auto got = blob(sink);
    EXPECT_EQ(got.outcome, Outcome::ok);
    EXPECT_EQ(got.end, TransferEnd::stopped);
    EXPECT_EQ(got.detail, "the disk is full");
    EXPECT_TRUE(up().usable(0, "library/debian"));
}

TEST_F(Objects, the_handle_ends_a_blob_before_and_after_its_head) {
    options.breaker_failures = 1;
    said = answer(200, "0123456789");
    for (const bool after : {false, true}) {
        (after ? said.body_delay : said.delay) = 1s;
        const auto pending = start<BlobAnswer>([this]() {
            return up().blob(
                0, "a", digest(), {}, std::make_shared<Bytes>(),
                [this](auto given) { handle = std::move(given); }, clock.now() + 10s);
        });
        settle(100ms);
        handle->cancel();
        settle();
        EXPECT_EQ((*pending)->end, TransferEnd::stopped);
        said.delay = Duration(0);
    }
    EXPECT_TRUE(up().usable(0));
}

TEST_F(Objects, a_handle_that_was_cancelled_at_once_sends_nothing) {
    const auto got = finish(start<BlobAnswer>([this]() {
        return up().blob(
            0, "a", digest(), {}, std::make_shared<Bytes>(), [](auto given) { given->cancel(); },
            clock.now() + 10s);
    }));
    EXPECT_EQ(got.end, TransferEnd::stopped);
}

TEST_F(Objects, the_heads_deadline_ends_a_wait_for_the_head_but_not_a_body) {
    said = answer(200, "0123456789");
    said.delay = 20s;
    options.timeouts.response = 60s;
    const TimePoint before = clock.now();
    const auto got = blob(std::make_shared<Bytes>(), {}, 0, 3s);
    EXPECT_EQ(got.outcome, Outcome::timeout);
    EXPECT_EQ(got.end, TransferEnd::none);
    EXPECT_EQ(clock.now() - before, 3s);
    upstream.reset();
    said.delay = 1s;
    said.body_delay = 60s;
    EXPECT_EQ(blob(std::make_shared<Bytes>(), {}, 0, 3s).end, TransferEnd::complete);
}

TEST(ContentRangeTest, is_read_strictly) {
    const auto range = ContentRange::parse("bytes 3-6/10");
    ASSERT_TRUE(range);
    EXPECT_EQ(range->first, 3u);
    EXPECT_EQ(range->last, 6u);
    EXPECT_EQ(range->whole, 10u);
    EXPECT_EQ(ContentRange::parse("bytes 3-6/*")->whole, std::nullopt);
    EXPECT_FALSE(ContentRange::parse("bytes */10")->satisfied);
    for (const char* bad :
         {"", "bytes", "bytes 3-6", "bytes 6-3/10", "bytes 3-10/10", "bytes -6/10", "bytes 3-/10",
          "bytes */*", "bytes 3-6/x", "bytes 3-6/99999999999999999999"})
        EXPECT_FALSE(ContentRange::parse(bad)) << bad;
}

}  // namespace
}  // namespace weir::upstream
