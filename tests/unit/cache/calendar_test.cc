// A calendar that jumps: what is kept is neither a year old at once nor fresh for a month.
#include "base/calendar.h"

#include "unit/cache/lab.h"

namespace weir::cache {
namespace {

class CalendarTest : public Lab {
protected:
    oci::Digest simple(const std::string& tag) { return image(tag, {blob(100), blob(1000)}); }
    size_t asked() const { return asks(What::manifest, "").size(); }
};

TEST_F(CalendarTest, a_tag_that_was_confirmed_in_the_future_is_not_fresh) {
    options.freshness.ttl = 1h;
    boot();
    simple("v1");
    manifest("v1");
    clock.jump(-24h * 30);
    restart();
    const auto view = manifest("v1");
    ASSERT_TRUE(view);
    wait(1s);
    EXPECT_EQ(asked(), 2u) << "it was asked for, before the answer or behind it";
}

TEST_F(CalendarTest, a_jump_in_a_running_process_changes_no_age_of_a_tag) {
    options.freshness.ttl = 1h;
    boot();
    simple("v1");
    manifest("v1");
    for (const auto jump : {24h * 365, -24h * 730}) {
        clock.jump(jump);
        const auto view = manifest("v1");
        ASSERT_TRUE(view);
        EXPECT_FALSE(view->stale);
    }
    EXPECT_EQ(asked(), 1u);
}

}  // namespace
}  // namespace weir::cache
