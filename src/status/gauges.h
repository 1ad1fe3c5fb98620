// status/gauges.h: the metrics that are read, not counted: set when somebody asks for them.
#pragma once
#include <string>
#include <vector>

#include "base/metrics.h"
#include "cache/cache.h"
#include "upstream/upstream.h"

namespace weir::status {

void set_build_info(const std::string& version);
void set_cache_gauges(const cache::Snapshot&);
void set_upstream_gauges(const std::vector<upstream::Status>&);
void set_used_bytes(uint64_t);
// Memory, files and start time, under Prometheus' usual names. Blocks on /proc.
void set_process_gauges();

}  // namespace weir::status
