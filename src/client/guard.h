// client/guard.h: which addresses a call may reach.
//
// The judgement is made on the address that was really resolved, so that a name can't be turned
// against us after it was checked. What a public host names (a redirect, a realm) never leads into
// the inside of a network: private ranges are for hosts that the operator configured or trusts, and
// for what a host that has such an address itself leads to.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "client/http_client.h"

struct sockaddr;

namespace weir::client {

enum class AddressKind {
    ordinary,
    loopback,
    private_network,  // 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7 and their like
    link_local,       // 169.254/16, fe80::/10
    metadata,         // a cloud's instance metadata
    unspecified,      // 0/8, ::
    multicast,        // and broadcast
    unknown,          // not IPv4 or IPv6
};
const char* address_kind_name(AddressKind);

AddressKind classify(const sockaddr*);
// Of a host as it stands in a URL: an address in any form that inet_aton or inet_pton takes,
// "localhost", or a cloud's metadata name. nullopt for other names.
std::optional<AddressKind> classify_host(std::string_view host);
bool is_loopback_host(std::string_view host);
// Written as an address in a private network.
bool is_private_host(std::string_view host);
// An address as it stands, in any form that libcurl takes without asking for a name.
bool is_address(std::string_view host);

// Loopback needs Guard::allow_loopback or a guard that is off, private networks
// Guard::allow_private or that; link-local and metadata addresses need Guard::allow_metadata; the
// other kinds but ordinary are refused always.
bool allowed(const Guard&, AddressKind);

}  // namespace weir::client
