// upstream/realm.h: where a challenge may send us for a token, and whether our password may go
// along.
//
// A realm is text from the network. It may name any public host over https. A login goes to its
// origin (scheme, host and port); another host, or another port, gets it only if it is the token
// server of a well-known registry (kTokenServers in realm.cc) or one that the operator trusts.
#pragma once
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "client/http_client.h"
#include "client/url.h"

namespace weir::upstream {

struct Realm {
    client::Url url;
    client::Guard guard;
    bool own_origin = false;  // the registry's scheme, host and port
    bool takes_credential = false;
};

// In words why the realm is refused: not https (unless the registry itself is http), user
// information, or an address that is link-local, metadata, loopback (unless the registry is on
// loopback) or private (unless the registry is `inside`, in a private network itself). An http
// realm of a https registry's own host and port is a front's mistake, and is asked over https.
std::expected<Realm, std::string> judge_realm(std::string_view realm, const client::Url& registry,
                                              bool inside,
                                              const std::vector<std::string>& trusted_hosts);

// The scope to ask for: the challenge's when it is for reading this very repository, else
// "repository:<name>:pull". Returns its last part, the actions.
std::string actions_of(std::string_view challenge_scope, std::string_view repository);

}  // namespace weir::upstream
