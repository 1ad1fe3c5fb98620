// The promises of upstream/health.h: an answer speaks of what was asked, silence of the host.
#include "upstream/health.h"

#include <gtest/gtest.h>

namespace weir::upstream {
namespace {

using namespace std::chrono_literals;

class HealthTest : public ::testing::Test {
protected:
    bool enter(const std::string& name, Purpose purpose = Purpose::manifest) {
        return !health.enter(purpose, name, clock.now(), ticket);
    }
    // false: it was not let through.
    bool ends(const std::string& name, Sign sign, Purpose purpose = Purpose::manifest) {
        if (!enter(name, purpose)) return false;
        health.leave(purpose, name, ticket, sign, clock.now(), "500");
        return true;
    }
    bool usable(const std::string& name, Purpose purpose = Purpose::manifest) const {
        return health.usable(purpose, name, clock.now());
    }
    Health::State state() const { return health.state(clock.now()); }

    SeededRandom random{1};
    ManualClock clock;
    Health health{3, 5000ms, random};
    Health::Ticket ticket;
};

TEST_F(HealthTest, one_repository_can_not_set_the_host_aside_however_it_fails) {
    for (const Sign sign : {Sign::bad, Sign::silent}) {
        health.forget();
        for (int i = 0; i < 100; ++i) {
            ends("sick", sign);
            clock.advance(100ms);
        }
        EXPECT_NE(state(), Health::State::open);
        EXPECT_TRUE(ends("well", Sign::none));
    }
}

TEST_F(HealthTest, a_repository_that_fails_waits_alone_and_comes_back_by_a_probe) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(ends("sick", Sign::bad));
    EXPECT_FALSE(enter("sick"));
    EXPECT_TRUE(usable("sick", Purpose::blob));
    EXPECT_TRUE(usable("well"));
    clock.advance(6s);
    ASSERT_TRUE(enter("sick"));
    const auto probe = ticket;
    EXPECT_FALSE(enter("sick")) << "one at a time";
    health.leave(Purpose::manifest, "sick", probe, Sign::good, clock.now(), "");
    EXPECT_TRUE(ends("sick", Sign::bad));
    EXPECT_TRUE(usable("sick")) << "the count begins anew";
}

TEST_F(HealthTest, failures_of_many_repositories_in_a_row_set_the_host_aside_for_that_purpose) {
    for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(ends(name, Sign::silent));
    EXPECT_EQ(state(), Health::State::open);
    EXPECT_FALSE(usable("well"));
    EXPECT_TRUE(usable("well", Purpose::blob));
    EXPECT_TRUE(usable("well", Purpose::list));
    clock.advance(6s);
    EXPECT_TRUE(ends("well", Sign::good));
    EXPECT_EQ(state(), Health::State::closed);
}

TEST_F(HealthTest, who_has_no_failure_of_its_own_is_let_through_while_the_host_answers_at_all) {
    for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(ends(name, Sign::bad));
    EXPECT_EQ(state(), Health::State::open);
    EXPECT_FALSE(enter("a"));
    std::vector<Health::Ticket> running;
    for (uint32_t i = 0; i < kMaxProbes; ++i) {
        ASSERT_TRUE(enter("well" + std::to_string(i)));
        running.push_back(ticket);
    }
    EXPECT_FALSE(enter("late"));
    health.leave(Purpose::manifest, "well0", running[0], Sign::good, clock.now(), "");
    EXPECT_EQ(state(), Health::State::closed);
    EXPECT_TRUE(enter("late"));
}

TEST_F(HealthTest, a_good_answer_between_failures_starts_the_count_anew) {
    for (int i = 0; i < 20; ++i) {
        ends("repository" + std::to_string(i), i % 3 == 2 ? Sign::good : Sign::bad);
        EXPECT_EQ(state(), Health::State::closed) << i;
    }
}

TEST_F(HealthTest, a_host_that_can_not_be_reached_is_set_aside_for_everything) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(ends("a", Sign::dead));
    for (const auto purpose : {Purpose::manifest, Purpose::list, Purpose::blob, Purpose::token})
        EXPECT_FALSE(usable("other", purpose));
    clock.advance(6s);
    EXPECT_TRUE(ends("other", Sign::bad, Purpose::list)) << "any answer is a sign of life";
    EXPECT_TRUE(usable("a", Purpose::blob));
}

TEST_F(HealthTest, its_time_is_never_longer_than_a_minute_and_a_tenth) {
    for (int i = 0; i < 3; ++i) ends("a", Sign::dead);
    for (int i = 0; i < 10; ++i) {
        clock.advance(66s);
        ASSERT_TRUE(enter("a")) << i;
        EXPECT_TRUE(ticket.link_probe);
        health.leave(Purpose::manifest, "a", ticket, Sign::dead, clock.now(), "refused");
        EXPECT_FALSE(usable("a"));
    }
}

TEST_F(HealthTest, a_probe_that_tells_nothing_makes_room_for_the_next) {
    for (int i = 0; i < 3; ++i) ends("a", Sign::dead);
    clock.advance(6s);
    EXPECT_TRUE(ends("a", Sign::none));
    EXPECT_TRUE(ends("a", Sign::none));
}

TEST_F(HealthTest, a_wish_for_peace_holds_for_what_was_asked) {
    EXPECT_EQ(health.hold_off(Purpose::manifest, "a", clock.now(), 1h), kMaxRetryAfter);
    EXPECT_EQ(state(), Health::State::later);
    EXPECT_FALSE(usable("a"));
    EXPECT_TRUE(usable("a", Purpose::list));
    EXPECT_TRUE(usable("a", Purpose::blob));
    EXPECT_TRUE(usable("b"));
    clock.advance(299s);
    EXPECT_FALSE(usable("a"));
    clock.advance(1s);
    EXPECT_TRUE(usable("a"));
}

TEST_F(HealthTest, wishes_of_many_slow_the_others_down_and_stop_nobody) {
    for (const char* name : {"a", "b", "c"})
        health.hold_off(Purpose::manifest, name, clock.now(), 60s);
    for (uint32_t i = 0; i < kMaxProbes; ++i) EXPECT_TRUE(enter("well" + std::to_string(i)));
    EXPECT_FALSE(enter("late"));
    health.leave(Purpose::manifest, "well0", ticket, Sign::good, clock.now(), "");
    EXPECT_TRUE(enter("late"));
    EXPECT_FALSE(enter("a")) << "it was told so itself";
}

TEST_F(HealthTest, invented_repositories_take_a_bounded_room) {
    for (size_t i = 0; i < 3 * kMaxTroubles; ++i) {
        clock.advance(1ms);
        const std::string name = "invented" + std::to_string(i);
        health.leave(Purpose::manifest, name, {}, Sign::bad, clock.now(), "500");
        health.hold_off(Purpose::list, name, clock.now(), 300s);
    }
    EXPECT_LE(health.troubles(), 2 * kMaxTroubles);
}

TEST_F(HealthTest, a_reload_ends_all_of_it) {
    for (int i = 0; i < 3; ++i) ends("a", Sign::dead);
    for (const char* name : {"a", "b", "c"}) {
        health.leave(Purpose::manifest, name, {}, Sign::bad, clock.now(), "500");
        health.hold_off(Purpose::blob, name, clock.now(), 300s);
    }
    health.forget();
    EXPECT_EQ(state(), Health::State::closed);
    EXPECT_TRUE(usable("a"));
    EXPECT_TRUE(usable("a", Purpose::blob));
    EXPECT_EQ(health.troubles(), 0u);
}

}  // namespace
}  // namespace weir::upstream
