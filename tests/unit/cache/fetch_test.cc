// The promises of design section 2, each by itself, on a clock that stands still until told.
#include "fetch_world.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<FakeOrigin> origin(const std::string& key, const std::string& content) {
    return std::make_shared<FakeOrigin>(key, content);
}

TEST(Fetch, a_reader_that_joins_late_gets_every_byte_in_order) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto hub = origin("hub", content);
    auto fetch = w.fetch(digest_of(content), {hub});
    w.run(20ms);
    std::string late;
    w.read(fetch, 0, content.size(), &late);
    w.run(1s);
    EXPECT_EQ(late, content);
    EXPECT_TRUE(w.stored(digest_of(content)));
}

TEST(Fetch, thirty_two_readers_cause_one_transfer) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto hub = origin("hub", content);
    std::vector<std::string> readers(32);
    for (auto& into : readers) {
        w.read(w.fetch(digest_of(content), {hub}), 0, content.size(), &into);
        w.run(1ms);
    }
    w.run(1s);
    for (const auto& into : readers) EXPECT_EQ(into, content);
    EXPECT_EQ(hub->requests.size(), 1u);
    EXPECT_EQ(hub->sent, content.size());
}

TEST(Fetch, a_client_that_leaves_does_not_stop_it) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto hub = origin("hub", content);
    w.fetch(digest_of(content), {hub}).reset();
    w.run(1s);
    EXPECT_TRUE(w.stored(digest_of(content)));
}

TEST(Fetch, a_cut_is_taken_up_where_it_broke) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto hub = origin("hub", content);
    hub->cut_after = 20'000;
    hub->cut_once = true;
    std::string reader;
    w.read(w.fetch(digest_of(content), {hub}), 0, content.size(), &reader);
    w.run(1s);
    EXPECT_EQ(reader, content);
    ASSERT_EQ(hub->requests.size(), 2u);
    EXPECT_EQ(hub->requests[1].first, 20'000u);
    EXPECT_EQ(hub->sent, content.size());
}

TEST(Fetch, a_stalled_mirror_is_left_for_the_next) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto slow = origin("slow", content);
    auto good = origin("good", content);
    slow->stall_after = 10'000;
    std::string reader;
    w.read(w.fetch(digest_of(content), {slow, good}), 0, content.size(), &reader);
    w.run(1s);
    EXPECT_EQ(reader, content);
    ASSERT_EQ(good->requests.size(), 1u);
    EXPECT_EQ(good->requests[0].first, 10'000u);
}

TEST(Fetch, the_last_byte_of_a_wrong_blob_is_never_given) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto bad_content = content;
    bad_content[25'000] ^= 1;
    auto hub = origin("hub", bad_content);
    std::string reader;
    w.read(w.fetch(digest_of(content), {hub}), 0, content.size(), &reader);
    w.run(1s);
    const std::string end = "<upstream_bad>";
    ASSERT_TRUE(reader.ends_with(end));
    const std::string given = reader.substr(0, reader.size() - end.size());
    EXPECT_FALSE(given.empty());
    EXPECT_LT(given.size(), content.size());
    EXPECT_TRUE(bad_content.starts_with(given));
    EXPECT_FALSE(w.stored(digest_of(content)));
    EXPECT_FALSE(w.metadata->find_staging(digest_of(content)));
    EXPECT_EQ(hub->reported, 1);
}

TEST(Fetch, after_a_wrong_blob_the_next_request_is_healed_by_the_second_mirror) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto bad_content = content;
    bad_content[1] ^= 1;
    auto bad = origin("bad", bad_content);
    auto good = origin("good", content);
    std::string first, second;
    w.read(w.fetch(digest_of(content), {bad, good}), 0, content.size(), &first);
    w.run(1s);
    EXPECT_NE(first, content);
    w.read(w.fetch(digest_of(content), {bad, good}), 0, content.size(), &second);
    w.run(1s);
    EXPECT_EQ(second, content);
    EXPECT_EQ(bad->requests.size(), 1u);
}

TEST(Fetch, a_wrong_blob_that_nobody_saw_is_replaced_within_the_same_fetch) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto bad_content = content;
    bad_content[1] ^= 1;
    w.fetch(digest_of(content), {origin("bad", bad_content), origin("good", content)});
    w.run(1s);
    EXPECT_TRUE(w.stored(digest_of(content)));
}

TEST(Fetch, a_cold_range_fetches_its_chunk_and_the_whole_later_only_the_rest) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto hub = origin("hub", content);
    std::string range, whole;
    w.read(w.fetch(digest_of(content), {hub}, {{.first = 49'200, .last = 49'999}}), 49'200, 800,
           &range);
    w.run(1s);
    EXPECT_EQ(range, content.substr(49'200));
    EXPECT_LE(hub->sent, w.options.chunk_bytes);
    EXPECT_FALSE(w.stored(digest_of(content)));
    w.read(w.fetch(digest_of(content), {hub}), 0, content.size(), &whole);
    w.run(1s);
    EXPECT_EQ(whole, content);
    EXPECT_EQ(hub->sent, content.size());
}

TEST(Fetch, a_reader_far_ahead_gets_a_transfer_of_its_own_and_no_byte_comes_twice) {
    FetchWorld w;
    const auto content = content_of(200'000);
    auto hub = origin("hub", content);
    auto fetch = w.fetch(digest_of(content), {hub});
    std::string whole, ahead;
    w.read(fetch, 0, content.size(), &whole);
    w.run(5ms);
    w.fetch(digest_of(content), {hub}, {{.first = 150'000, .last = 150'999}});
    w.read(fetch, 150'000, 1'000, &ahead);
    w.run(20ms);
    EXPECT_EQ(ahead, content.substr(150'000, 1'000));
    w.run(1s);
    EXPECT_EQ(whole, content);
    EXPECT_LE(hub->sent, content.size() + 2 * hub->piece);
}

TEST(Fetch, segments_arrive_in_order_to_every_reader_and_sooner) {
    FetchWorld w;
    const auto content = content_of(200'000);
    auto hub = origin("hub", content);
    hub->policy_value.segments = 4;
    hub->policy_value.segment_bytes = 20'000;
    hub->policy_value.segment_min_bytes = 50'000;
    std::string reader;
    w.read(w.fetch(digest_of(content), {hub}), 0, content.size(), &reader);
    w.run(100ms);  // one connection needs 200 ms
    EXPECT_EQ(reader, content);
    EXPECT_EQ(hub->sent, content.size());
}

TEST(Fetch, an_upstream_without_ranges_serves_ranges_all_the_same) {
    FetchWorld w;
    const auto content = content_of(50'000);
    auto hub = origin("hub", content);
    hub->ignore_ranges = true;
    std::string range;
    w.read(w.fetch(digest_of(content), {hub}, {{.first = 30'000, .last = 30'099}}), 30'000, 100,
           &range);
    w.run(1s);
    EXPECT_EQ(range, content.substr(30'000, 100));
}

TEST(Fetch, a_full_disk_is_no_space_and_leaves_nothing_reserved) {
    FetchWorld w;
    w.space.set_limits({.max_bytes = 10'000, .min_free_bytes = 0});
    const auto content = content_of(50'000);
    std::string reader;
    w.read(w.fetch(digest_of(content), {origin("hub", content)}), 0, content.size(), &reader);
    w.run(1s);
    EXPECT_EQ(reader, "<no_space>");
    EXPECT_FALSE(w.stored(digest_of(content)));
}

TEST(Fetch, where_room_can_be_made_it_is_made_and_the_same_origin_asked_again) {
    FetchWorld w;
    w.space.set_limits({.max_bytes = 60'000, .min_free_bytes = 0});
    w.space.add(45'000);
    int asked = 0;
    w.context.make_room = [&](uint64_t) -> Task<bool> {
        ++asked;
        w.space.release(45'000);
        co_return true;
    };
    const auto content = content_of(50'000);
    std::string reader;
    w.read(w.fetch(digest_of(content), {origin("hub", content)}), 0, content.size(), &reader);
    w.run(1s);
    EXPECT_EQ(reader, content);
    EXPECT_GE(asked, 1);
}

TEST(Fetch, a_blob_that_is_not_admitted_is_served_and_not_kept) {
    FetchWorld w;
    w.context.admits = [](const oci::Digest&, uint64_t) { return false; };
    const auto content = content_of(50'000);
    std::string reader;
    w.read(w.fetch(digest_of(content), {origin("hub", content)}), 0, content.size(), &reader);
    w.run(1s);
    EXPECT_EQ(reader, content);
    EXPECT_FALSE(w.stored(digest_of(content)));
    EXPECT_EQ(w.space.used(), 0u);
}

TEST(Fetch, a_missing_blob_is_unknown_and_a_silent_upstream_is_not) {
    FetchWorld w;
    const auto content = content_of(10);
    auto hub = origin("hub", content);
    std::string reader;
    hub->outcome = upstream::Outcome::not_found;
    w.read(w.fetch(digest_of(content), {hub}), 0, 10, &reader);
    w.run(20s);
    EXPECT_EQ(reader, "<blob_unknown>");
    reader.clear();
    hub->outcome = upstream::Outcome::unreachable;
    w.read(w.fetch(digest_of(content), {hub}), 0, 10, &reader);
    w.run(20s);
    EXPECT_EQ(reader, "<upstream_unreachable>");
}

TEST(Fetch, an_empty_blob_is_verified_and_stored) {
    FetchWorld w;
    w.fetch(digest_of(""), {origin("hub", "")});
    w.run(1s);
    EXPECT_TRUE(w.stored(digest_of("")));
}

}  // namespace
}  // namespace weir::cache
