#include "config/mapping.h"

#include "config/routing.h"

namespace weir::config {
namespace {

std::string_view trim_slashes(std::string_view text) {
    while (text.starts_with('/')) text.remove_prefix(1);
    while (text.ends_with('/')) text.remove_suffix(1);
    return text;
}

std::string join(std::string_view a, std::string_view b) {
    std::string joined(a);
    if (!a.empty() && !b.empty()) joined += '/';
    return joined.append(b);
}

// "a/b/c" without "a/b" -> "c"; the name itself where the part isn't its beginning, as Go's
// TrimPrefix.
std::string_view without_prefix(std::string_view name, std::string_view part) {
    if (name.starts_with(part)) name.remove_prefix(part.size());
    return trim_slashes(name);
}

std::optional<std::string> unless_empty(std::string name) {
    if (name.empty()) return {};
    return name;
}

}  // namespace

Mapping::Mapping(const std::vector<Content>& contents) : everything_(contents.empty()) {
    for (const Content& content : contents) {
        const std::string_view prefix = trim_slashes(content.prefix);
        const auto [literal, special] = split_glob(prefix);
        Rule rule;
        rule.destination = trim_slashes(content.destination);
        if (content.strip_prefix) rule.literal = literal;
        auto local = Glob::parse(join(rule.destination, content.strip_prefix ? special : prefix));
        auto upstream = Glob::parse(prefix);
        if (!local || !upstream) continue;
        rule.local = std::move(*local);
        rule.upstream = std::move(*upstream);
        rules_.push_back(std::move(rule));
    }
}

std::string Mapping::Rule::localise(std::string_view name) const {
    return join(destination, without_prefix(name, literal));
}

std::optional<std::string> Mapping::upstream(std::string_view local) const {
    local = trim_slashes(local);
    if (everything_) return unless_empty(std::string(local));
    for (const Rule& rule : rules_) {
        if (!rule.local.matches(local)) continue;
        // "hub" itself matches "hub/**" and would be the upstream's root: no repository. The first
        // match decides.
        return unless_empty(join(rule.literal, without_prefix(local, rule.destination)));
    }
    return {};
}

std::optional<std::string> Mapping::local(std::string_view upstream) const {
    upstream = trim_slashes(upstream);
    if (upstream.empty()) return {};
    if (everything_) return unless_empty(std::string(upstream));
    for (const Rule& rule : rules_) {
        if (rule.upstream.matches(upstream)) return unless_empty(rule.localise(upstream));
    }
    return {};
}

std::optional<std::string> Mapping::local_under(std::string_view destination,
                                                std::string_view upstream) const {
    upstream = trim_slashes(upstream);
    if (upstream.empty()) return {};
    if (everything_ && destination.empty()) return unless_empty(std::string(upstream));
    for (const Rule& rule : rules_) {
        if (rule.destination != destination || !rule.upstream.matches(upstream)) continue;
        return unless_empty(rule.localise(upstream));
    }
    return {};
}

std::vector<std::string_view> Mapping::destinations() const& {
    std::vector<std::string_view> all;
    if (everything_) all.emplace_back("");
    for (const Rule& rule : rules_) all.push_back(rule.destination);
    return all;
}

std::optional<std::string> upstream_name(const std::vector<Content>& contents,
                                         std::string_view local) {
    return Mapping(contents).upstream(local);
}

std::optional<std::string> local_name(const std::vector<Content>& contents,
                                      std::string_view upstream) {
    return Mapping(contents).local(upstream);
}

}  // namespace weir::config
