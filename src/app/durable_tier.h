// app/durable_tier.h: the S3 bucket behind the disk, with all that it needs, or nothing.
#pragma once
#include <memory>

#include "async/pool.h"
#include "async/scope.h"
#include "client/http_client.h"
#include "config/config.h"
#include "s3/bucket.h"
#include "s3/credentials.h"
#include "store/remote.h"

namespace weir::app {

// Opens without asking S3 anything: a start never waits for it. The client and the pool outlive it.
class DurableTier {
public:
    DurableTier(const config::Config&, client::HttpClient&, Pool&);
    // Null where no S3 is configured.
    store::Remote* remote() const { return remote_.get(); }
    // Until nothing renews credentials any more. The last call.
    Task<> stop();

private:
    Scope scope_{"s3"};
    std::unique_ptr<s3::CredentialChain> credentials_;
    std::unique_ptr<s3::Bucket> bucket_;
    std::unique_ptr<store::Remote> remote_;
};

}  // namespace weir::app
