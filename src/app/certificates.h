// app/certificates.h: the files of a certDir, as docker and zot lay them out: *.crt are
// authorities, X.cert and X.key are the client's pair.
#pragma once
#include <cstdint>
#include <string>

#include "client/http_client.h"
#include "config/config.h"

namespace weir::app {

// What `registry` says about TLS. Authorities of a certDir are believed besides the system's: both
// are written to one file under `state_root`. Failure{config_invalid} when a directory or file
// can't be read. Blocks.
client::Tls upstream_tls(const config::Registry& registry, const std::string& state_root);

// Changes when a file in the directory does; 0 when there is none.
uint64_t directory_stamp(const std::string& directory);
// Of one file: its time, size and identity.
uint64_t file_stamp(const std::string& path);

}  // namespace weir::app
