#include "base/glob.h"

namespace weir {
namespace {

// More than any real pattern on a name of 255 bytes needs; stops a hostile one.
constexpr size_t kMaxGlobSteps = 100'000;

// The index of the brace that closes the one before `from`, or npos.
size_t closing_brace(std::string_view pattern, size_t from) {
    size_t depth = 1;
    for (size_t i = from; i < pattern.size(); ++i) {
        if (pattern[i] == '\\') {
            ++i;
        } else if (pattern[i] == '{') {
            ++depth;
        } else if (pattern[i] == '}' && --depth == 0) {
            return i;
        }
    }
    return std::string_view::npos;
}

// Calls `use` with each alternative of a group's inside, until it says true.
template <class F>
bool any_alternative(std::string_view group, F use) {
    size_t depth = 0, from = 0;
    for (size_t i = 0; i < group.size(); ++i) {
        if (group[i] == '\\') {
            ++i;
        } else if (group[i] == '{') {
            ++depth;
        } else if (group[i] == '}') {
            --depth;
        } else if (group[i] == ',' && depth == 0) {
            if (use(group.substr(from, i - from))) return true;
            from = i + 1;
        }
    }
    return use(group.substr(from));
}

// Balanced, closed, nothing cut off, and no classes with odd dashes.
bool well_formed(std::string_view pattern) {
    size_t depth = 0;
    for (size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == '\\') {
            if (++i == pattern.size()) return false;
        } else if (pattern[i] == '{') {
            if (++depth > kMaxGlobNesting) return false;
        } else if (pattern[i] == '}') {
            if (depth-- == 0) return false;
        } else if (pattern[i] == '[') {
            if (++i < pattern.size() && (pattern[i] == '^' || pattern[i] == '!')) ++i;
            if (i >= pattern.size() || pattern[i] == ']' || pattern[i] == '-') return false;
            for (; i < pattern.size() && pattern[i] != ']'; ++i) {
                // A class is never cut by a group around it.
                const char c = pattern[i];
                if (depth > 0 && (c == '{' || c == '}' || c == ',')) return false;
                if (pattern[i] == '\\') {
                    if (++i == pattern.size()) return false;
                }
                if (i + 1 < pattern.size() && pattern[i + 1] == '-') {
                    // "a-" and "a-b-c" are errors.
                    i += 2;
                    if (i >= pattern.size() || pattern[i] == ']' || pattern[i] == '-') return false;
                    if (pattern[i] == '\\') ++i;
                    if (i + 1 < pattern.size() && pattern[i + 1] == '-') return false;
                }
            }
            if (i >= pattern.size()) return false;
        }
    }
    return depth == 0;
}

// Matches a well-formed pattern against a name.
class Matcher {
public:
    bool run(std::string_view pattern, std::string_view name, bool component_start = true) {
        while (true) {
            if (++steps_ > kMaxGlobSteps) return false;
            if (name.empty()) return matches_nothing(pattern);
            if (pattern.empty()) return false;
            const char c = pattern[0];
            if (component_start && is_double_star(pattern)) return any_components(pattern, name);
            if (c == '*') return any_text(pattern, name);
            if (c == '{') return any_of_group(pattern, name);
            component_start = c == '/';
            if (c == '[') {
                if (!in_class(pattern, name[0])) return false;
            } else if (c == '?') {
                if (name[0] == '/') return false;
                pattern.remove_prefix(1);
            } else {
                if (c == '\\') pattern.remove_prefix(1);
                if (pattern[0] != name[0]) return false;
                pattern.remove_prefix(1);
            }
            name.remove_prefix(1);
        }
    }

private:
    // "**" that is a whole component.
    static bool is_double_star(std::string_view pattern) {
        return pattern.starts_with("**") && (pattern.size() == 2 || pattern[2] == '/');
    }

    // What may be left of the pattern where the name ends: "a/**" matches "a".
    bool matches_nothing(std::string_view pattern) {
        for (std::string_view empty : {"", "*", "**", "/**", "**/", "/**/"}) {
            if (pattern == empty) return true;
        }
        if (pattern[0] != '{') return false;
        const size_t close = closing_brace(pattern, 1);
        return any_alternative(pattern.substr(1, close - 1), [&](std::string_view alternative) {
            if (++steps_ > kMaxGlobSteps) return false;
            return matches_nothing(std::string(alternative).append(pattern.substr(close + 1)));
        });
    }

    bool any_components(std::string_view pattern, std::string_view name) {
        pattern.remove_prefix(2);
        if (pattern.empty()) return true;
        pattern.remove_prefix(1);
        while (true) {
            if (run(pattern, name)) return true;
            const size_t slash = name.find('/');
            if (slash == std::string_view::npos || steps_ > kMaxGlobSteps) return false;
            name.remove_prefix(slash + 1);
        }
    }

    bool any_text(std::string_view pattern, std::string_view name) {
        pattern.remove_prefix(pattern.starts_with("**") ? 2 : 1);
        while (true) {
            if (run(pattern, name, false)) return true;
            if (name.empty() || name[0] == '/' || steps_ > kMaxGlobSteps) return false;
            name.remove_prefix(1);
        }
    }

    bool any_of_group(std::string_view pattern, std::string_view name) {
        const size_t close = closing_brace(pattern, 1);
        return any_alternative(pattern.substr(1, close - 1), [&](std::string_view alternative) {
            return run(std::string(alternative).append(pattern.substr(close + 1)), name);
        });
    }

    // Eats the class.
    static bool in_class(std::string_view& pattern, char c) {
        pattern.remove_prefix(1);
        const bool negated = pattern[0] == '^' || pattern[0] == '!';
        if (negated) pattern.remove_prefix(1);
        const auto take = [&pattern] {
            if (pattern[0] == '\\') pattern.remove_prefix(1);
            const char taken = pattern[0];
            pattern.remove_prefix(1);
            return taken;
        };
        bool found = false;
        while (pattern[0] != ']') {
            const char low = take();
            char high = low;
            if (pattern[0] == '-') {
                pattern.remove_prefix(1);
                high = take();
            }
            found = found || (low <= c && c <= high);
        }
        pattern.remove_prefix(1);
        return found != negated;
    }

    size_t steps_ = 0;
};

}  // namespace

std::optional<Glob> Glob::parse(std::string_view pattern) {
    if (pattern.size() > kMaxGlobBytes || !well_formed(pattern)) return {};
    Glob glob;
    glob.pattern_ = pattern;
    return glob;
}

bool Glob::matches(std::string_view name) const {
    return Matcher().run(pattern_, name);
}

std::pair<std::string_view, std::string_view> split_glob(std::string_view pattern) {
    size_t slash = std::string_view::npos;
    for (size_t i = 0; i < pattern.size(); ++i) {
        const char c = pattern[i];
        if (c == '*' || c == '?' || c == '[' || c == '{') {
            if (slash == std::string_view::npos) return {"", pattern};
            return {pattern.substr(0, slash), pattern.substr(slash + 1)};
        }
        if (c == '\\') {
            ++i;
        } else if (c == '/') {
            slash = i;
        }
    }
    return {pattern, ""};
}

}  // namespace weir
