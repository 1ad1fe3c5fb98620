// app/wire.h: from the configuration to the options of each room. Nothing here opens or asks
// anything.
#pragma once
#include "base/file.h"
#include "cache/cache.h"
#include "client/curl_client.h"
#include "config/config.h"
#include "http/listener.h"
#include "meta/sqlite/sqlite_metadata.h"
#include "status/status.h"
#include "store/disk_store.h"
#include "store/space.h"
#include "upstream/upstream.h"

namespace weir::app {

size_t loop_count(const config::Config&);
meta::SqliteOptions metadata_options(const config::Config&);
store::DiskOptions store_options(const config::Config&);
// Shares of a disk are of `disk`.
store::Space::Limits space_limits(const config::Config&, const DiskSpace& disk);
client::CurlOptions client_options(const config::Config&);
// `tls` is made from certDir by certificates.h.
upstream::Options upstream_options(const config::Config&, const config::Registry&,
                                   const client::Tls& tls);
cache::FetchPolicy fetch_policy(const config::Config&, const config::Registry&);
cache::Options cache_options(const config::Config&);
// Of all lines; "auto" looks at standard output.
log::Format access_format(const config::Config&);
status::Status::Options status_options(const config::Config&);
http::Limits http_limits(const config::Config&);
std::optional<http::TlsFiles> tls_files(const config::Config&);
http::Listener::Options listener_options(const config::Config&);

extern const char* const kVersion;

}  // namespace weir::app
