// config/routing.h: which repository a request means, and whom to ask for it.
//
// Pure: no names are resolved, nothing is dialled. The world is closed: a request either names
// something that the configuration knows, or it is not found. The order:
//
//   1. ns           ?ns=ghcr.io: the registry of the image's name, as containerd says it.
//   2. prefix       /v2/ghcr.io/acme/tool: the first component is a registry's name.
//   3. host         Host or SNI: a client that DNS led here.
//   4. destination  zot's mapping: destination + prefix pattern, over all registries in order.
//   5. host         weir.hosts.default, if it is given, for a Host that isn't weir's own name.
//   6. bare         /v2/library/debian at our own name, as docker's registry-mirrors ask;
//                   weir.bareUpstream says whose it is.
//
// A client may name the registry twice: containerd adds ?ns= to whatever path its mirror has
// (override_path, the rewrites of k3s and RKE2, mirrors of BuildKit and Talos), docker and Homebrew
// put a mirror's path before /v2/. Where both say the same registry, what the path says of it is
// taken off:
//
//   /v2/docker.io/library/x?ns=docker.io      as /v2/library/x?ns=docker.io
//   /v2/hub/library/x?ns=docker.io            where "hub" is its destination; likewise with Host
//   /v2/docker.io/v2/library/x?ns=docker.io   the same, of such a mirror without override_path
//   /docker.io/v2/library/x, /hub/v2/...      as /v2/docker.io/library/x, /v2/hub/library/x
//   /v2/v2/library/x                          as /v2/library/x, of a mirror whose address ends in
//                                             /v2; but a project may be called v2, and is asked if
//                                             there is no such repository (or first, if only one
//                                             part is left)
//
// At Docker Hub clients write two parts, so a destination that would leave one is an organisation.
// Where two signs disagree, the first in the order above decides, with the whole path; of a path
// before /v2/ nothing is found then. weir.paths "strict" turns all of this off, and so does a path
// that was sent with escapes. Rights are asked of the repository that was found.
//
// Names come from weir.hosts if it is given, else from the hosts of the upstreams' URLs; the
// aliases of Docker Hub are one name. With one-part names at Hub "debian" means "library/debian",
// and both are one repository here.
//
// An immutable value after build(); any thread.
#pragma once
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace weir::config {

enum class Via : uint8_t { ns, prefix, host, destination, bare };
const char* via_name(Via);

// One upstream that may have it.
struct Candidate {
    size_t registry = 0;     // index in Config::registries
    std::string repository;  // the upstream's name for it
    bool operator==(const Candidate&) const = default;
};

struct Route {
    std::string repository;             // local: under this name it is stored, linked and listed
    std::vector<Candidate> candidates;  // asked in this order; empty only when `unknown`
    Via via = Via::destination;
    bool operator==(const Route&) const = default;
};

// Either a route, or the reason why there is none, in words for an error's message.
struct Resolution {
    std::optional<Route> route;
    std::optional<Route> otherwise;  // what else may be meant, if the first has no such thing
    std::string unknown;
    explicit operator bool() const { return route.has_value(); }
};

// A request's view of the world.
struct Target {
    std::string_view host;  // Host or SNI; a port and the case don't matter; may be empty
    std::string_view ns;    // value of ?ns=; empty when absent
    std::string_view
        repository;  // the path between /v2/ and /manifests, /blobs, ...; a valid repository name
    std::string_view before = {};  // the path before /v2/, without outer slashes; mostly empty
    bool escaped = false;          // the path was sent with escapes
};

class Routing {
public:
    // Failure{config_invalid} when weir.hosts names a destination that no registry has, or
    // bareUpstream a name that isn't known.
    static Routing build(std::shared_ptr<const Config>);
    ~Routing();
    Routing(Routing&&) noexcept;
    Routing& operator=(Routing&&) noexcept;

    Resolution resolve(const Target&) const;

    // The upstreams of a local repository, for work that no request started (revalidation,
    // prefetch). Empty when the configuration no longer has one.
    std::vector<Candidate> candidates(std::string_view local_repository) const;

    // /before/v2/ is one of our addresses: nothing, a name that is served, a destination.
    bool serves(std::string_view before) const;

    // Every registry name that is routed, as a client would say it: for the status page and `weir
    // verify`.
    std::vector<std::string> names() const;

    // Step by step, for people: which rule was tried and why it did or didn't apply.
    std::string explain(const Target&) const;

private:
    struct Impl;
    explicit Routing(std::unique_ptr<const Impl>);
    std::unique_ptr<const Impl> impl_;
};

// ---- zot's mapping, to the letter (features.md 1.4); used by Routing and tested as a table
// ---------------------------

// The upstream's name of a local repository by this registry's content, or nullopt when it is
// filtered out.
std::optional<std::string> upstream_name(const std::vector<Content>&, std::string_view local);
// The local name of an upstream's repository, or nullopt when it is filtered out.
std::optional<std::string> local_name(const std::vector<Content>&, std::string_view upstream);

}  // namespace weir::config
