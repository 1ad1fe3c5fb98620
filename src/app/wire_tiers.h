// app/wire_tiers.h: as wire.h, for what keeps the store in bounds: S3, eviction, collection, pins.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "cache/tiers.h"
#include "config/config.h"
#include "meta/upkeep.h"
#include "s3/bucket.h"
#include "s3/credentials.h"

namespace weir::app {

// storageDriver is s3; the two below are only asked for then.
bool has_s3(const config::Config&);
s3::BucketOptions bucket_options(const config::Config&);
// `environment` is asked for AWS's variables and HOME.
s3::CredentialOptions credential_options(
    const config::Config&,
    const std::function<std::optional<std::string>(const std::string&)>& environment);
std::optional<std::string> process_environment(const std::string& name);

// Shares are of `disk`.
cache::EvictionOptions eviction_options(const config::Config&, const DiskSpace& disk);
cache::CollectorOptions collector_options(const config::Config&);
std::vector<meta::Pin> configured_pins(const config::Config&);

}  // namespace weir::app
