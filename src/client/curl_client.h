// client/curl_client.h: HttpClient on libcurl (7.88), multi interface on own threads.
//
// Threads: xfer-small for manifests, tokens and HEADs; xfer-bulk-N for blob bodies (Call::bulk),
// where sinks may write to disk. HTTP/1.1 for bulk. No redirects, no content decoding, http and
// https only, signals off. The guard is applied in the open-socket callback, on the address that
// was really resolved. Names are looked up by resolver.h; libcurl never does so itself.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "client/http_client.h"
#include "client/resolver.h"

namespace weir::client {

struct CurlOptions {
    size_t bulk_threads = 1;
    size_t max_transfers = 512;  // a thread's, shared by Call::party; beyond: overloaded
    size_t bulk_buffer_bytes =
        64 * 1024;  // twice as much costs 30 MB for 250 paused transfers, no CPU less
    size_t max_connections = 256;  // kept by a thread's connection cache
    std::string user_agent = "weir";
    // Makes who is asked for names; null: /etc/hosts and DNS (name_service.h).
    std::function<std::unique_ptr<NameService>()> names;
};

class CurlClient : public HttpClient {
public:
    // Failure{internal} when the process has no descriptors left for its threads.
    explicit CurlClient(const CurlOptions&);
    ~CurlClient() override;  // shutdown() first
    Task<ReplyEnd> send(Call, std::shared_ptr<Sink>) override;
    // Cancels what runs, joins the threads. Calls made later end as cancelled.
    void shutdown();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace weir::client
