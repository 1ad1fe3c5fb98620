// config/glob.h: patterns on repository names, with the meaning of Go's doublestar (v4), which zot
// uses.
//
// `*` any text within one component, `**` as a whole component any number of components (none too:
// "a/**" matches "a"),
// `?` one character, `[a-z]` `[^a-z]` `[!a-z]` one of a class, `{a,b/c}` alternatives (nesting
// allowed), a backslash takes the next character as it is. Matches bytes, case-sensitively, the
// whole name. Time is bounded: kMaxGlobSteps.
#pragma once
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::config {

inline constexpr size_t kMaxGlobBytes = 1024;
inline constexpr size_t kMaxGlobAlternatives = 256;

class Glob {
public:
    // nullopt: unbalanced [ or {, a trailing backslash, too long, or too many alternatives.
    static std::optional<Glob> parse(std::string_view pattern);
    bool matches(std::string_view name) const;

private:
    std::vector<std::string> alternatives_;  // braces expanded
};

// "acme/tools/**" -> {"acme/tools", "**"}, "acme/t*" -> {"acme", "t*"}, "**" -> {"", "**"}, "a/b"
// -> {"a/b", ""}: the components before the first that holds a special character, and the rest.
std::pair<std::string_view, std::string_view> split_glob(std::string_view pattern);

}  // namespace weir::config
