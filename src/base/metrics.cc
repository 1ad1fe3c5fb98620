#include "base/metrics.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <sstream>

#include "base/log.h"

namespace weir::metrics {
namespace {
prometheus::Registry& registry() {
    static auto* registry = new prometheus::Registry(prometheus::Registry::InsertBehavior::Merge);
    return *registry;
}
}  // namespace

Counter& counter(const std::string& name, const std::string& help, const Labels& labels) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry()).Add(labels);
}

Gauge& gauge(const std::string& name, const std::string& help, const Labels& labels) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry()).Add(labels);
}

Histogram& latency(const std::string& name, const std::string& help, const Labels& labels) {
    static const Histogram::BucketBoundaries kBounds = {
        .0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60};
    return prometheus::BuildHistogram()
        .Name(name)
        .Help(help)
        .Register(registry())
        .Add(labels, kBounds);
}

std::string expose() {
    static auto& dropped =
        gauge("weir_log_dropped_lines", "Log lines that a full queue has dropped");
    dropped.Set(static_cast<double>(log::dropped()));
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, registry().Collect());
    return out.str();
}

}  // namespace weir::metrics
