// base/glob.h: patterns on repository names, as zot reads them: Go's doublestar, v4.
//
// `*` is any text within one component. `**` as a whole component is any number of components, none
// too: "a/**" matches "a". `?` is one character, `[a-z]`, `[^a-z]` and `[!a-z]` one of a class.
// `{a,b/c}` are alternatives, nested or not. A backslash takes the next character as it is. Matches
// bytes, case-sensitively, the whole name, in bounded time.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace weir {

inline constexpr size_t kMaxGlobBytes = 1024;
inline constexpr size_t kMaxGlobNesting = 16;  // of braces

class Glob {
public:
    // nullopt: unbalanced [ or {, a trailing backslash, too long, or braces too deep.
    static std::optional<Glob> parse(std::string_view pattern);
    bool matches(std::string_view name) const;

private:
    std::string pattern_;
};

// "acme/tools/**" -> {"acme/tools", "**"}, "acme/t*" -> {"acme", "t*"}, "**" -> {"", "**"}, "a/b"
// -> {"a/b", ""}: the components before the first that holds a special character, and the rest.
std::pair<std::string_view, std::string_view> split_glob(std::string_view pattern);

}  // namespace weir
