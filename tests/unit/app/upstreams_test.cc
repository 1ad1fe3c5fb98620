#include "app/upstreams.h"

#include <gtest/gtest.h>

#include "base/failure.h"
#include "support/fake_http.h"
#include "support/temporary_directory.h"

namespace weir::app {
namespace {

config::Config two() {
    config::Config config;
    for (const char* name : {"ghcr.io", "quay.io"}) {
        config::Registry registry;
        registry.name = name;
        registry.urls = {std::string("https://") + name};
        registry.on_demand = true;
        config.registries.push_back(registry);
    }
    return config;
}

class UpstreamsTest : public testing::Test {
protected:
    std::shared_ptr<const registry::Targets> apply(config::Config config) {
        auto prepared =
            upstreams.prepare(std::make_shared<const config::Config>(std::move(config)));
        made = prepared.made;
        auto targets = prepared.targets;
        upstreams.commit(std::move(prepared));
        return targets;
    }
    static const upstream::Upstream* of(const registry::Targets& targets, const char* ns) {
        const auto found = targets.resolve({.host = "", .ns = ns, .repository = "acme/tool"});
        return found.target ? found.target->candidates.front().upstream.get() : nullptr;
    }
    ManualClock clock;
    SeededRandom random{1};
    test::FakeHttp http;
    TemporaryDirectory state;
    size_t made = 0;
    Upstreams upstreams{http, clock, random, state.path()};
};

TEST_F(UpstreamsTest, are_kept_over_a_reload_that_does_not_concern_them) {
    const auto before = apply(two());
    EXPECT_EQ(made, 2u);
    auto config = two();
    config.registries[0].content.emplace_back();
    config.registries[0].content[0].prefix = "acme/**";
    config.registries[1].settings.max_concurrent = 3;
    config.freshness.ttl = std::chrono::hours(1);
    const auto after = apply(std::move(config));
    EXPECT_EQ(made, 1u);
    EXPECT_EQ(of(*after, "ghcr.io"), of(*before, "ghcr.io"));
    EXPECT_NE(of(*after, "quay.io"), of(*before, "quay.io"));
    EXPECT_EQ(upstreams.status().size(), 2u);
}

TEST_F(UpstreamsTest, what_is_only_prepared_changes_nothing) {
    apply(two());
    auto config = two();
    config.registries.pop_back();
    upstreams.prepare(std::make_shared<const config::Config>(std::move(config)));
    EXPECT_EQ(upstreams.status().size(), 2u);
}

TEST_F(UpstreamsTest, what_can_not_be_read_changes_nothing) {
    apply(two());
    auto config = two();
    config.registries.pop_back();
    config.registries[0].cert_dir = state / "gone";
    EXPECT_THROW(apply(std::move(config)), Failure);
    EXPECT_EQ(upstreams.status().size(), 2u);
}

}  // namespace
}  // namespace weir::app
