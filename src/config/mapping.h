// config/mapping.h: zot's mapping between an upstream's repository names and the local ones
// (features.md 1.4).
//
// Local to upstream: for each content in order, the pattern is destination + "/" + prefix (with
// stripPrefix only the part of prefix from its first special component on); the first that matches
// decides. The upstream's name is the local one without the destination, with the literal part of
// prefix put back if it was stripped. No content: names are the same. An immutable value; any
// thread.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/glob.h"
#include "config/config.h"

namespace weir::config {

class Mapping {
public:
    // A content whose pattern can't be compiled matches nothing, as in zot (load() refuses it
    // before).
    explicit Mapping(const std::vector<Content>&);

    // nullopt: filtered out.
    std::optional<std::string> upstream(std::string_view local) const;
    std::optional<std::string> local(std::string_view upstream) const;
    // The same, looking only at the contents with exactly this destination (without outer slashes).
    std::optional<std::string> local_under(std::string_view destination,
                                           std::string_view upstream) const;

    // Destinations without outer slashes; "" is the root. Of no content: the root.
    std::vector<std::string_view> destinations() const&;
    std::vector<std::string_view> destinations() && = delete;

private:
    struct Rule {
        Glob local, upstream;
        std::string destination;
        std::string literal;  // the literal part of prefix, where it is stripped
        std::string localise(std::string_view name) const;
    };
    bool everything_ = false;
    std::vector<Rule> rules_;
};

}  // namespace weir::config
