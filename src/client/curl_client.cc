#include "client/curl_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cstdlib>
#include <mutex>

#include "async/signal.h"
#include "base/failure.h"
#include "client/authorities.h"
#include "client/exchange.h"
#include "client/proxy.h"
#include "client/transfer.h"
#include "client/url.h"

namespace weir::client {
namespace {

// SSL_CERT_FILE as other programs honour it, else what libcurl was built with.
std::string system_bundle() {
    if (const char* file = std::getenv("SSL_CERT_FILE"); file && *file) return file;
    const auto* version = curl_version_info(CURLVERSION_NOW);
    return version->cainfo ? version->cainfo : "";
}

std::shared_ptr<Transfer> started(std::string name, const CurlOptions& options,
                                  std::shared_ptr<Authorities> authorities) {
    auto transfer = std::make_shared<Transfer>(std::move(name), options, system_bundle(),
                                               std::move(authorities));
    transfer->start();
    return transfer;
}

}  // namespace

struct CurlClient::Impl {
    ProxyRules proxies = ProxyRules::from_environment();
    std::shared_ptr<Transfer> small;
    std::vector<std::shared_ptr<Transfer>> bulk;

    Transfer& pick(bool is_bulk) const {
        if (!is_bulk) return *small;
        return **std::ranges::min_element(bulk, {}, [](const auto& t) { return t->load(); });
    }
    std::string proxy_for(const Call& call, const Url& url) const {
        if (call.proxy == "none") return {};
        return call.proxy.empty() ? proxies.choose(url) : call.proxy;
    }
};

CurlClient::CurlClient(const CurlOptions& options) : impl_(std::make_unique<Impl>()) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    const auto authorities = std::make_shared<Authorities>();
    impl_->small = started("xfer-small", options, authorities);
    for (size_t i = 0; i < std::max<size_t>(options.bulk_threads, 1); ++i)
        impl_->bulk.push_back(started(fmt::format("xfer-bulk-{}", i), options, authorities));
}

CurlClient::~CurlClient() {
    shutdown();
}

void CurlClient::shutdown() {
    impl_->small->shutdown();
    for (const auto& transfer : impl_->bulk) transfer->shutdown();
}

Task<ReplyEnd> CurlClient::send(Call call, std::shared_ptr<Sink> sink) {
    auto url = Url::parse(call.url);
    if (!url) {
        ReplyEnd end;
        end.end = End::unreachable;
        end.detail = "not an http or https address";
        co_return end;
    }
    Transfer& transfer = impl_->pick(call.bulk);
    if (!transfer.reserve())
        throw Failure(Kind::overloaded, "too many transfers run (max_transfers)");
    const auto tell = std::move(call.started);
    std::string proxy = impl_->proxy_for(call, *url);
    Reply<ReplyEnd> reply;
    {
        const auto exchange = std::make_shared<Exchange>(
            std::move(call), *std::move(url), std::move(proxy), std::move(sink), reply.setter());
        if (tell) tell(transfer.handle(exchange));
        transfer.submit(exchange);
    }
    co_return co_await reply.take();
}

}  // namespace weir::client
