// upstream/realm.h: where a challenge may send us for a token, and whether our password may go
// along.
//
// A realm is text from the network. It may name any public host over https, but a credential
// follows only to the mirror's own token server: the same host, a known pair, the mirror's own
// parent domain, or a host that the operator trusts.
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
    bool own_host = false;  // the mirror's host
    bool takes_credential = false;
};

// In words why the realm is refused: not https (unless the mirror itself is http), user
// information, or an address that is link-local, metadata or loopback (unless the mirror is on
// loopback).
std::expected<Realm, std::string> judge_realm(std::string_view realm, const client::Url& mirror,
                                              const std::vector<std::string>& trusted_hosts);

// registry.gitlab.com and gitlab.com, docker.elastic.co and docker-auth.elastic.co; not two tenants
// of azurecr.io.
bool same_family(std::string_view mirror_host, std::string_view realm_host);

// The scope to ask for: the challenge's when it is for reading this very repository, else
// "repository:<name>:pull". Returns its last part, the actions.
std::string actions_of(std::string_view challenge_scope, std::string_view repository);

}  // namespace weir::upstream
