// The promises of base/metrics.h: the text that Prometheus scrapes.
#include "base/metrics.h"

#include <gtest/gtest.h>

namespace weir::metrics {
namespace {

TEST(Metrics, the_same_name_and_labels_are_the_same_object) {
    auto& a = counter("test_same_total", "help", {{"x", "1"}});
    auto& b = counter("test_same_total", "help", {{"x", "1"}});
    auto& c = counter("test_same_total", "help", {{"x", "2"}});
    EXPECT_EQ(&a, &b);
    EXPECT_NE(&a, &c);
}

TEST(Metrics, a_counter_is_exposed_with_help_type_and_labels) {
    counter("test_requests_total", "Requests seen", {{"route", "blob"}}).Increment(3);
    const std::string text = expose();
    EXPECT_NE(text.find("# HELP test_requests_total Requests seen\n"), text.npos);
    EXPECT_NE(text.find("# TYPE test_requests_total counter\n"), text.npos);
    EXPECT_NE(text.find("test_requests_total{route=\"blob\"} 3\n"), text.npos);
}

TEST(Metrics, a_gauge_goes_up_and_down) {
    auto& running = gauge("test_running", "Running");
    running.Increment();
    running.Increment();
    running.Decrement();
    EXPECT_NE(expose().find("test_running 1\n"), std::string::npos);
}

TEST(Metrics, a_latency_counts_into_buckets_of_seconds) {
    auto& seconds = latency("test_seconds", "Seconds", {{"route", "x"}});
    seconds.Observe(0.0002);
    seconds.Observe(100);
    const std::string text = expose();
    EXPECT_NE(text.find("test_seconds_bucket{route=\"x\",le=\"0.0001\"} 0\n"), text.npos) << text;
    EXPECT_NE(text.find("test_seconds_bucket{route=\"x\",le=\"0.0005\"} 1\n"), text.npos);
    EXPECT_NE(text.find("test_seconds_bucket{route=\"x\",le=\"60\"} 1\n"), text.npos);
    EXPECT_NE(text.find("test_seconds_bucket{route=\"x\",le=\"+Inf\"} 2\n"), text.npos);
    EXPECT_NE(text.find("test_seconds_count{route=\"x\"} 2\n"), text.npos);
}

TEST(Metrics, label_values_are_escaped) {
    gauge("test_escaped", "Escaped", {{"name", "a\"b\\c\nd"}}).Set(1);
    EXPECT_NE(expose().find(R"(test_escaped{name="a\"b\\c\nd"} 1)"), std::string::npos);
}

TEST(Metrics, lines_that_the_log_dropped_are_shown) {
    EXPECT_NE(expose().find("\nweir_log_dropped_lines "), std::string::npos);
}

}  // namespace
}  // namespace weir::metrics
