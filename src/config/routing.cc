#include "config/routing.h"

#include <algorithm>

#include "base/failure.h"
#include "base/text.h"
#include "config/routing_names.h"

namespace weir::config {
namespace {

bool is_one_part(std::string_view repository) {
    return repository.find('/') == std::string_view::npos;
}

std::string in_library(std::string_view repository) {
    return "library/" + std::string(repository);
}

std::string joined(std::string_view destination, std::string_view repository) {
    if (destination.empty()) return std::string(repository);
    return std::string(destination) + "/" + std::string(repository);
}

// Docker's rule: a first component is a registry's name if it can't be a part of a repository at
// Docker Hub.
bool looks_like_registry(std::string_view component) {
    return component.find('.') != std::string_view::npos || component == "localhost";
}

std::vector<Mapping> mappings_of(const Config& config) {
    std::vector<Mapping> mappings;
    for (const Registry& registry : config.registries) mappings.emplace_back(registry.content);
    return mappings;
}

// What explain() says; costs nothing when nobody asked.
class Trace {
public:
    explicit Trace(std::string* out) : out_(out) {}
    template <class... Args>
    void say(fmt::format_string<Args...> text, Args&&... args) const {
        if (!out_) return;
        fmt::vformat_to(std::back_inserter(*out_), text, fmt::make_format_args(args...));
        *out_ += '\n';
    }

private:
    std::string* out_;
};

Resolution unknown(std::string why) {
    return {.route = {}, .otherwise = {}, .unknown = std::move(why)};
}

constexpr std::string_view kDoubled = "v2/";

bool below(std::string_view path, std::string_view directory) {
    return path.size() > directory.size() + 1 && path.starts_with(directory) &&
           path[directory.size()] == '/';
}

// Two names of the same.
bool same(const Named& a, const Named& b) {
    return a.destination == b.destination && a.registries == b.registries;
}

}  // namespace

const char* via_name(Via via) {
    switch (via) {
        case Via::ns:
            return "ns";
        case Via::prefix:
            return "prefix";
        case Via::host:
            return "host";
        case Via::destination:
            return "destination";
        case Via::bare:
            return "bare";
    }
    return "destination";
}

struct Routing::Impl {
    explicit Impl(std::shared_ptr<const Config> from)
        : config(std::move(from)), mappings(mappings_of(*config)), names(*config, mappings) {}

    std::shared_ptr<const Config> config;
    std::vector<Mapping> mappings;
    Names names;

    bool asked(size_t registry) const { return config->registries[registry].on_demand; }
    bool is_hub(size_t registry) const { return config->registries[registry].quirks.hub; }
    // The upstream's name as the upstream knows it.
    Candidate candidate(size_t registry, std::string repository) const {
        if (is_hub(registry) && is_one_part(repository)) repository = in_library(repository);
        return {registry, std::move(repository)};
    }

    std::vector<Candidate> by_destination(std::string_view local) const;
    std::optional<Route> by_name(const Named&, std::string_view path, Via) const;
    std::optional<Route> named_once(const Named&, std::string_view path, Via) const;
    std::optional<Route> at_destination(const std::string& destination, std::string_view path,
                                        Via) const;
    std::optional<Route> at_registries(const Named&, std::string_view path, Via) const;
    std::optional<Route> destination(std::string_view repository) const;
    Resolution named(const Named&, std::string_view path, Via, const Trace&) const;
    std::optional<Route> said_twice(const Named&, std::string_view path, Via) const;
    bool says(const Named&, std::string_view text) const;
    std::optional<Resolution> with_ns(const Named&, std::string_view path) const;
    bool is_destination(std::string_view path) const;
    bool leads_to(const Named&, const Route&) const;
    Resolution plain(const Target&, const Trace&) const;
    Resolution doubled(const Target&, const Trace&) const;
    Resolution before(const Target&, const Trace&) const;
    Resolution resolve(const Target&, const Trace&) const;
    // Whether a path may be read in other ways than as it stands.
    bool tolerant(const Target& target) const { return config->tolerant_paths && !target.escaped; }
    const Named* bare_name() const {
        if (config->bare_upstream == "none") return nullptr;
        // Any way of knowing the name will do: nothing of the request is compared with it.
        for (Use use : {Use::ns, Use::prefix}) {
            if (const Named* named = names.find(config->bare_upstream, use)) return named;
        }
        return nullptr;
    }
};

// zot's mapping, over all registries in order.
std::vector<Candidate> Routing::Impl::by_destination(std::string_view local) const {
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < mappings.size(); ++i) {
        if (!asked(i)) continue;
        if (auto upstream = mappings[i].upstream(local))
            candidates.push_back(candidate(i, std::move(*upstream)));
    }
    return candidates;
}

// A name of weir.hosts: destination + "/" + path, then zot's mapping.
std::optional<Route> Routing::Impl::at_destination(const std::string& destination,
                                                   std::string_view path, Via via) const {
    std::string local = joined(destination, path);
    for (size_t i = 0; i < mappings.size(); ++i) {
        if (!asked(i)) continue;
        // Where a stripped prefix makes the local name another one, it is the upstream's name that
        // the client said.
        if (auto mapped = mappings[i].local_under(destination, path)) {
            local = std::move(*mapped);
            break;
        }
    }
    auto candidates = by_destination(local);
    if (candidates.empty()) return {};
    return Route{std::move(local), std::move(candidates), via};
}

// A name that follows from URLs: exactly those registries, whatever else the mapping would allow.
std::optional<Route> Routing::Impl::at_registries(const Named& named, std::string_view path,
                                                  Via via) const {
    std::vector<Candidate> candidates;
    std::string local;
    for (size_t registry : named.registries) {
        auto mapped = mappings[registry].local(path);
        if (!mapped) continue;
        if (local.empty()) local = std::move(*mapped);
        candidates.push_back(candidate(registry, std::string(path)));
    }
    if (candidates.empty()) return {};
    // The local name is shared with zot's mapping only where that can't bring another registry's
    // image.
    if (by_destination(local) != candidates) local = named.name + "/" + std::string(path);
    return Route{std::move(local), std::move(candidates), via};
}

std::optional<Route> Routing::Impl::named_once(const Named& named, std::string_view path,
                                               Via via) const {
    if (path.empty()) return {};
    return named.destination ? at_destination(*named.destination, path, via)
                             : at_registries(named, path, via);
}

// At Docker Hub "debian" is "library/debian", and one repository here, however it was said.
std::optional<Route> Routing::Impl::by_name(const Named& named, std::string_view path,
                                            Via via) const {
    auto plain = named_once(named, path, via);
    if (!is_one_part(path)) return plain;
    const bool hub = named.name == kHub || (plain && is_hub(plain->candidates[0].registry));
    if (!hub) return plain;
    auto full = named_once(named, in_library(path), via);
    return full ? full : plain;
}

std::optional<Route> Routing::Impl::destination(std::string_view repository) const {
    auto candidates = by_destination(repository);
    if (candidates.empty()) return {};
    Route plain{std::string(repository), std::move(candidates), Via::destination};
    const size_t first = plain.candidates[0].registry;
    const auto upstream = mappings[first].upstream(repository);
    if (!is_hub(first) || !upstream || !is_one_part(*upstream)) return plain;
    // "hub/debian" is stored as "hub/library/debian", if that leads to the same place.
    auto local = mappings[first].local(in_library(*upstream));
    if (!local) return plain;
    auto same = by_destination(*local);
    if (same.empty() || same[0] != plain.candidates[0]) return plain;
    return Route{std::move(*local), std::move(same), Via::destination};
}

Resolution Routing::Impl::named(const Named& name, std::string_view path, Via via,
                                const Trace& trace) const {
    auto route = by_name(name, path, via);
    if (route) return {.route = std::move(route), .otherwise = {}, .unknown = {}};
    trace.say("  no upstream of {} has \"{}\" in its content", name.name, path);
    return unknown(fmt::format("no upstream is configured for \"{}\" at {}", path, name.name));
}

// The route of what is left of `path` when what it says of the registry is taken off, if that is
// what `name` says too.
std::optional<Route> Routing::Impl::said_twice(const Named& name, std::string_view path,
                                               Via via) const {
    const size_t slash = path.find('/');
    if (slash == std::string_view::npos) return {};
    if (looks_like_registry(path.substr(0, slash))) {
        const Named* again = names.find(path.substr(0, slash), Use::prefix);
        return again && same(*again, name) ? by_name(name, path.substr(slash + 1), via)
                                           : std::nullopt;
    }
    if (name.destination) {
        if (name.destination->empty() || !below(path, *name.destination)) return {};
        const std::string_view rest = path.substr(name.destination->size() + 1);
        auto route = by_name(name, rest, via);
        if (route && is_hub(route->candidates[0].registry) && is_one_part(rest)) return {};
        return route;
    }
    for (size_t registry : name.registries) {
        for (std::string_view has : mappings[registry].destinations()) {
            if (has.empty() || !below(path, has)) continue;
            if (is_hub(registry) && is_one_part(path.substr(has.size() + 1))) continue;
            auto route = destination(path);
            if (!route || !leads_to(name, *route)) continue;
            route->via = via;
            return route;
        }
    }
    return {};
}

// Whether `text` says the registry that `name` is.
bool Routing::Impl::says(const Named& name, std::string_view text) const {
    if (const Named* again = names.find(text, Use::prefix)) return same(*again, name);
    if (name.destination) return text == *name.destination;
    return std::ranges::any_of(name.registries, [&](size_t registry) {
        const auto all = mappings[registry].destinations();
        return std::ranges::find(all, text) != all.end();
    });
}

// The registry is said by ?ns= and by the path; and where the path goes on with "/v2/" the mirror's
// address has the registry behind its own /v2, and no override_path.
std::optional<Resolution> Routing::Impl::with_ns(const Named& name, std::string_view path) const {
    Resolution found{.route = said_twice(name, path, Via::ns), .otherwise = {}, .unknown = {}};
    const size_t inner = path.find("/v2/");
    if (inner != std::string_view::npos && says(name, path.substr(0, inner))) {
        const std::string_view rest = path.substr(inner + 4);
        std::string once(path.substr(0, inner + 1));
        found.otherwise = said_twice(name, once.append(rest), Via::ns);
        if (found.otherwise && !is_one_part(rest)) std::swap(found.route, found.otherwise);
    }
    if (!found) return {};
    return found;
}

bool Routing::Impl::leads_to(const Named& name, const Route& route) const {
    const size_t first = route.candidates[0].registry;
    if (!name.destination)
        return std::ranges::find(name.registries, first) != name.registries.end();
    return below(route.repository, *name.destination) || name.destination->empty();
}

// A destination, or a place below one.
bool Routing::Impl::is_destination(std::string_view path) const {
    for (size_t i = 0; i < mappings.size(); ++i) {
        for (std::string_view has : mappings[i].destinations())
            if (asked(i) && !has.empty() && (path == has || below(path, has))) return true;
    }
    return false;
}

Resolution Routing::Impl::resolve(const Target& target, const Trace& trace) const {
    if (target.repository.empty()) return unknown("the repository's name is empty");
    if (!target.before.empty()) return before(target, trace);
    if (tolerant(target) && target.repository.starts_with(kDoubled) &&
        target.repository.size() > kDoubled.size())
        return doubled(target, trace);
    return plain(target, trace);
}

// /v2/v2/...: once too often, or a project of that name.
Resolution Routing::Impl::doubled(const Target& target, const Trace& trace) const {
    // Led here by DNS, a client says exactly what it would say to the upstream.
    if (target.ns.empty() && names.find(target.host, Use::host)) return plain(target, trace);
    Target once = target;
    once.repository.remove_prefix(kDoubled.size());
    trace.say("path: /v2/v2/ is /v2/, or \"{}\" is meant", target.repository);
    Resolution first = plain(once, trace), second = plain(target, trace);
    if (is_one_part(once.repository)) std::swap(first, second);
    if (!first) return second;
    first.otherwise = std::move(second.route);
    return first;
}

// /docker.io/v2/..., /hub/v2/...: what stands before /v2/ says the registry.
Resolution Routing::Impl::before(const Target& target, const Trace& trace) const {
    const Named* ns = target.ns.empty() ? nullptr : names.find(target.ns, Use::ns);
    if (!target.ns.empty() && !ns && !names.is_itself(target.ns))
        return unknown(fmt::format("no upstream is configured for the registry \"{}\"",
                                   ascii_lower(target.ns)));
    if (const Named* name = names.find(target.before, Use::prefix)) {
        trace.say("path: \"{}\" before /v2/ is {}", target.before, name->name);
        if (!ns || same(*ns, *name)) return named(*name, target.repository, Via::prefix, trace);
    } else if (is_destination(target.before)) {
        trace.say("path: \"{}\" before /v2/ is a destination", target.before);
        auto route = destination(joined(target.before, target.repository));
        if (route && (!ns || leads_to(*ns, *route)))
            return {.route = std::move(route), .otherwise = {}, .unknown = {}};
    } else if (ns && !looks_like_registry(target.before)) {
        // A mirror's path that means nothing here; the registry is said all the same.
        trace.say("path: \"{}\" before /v2/ says nothing; ns: {}", target.before, ns->name);
        return named(*ns, target.repository, Via::ns, trace);
    }
    return unknown(fmt::format("no upstream is configured for \"/{}\" before /v2/{}", target.before,
                               ns ? ", or not the one that ns names" : ""));
}

Resolution Routing::Impl::plain(const Target& target, const Trace& trace) const {
    const std::string_view repository = target.repository;
    if (!target.ns.empty()) {
        if (const Named* name = names.find(target.ns, Use::ns)) {
            trace.say("ns: \"{}\" is {}", target.ns, name->name);
            if (auto both = tolerant(target) ? with_ns(*name, repository) : std::nullopt) {
                trace.say("path: it says so too; without it: {}", both->route->repository);
                return std::move(*both);
            }
            return named(*name, repository, Via::ns, trace);
        }
        if (!names.is_itself(target.ns)) {
            trace.say("ns: \"{}\" is not known; the world is closed", target.ns);
            return unknown(fmt::format("no upstream is configured for the registry \"{}\"",
                                       ascii_lower(target.ns)));
        }
        trace.say("ns: \"{}\" is weir itself", target.ns);
    }

    const size_t slash = repository.find('/');
    const std::string_view first = repository.substr(0, slash);
    if (slash != std::string_view::npos && looks_like_registry(first)) {
        if (const Named* name = names.find(first, Use::prefix)) {
            trace.say("prefix: \"{}\" is {}", first, name->name);
            return named(*name, repository.substr(slash + 1), Via::prefix, trace);
        }
        trace.say("prefix: \"{}\" is not a name that is known", first);
    }

    if (const Named* name = names.find(target.host, Use::host)) {
        trace.say("host: \"{}\" is {}", target.host, name->name);
        if (auto route =
                tolerant(target) ? said_twice(*name, repository, Via::host) : std::nullopt) {
            trace.say("path: it says so too; without it: {}", route->repository);
            return {.route = std::move(route), .otherwise = {}, .unknown = {}};
        }
        return named(*name, repository, Via::host, trace);
    }
    trace.say("host: \"{}\" is not an upstream's name", target.host);

    if (auto route = destination(repository)) {
        trace.say("destination: the content of {} matches",
                  config->registries[route->candidates[0].registry].name);
        return {.route = std::move(route), .otherwise = {}, .unknown = {}};
    }
    trace.say("destination: no content of any registry matches \"{}\"", repository);

    if (const Named* name = names.fallback(target.host)) {
        trace.say("host: \"{}\" is not known; weir.hosts.default serves it", target.host);
        return named(*name, repository, Via::host, trace);
    }

    // A registry's name that isn't known is no organisation of the one that serves bare names.
    const bool foreign = slash != std::string_view::npos && looks_like_registry(first);
    if (const Named* name = foreign ? nullptr : bare_name()) {
        trace.say("bare: {} serves names without a registry", name->name);
        return named(*name, repository, Via::bare, trace);
    }
    trace.say("bare: nobody serves names without a registry");
    return unknown(fmt::format("no upstream is configured for \"{}\"", repository));
}

Routing::Routing(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Routing::~Routing() = default;
Routing::Routing(Routing&&) noexcept = default;
Routing& Routing::operator=(Routing&&) noexcept = default;

Routing Routing::build(std::shared_ptr<const Config> config) {
    auto impl = std::make_unique<const Impl>(std::move(config));
    for (const auto& [name, destination] : impl->config->hosts) {
        std::vector<std::string> known;
        bool found = false;
        for (const Mapping& mapping : impl->mappings) {
            for (std::string_view has : mapping.destinations()) {
                // Below a destination is inside of it: "hub/acme" of "hub".
                found = found || has.empty() || destination == has ||
                        destination.starts_with(std::string(has) + "/");
                known.push_back("/" + std::string(has));
            }
        }
        if (found) continue;
        throw Failure(Kind::config_invalid,
                      fmt::format("weir.hosts.{}: no registry in extensions.sync has the "
                                  "destination \"{}\" (there are: {})",
                                  name, destination, fmt::join(known, ", ")));
    }
    if (impl->config->bare_upstream_given && impl->config->bare_upstream != "none" &&
        !impl->bare_name()) {
        throw Failure(
            Kind::config_invalid,
            fmt::format("weir.bareUpstream: \"{}\" is not a name of any upstream (there are: {})",
                        impl->config->bare_upstream, fmt::join(impl->names.all(), ", ")));
    }
    return Routing(std::move(impl));
}

Resolution Routing::resolve(const Target& target) const {
    return impl_->resolve(target, Trace(nullptr));
}

std::vector<Candidate> Routing::candidates(std::string_view local) const {
    // A local name of at_registries() says itself whose it is.
    const size_t slash = local.find('/');
    if (slash != std::string_view::npos && looks_like_registry(local.substr(0, slash))) {
        if (const Named* name = impl_->names.find(local.substr(0, slash), Use::prefix)) {
            auto route = impl_->by_name(*name, local.substr(slash + 1), Via::prefix);
            if (route && route->repository == local) return std::move(route->candidates);
        }
    }
    return impl_->by_destination(local);
}

bool Routing::serves(std::string_view before) const {
    return before.empty() || impl_->names.find(before, Use::prefix) ||
           impl_->is_destination(before);
}

std::vector<std::string> Routing::names() const {
    return impl_->names.all();
}

std::string Routing::explain(const Target& target) const {
    std::string out;
    const Resolution resolution = impl_->resolve(target, Trace(&out));
    if (!resolution) return out + "not found: " + resolution.unknown + "\n";
    out += fmt::format("local repository: {} (by {})\n", resolution.route->repository,
                       via_name(resolution.route->via));
    for (const Candidate& candidate : resolution.route->candidates) {
        const Registry& registry = impl_->config->registries[candidate.registry];
        out += fmt::format("ask {} for {} ({})\n", registry.name, candidate.repository,
                           fmt::join(registry.urls, ", "));
    }
    if (resolution.otherwise)
        out += fmt::format("if it has no such thing: {}\n", resolution.otherwise->repository);
    return out;
}

}  // namespace weir::config
