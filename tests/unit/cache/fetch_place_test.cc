// A fetch's place: in its upstream's share, and only while bytes come or somebody waits for them.
#include "unit/cache/fetch_world.h"

namespace weir::cache {
namespace {

using namespace std::chrono_literals;

class FetchPlace : public ::testing::Test {
protected:
    std::shared_ptr<FakeOrigin> origin(const std::string& upstream, uint64_t piece) {
        auto made = std::make_shared<FakeOrigin>(upstream, content);
        made->piece = piece;
        return made;
    }
    const std::string content = content_of(400'000);
    const oci::Digest digest = digest_of(content);
    FetchWorld w;
};

TEST_F(FetchPlace,
       one_that_crawls_and_that_nobody_reads_is_set_aside_and_the_next_goes_on_from_there) {
    const auto slow = origin("slow", 10);  // 10 KB/s
    const auto fetch = w.fetch(digest, {slow});
    w.run(4s);
    EXPECT_EQ(w.permits.in_use("slow"), 1u);
    w.run(3s);
    EXPECT_EQ(w.permits.in_use(), 0u);
    EXPECT_FALSE(fetch->running());
    EXPECT_FALSE(fetch->failure());
    const auto fast = origin("slow", 10'000);
    const auto next = w.fetch(digest, {fast});
    w.run(2s);
    EXPECT_TRUE(w.stored(digest));
    EXPECT_LT(fast->sent, content.size() - 30'000) << "what had come was kept";
}

TEST_F(FetchPlace, one_that_somebody_reads_keeps_its_place_however_slow) {
    const auto slow = origin("slow", 10);
    const auto fetch = w.fetch(digest, {slow});
    {
        const Fetch::Interest interest(fetch);
        w.run(30s);
        EXPECT_TRUE(fetch->running());
        EXPECT_EQ(w.permits.in_use("slow"), 1u);
    }
    w.run(11s);
    EXPECT_FALSE(fetch->running()) << "the reader has left";
}

TEST_F(FetchPlace, one_that_nobody_reads_and_that_comes_at_a_good_rate_is_finished) {
    w.fetch(digest, {origin("good", 200)});  // 200 KB/s
    w.run(60s);
    EXPECT_TRUE(w.stored(digest));
}

TEST_F(FetchPlace, an_upstream_that_says_nothing_leaves_places_for_another) {
    std::vector<std::shared_ptr<Fetch>> fetches;
    std::vector<std::shared_ptr<Fetch::Interest>> readers;
    for (int i = 0; i < 12; ++i) {
        const auto silent = origin("silent", 1);
        fetches.push_back(w.fetch(digest_of(std::to_string(i)), {silent}));
        readers.push_back(std::make_shared<Fetch::Interest>(fetches.back()));
    }
    w.run(100ms);
    EXPECT_EQ(w.permits.in_use("silent"), 6u) << "three quarters of 8";
    w.fetch(digest, {origin("good", 10'000)});
    w.run(1s);
    EXPECT_TRUE(w.stored(digest));
}

TEST_F(FetchPlace, who_waited_in_vain_is_told_whose_places_are_taken) {
    std::vector<std::shared_ptr<Fetch::Interest>> readers;
    for (int i = 0; i < 6; ++i)
        readers.push_back(std::make_shared<Fetch::Interest>(
            w.fetch(digest_of(std::to_string(i)), {origin("silent", 1)})));
    const auto fetch = w.fetch(digest, {origin("silent", 10'000)});
    std::string why;
    w.spawn([&]() -> Task<> {
        try {
            co_await fetch->head(w.clock.now() + 5s);
        } catch (const Failure& failure) {
            why = failure.what();
        }
    });
    w.run(6s);
    EXPECT_EQ(why,
              fmt::format("upstream silent: {} waits for a place behind others of that upstream",
                          digest.text()));
    w.run(6s);
    ASSERT_TRUE(fetch->failure());
    try {
        std::rethrow_exception(fetch->failure());
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.kind(), Kind::overloaded);
        EXPECT_EQ(std::string(failure.what()),
                  "upstream silent has too many blobs under way for another one: no free place in "
                  "time: 6 are under way and 1 wait");
    }
}

}  // namespace
}  // namespace weir::cache
