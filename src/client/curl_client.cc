#include "client/curl_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cstdlib>
#include <mutex>

#include "async/signal.h"
#include "base/failure.h"
#include "client/authorities.h"
#include "client/exchange.h"
#include "client/name_service.h"
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
                                  std::shared_ptr<Authorities> authorities,
                                  std::shared_ptr<Resolver> resolver) {
    auto transfer = std::make_shared<Transfer>(std::move(name), options, system_bundle(),
                                               std::move(authorities), std::move(resolver));
    transfer->start();
    return transfer;
}

}  // namespace

struct CurlClient::Impl {
    explicit Impl(const CurlOptions& options)
        : resolver(std::make_shared<Resolver>(
              options.names ? options.names() : std::make_unique<SystemNames>(), system_clock())) {
        const auto authorities = std::make_shared<Authorities>();
        small = started("xfer-small", options, authorities, resolver);
        for (size_t i = 0; i < std::max<size_t>(options.bulk_threads, 1); ++i)
            bulk.push_back(started(fmt::format("xfer-bulk-{}", i), options, authorities, resolver));
    }
    ~Impl() { resolver->shutdown(); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    const std::shared_ptr<Resolver> resolver;
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

CurlClient::CurlClient(const CurlOptions& options) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    impl_ = std::make_unique<Impl>(options);
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
    if (!transfer.reserve(call.party))
        throw Failure(Kind::overloaded, fmt::format("too many transfers run{}{} (max_transfers)",
                                                    call.party.empty() ? "" : " for ", call.party));
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
