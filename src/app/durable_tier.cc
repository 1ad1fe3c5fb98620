#include "app/durable_tier.h"

#include "app/wire_tiers.h"
#include "store/s3_remote.h"

namespace weir::app {

DurableTier::DurableTier(const config::Config& config, client::HttpClient& client, Pool& pool) {
    if (!has_s3(config)) return;
    credentials_ = std::make_unique<s3::CredentialChain>(
        credential_options(config, process_environment), client, pool, system_clock(), scope_);
    bucket_ = std::make_unique<s3::Bucket>(bucket_options(config), client, *credentials_, pool,
                                           system_clock(), system_random());
    remote_ = store::make_s3_remote(*bucket_, system_clock());
}

Task<> DurableTier::stop() {
    co_await scope_.join();
}

}  // namespace weir::app
