// client/exchange_names.cc: which names an exchange needs, and how libcurl is told their addresses.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/exchange.h"
#include "client/guard.h"
#include "client/proxy.h"

namespace weir::client {

curl_slist* DialTable::enter(curl_slist* lines, const std::string& place,
                             const std::vector<std::string>& addresses) {
    unused_.erase(place);
    for (const auto& gone : std::exchange(unused_, {}))
        lines = curl_slist_append(lines, ("-" + gone).c_str());
    ++uses_[place];
    std::string line = place;
    for (const auto& address : addresses) {
        const bool six = address.find(':') != std::string::npos;
        line += fmt::format("{}{}{}{}", &address == addresses.data() ? ':' : ',', six ? "[" : "",
                            address, six ? "]" : "");
    }
    return curl_slist_append(lines, line.c_str());
}

void DialTable::leave(const std::string& place) {
    const auto at = uses_.find(place);
    if (at == uses_.end() || --at->second > 0) return;
    uses_.erase(at);
    unused_.insert(place);
}

// The target, unless a proxy takes its name; and the proxy.
bool Exchange::set_places() {
    const auto add = [this](const std::string& host, uint16_t port) {
        if (!is_address(host)) places_.push_back({host, port});
    };
    if (proxy_.empty()) {
        add(url_.host, url_.port);
        return true;
    }
    const auto proxy = ProxyAddress::parse(proxy_);
    if (!proxy) {
        end_as(End::unreachable, "the proxy's address is none");
        return false;
    }
    add(proxy->host, proxy->port);
    if (!proxy->resolves()) add(url_.host, url_.port);
    return true;
}

const std::string* Exchange::wants_name() const {
    return verdict_ || named_ == places_.size() ? nullptr : &places_[named_].host;
}

void Exchange::take_name(const Found& found) {
    ticket_ = 0;
    const Place& place = places_[named_];
    if (found.what != Found::What::addresses)
        return end_as(End::unreachable, fmt::format("{}: {}", place.host, found.detail));
    addresses_ = workshop_->dialled.enter(addresses_, place.text(), found.addresses);
    ++named_;
}

std::chrono::milliseconds Exchange::connect_time_left() const {
    const auto used =
        std::chrono::duration_cast<std::chrono::milliseconds>(system_clock().now() - started_);
    return std::max(call_.timeouts.connect - used, std::chrono::milliseconds(1));
}

void Exchange::dial() {
    phase_ = Phase::connecting;
    if (addresses_) curl_easy_setopt(easy_, CURLOPT_RESOLVE, addresses_);
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(connect_time_left().count()));
    alarms_->set(this, started_ + call_.timeouts.connect + call_.timeouts.response);
}

void Exchange::let_go_of_names(CURLcode code) {
    if (!workshop_) return;
    if (ticket_ != 0) workshop_->resolver->leave(places_[named_].host, ticket_);
    const bool no_way = code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT;
    for (size_t i = 0; i < named_; ++i) {
        workshop_->dialled.leave(places_[i].text());
        if (no_way && phase_ == Phase::connecting) workshop_->resolver->doubt(places_[i].host);
    }
    named_ = 0;
}

}  // namespace weir::client
