// client/follow.h: GET and HEAD over redirects, by rules that keep secrets and the inside of a
// network where they are.
//
// The Authorization is dropped, for good, when scheme, host or port change, and so is a client
// certificate. From https nothing leads back to http. A target's address is judged by the guard
// unless it is the host that was asked first or a trusted one; targets may be on loopback only if
// the call itself may be, and in a private network only if the host that was asked first is in one
// itself. Signed addresses are secrets: only the last host is reported.
//
// Other methods are followed within their origin alone, by 307 and 308, which repeat them as they
// are.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "client/http_client.h"
#include "client/url.h"

namespace weir::client {

struct FollowRules {
    size_t max_hops = 5;
    std::vector<std::string> trusted_hosts;  // host or host:port
    bool within_origin = false;  // a redirect to another origin is not followed but the answer
};

// Goes along with a call from host to host: says what each is shown, and is told what it answered.
class Companion {
public:
    virtual ~Companion() = default;
    // Before each request. `call` has its address and guard, and an Authorization only where the
    // rules above leave it. false: the host is not asked, and Followed::kept_back is true.
    virtual Task<bool> before(const Url& at, Call& call) = 0;
    // After each answer. true: the same is asked once more; a redirect is followed in any case.
    virtual Task<bool> after(const Url& at, const ReplyEnd& reply, bool is_redirect) = 0;
};

struct Followed {
    ReplyEnd reply;  // of the last answer; too many or refused redirects are protocol and forbidden
    std::string host;  // that gave it, with a port other than the scheme's
    size_t hops = 0;
    bool same_origin =
        true;  // the last answer is of the scheme, host and port that were asked first
    bool kept_back = false;  // by the companion: `reply` is of the host before, or empty
};

// The sink sees the final answer alone. Call::started is called for each transfer (leash.h makes
// one handle of them). The companion outlives the call.
Task<Followed> follow(HttpClient&, Call, std::shared_ptr<Sink>, FollowRules,
                      Companion* companion = nullptr);

}  // namespace weir::client
