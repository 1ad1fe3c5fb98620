// config/routing_names.h: the names that are routed, and to what; a part of Routing.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/mapping.h"
#include "config/names.h"

namespace weir::config {

// How a name was used; not every name may be used in every way.
enum class Use : uint8_t { ns, prefix, host };

// What a name stands for: a destination (weir.hosts), or the registries whose URLs have it.
struct Named {
    std::string name;                        // canonical: Docker Hub is docker.io
    std::optional<std::string> destination;  // without outer slashes
    std::vector<size_t> registries;          // in order
    bool ns = true, prefix = true, host = true;
};

class Names {
public:
    Names(const Config&, const std::vector<Mapping>&);

    // nullptr: not known, or not for this use.
    const Named* find(std::string_view name, Use) const;
    // weir.hosts.default, for a Host that is neither weir's own name nor an address.
    const Named* fallback(std::string_view host) const;
    // weir's own name, or an address: never an upstream's, unless it is listed.
    bool is_own(std::string_view host) const;
    // As is_own(), of a registry's name that a client gives: localhost is another registry, and so
    // is an IP address that is not known to be weir's.
    bool is_itself(std::string_view name) const;
    std::vector<std::string> all() const;

private:
    void from_table(const Config&);
    void from_urls(const Config&, const std::vector<Mapping>&);
    const Named* exact(std::string_view host, std::string_view with_port, Use) const;
    const Named* wildcard(std::string_view host) const;

    bool table_ = false;
    std::map<std::string, Named, std::less<>> names_;
    std::vector<std::pair<std::string, Named>> wildcards_;  // ".docker.io", longest first
    std::optional<Named> fallback_;                         // weir.hosts.default
    std::vector<std::string> own_names_;
};

}  // namespace weir::config
