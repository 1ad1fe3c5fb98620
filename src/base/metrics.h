// base/metrics.h: what weir counts, for Prometheus.
//
// A room resolves its handles once (a static in its own metrics.cc) and increments them without a
// lock. Labels are of low cardinality: upstream, route, state; never a digest, name or address.
#pragma once
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <map>
#include <string>
#include <string_view>

namespace weir::metrics {

using Labels = std::map<std::string, std::string>;
using Counter = prometheus::Counter;
using Gauge = prometheus::Gauge;
using Histogram = prometheus::Histogram;

// Same name and labels give the same object, which lives as long as the process. Any thread; takes
// a lock, so not on a hot path: keep the reference.
Counter& counter(const std::string& name, const std::string& help, const Labels& = {});
Gauge& gauge(const std::string& name, const std::string& help, const Labels& = {});
// Seconds, from 100 us to 60 s.
Histogram& latency(const std::string& name, const std::string& help, const Labels& = {});

// The text exposition format, version 0.0.4.
std::string expose();

}  // namespace weir::metrics
