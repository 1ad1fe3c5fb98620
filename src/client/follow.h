// client/follow.h: GET and HEAD over redirects, by rules that keep secrets and the inside of a
// network where they are.
//
// The Authorization is dropped, for good, when scheme, host or port change, and so is a client
// certificate. From https nothing leads back to http. A target's address is judged by the guard
// unless it is the host that was asked first or a trusted one; targets may be on loopback only if
// the call itself may be. Signed addresses are secrets: only the last host is reported.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "client/http_client.h"

namespace weir::client {

struct FollowRules {
    size_t max_hops = 5;
    std::vector<std::string> trusted_hosts;  // host or host:port
};

struct Followed {
    ReplyEnd reply;  // of the last answer; too many or refused redirects are protocol and forbidden
    std::string host;  // that gave it, with a port other than the scheme's
    size_t hops = 0;
    bool same_origin =
        true;  // the last answer is of the scheme, host and port that were asked first
};

// The sink sees the final answer alone. Call::started is called for each transfer (leash.h makes
// one handle of them).
Task<Followed> follow(HttpClient&, Call, std::shared_ptr<Sink>, FollowRules);

}  // namespace weir::client
