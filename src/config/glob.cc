#include "config/glob.h"

namespace weir::config {
namespace {

// More than any real pattern on a name of 255 bytes needs; stops a hostile one.
constexpr size_t kMaxGlobSteps = 100'000;

// The end of the brace group that opens at `open`, or npos.
size_t closing_brace(std::string_view pattern, size_t open) {
    size_t depth = 0;
    for (size_t i = open; i < pattern.size(); ++i) {
        if (pattern[i] == '\\') {
            ++i;
        } else if (pattern[i] == '[') {
            // A brace within a class is only a character.
            for (++i; i < pattern.size() && pattern[i] != ']'; ++i) {
                if (pattern[i] == '\\') ++i;
            }
        } else if (pattern[i] == '{') {
            ++depth;
        } else if (pattern[i] == '}' && --depth == 0) {
            return i;
        }
    }
    return std::string_view::npos;
}

std::vector<std::string_view> split_alternatives(std::string_view group) {
    std::vector<std::string_view> parts;
    size_t depth = 0, from = 0;
    for (size_t i = 0; i < group.size(); ++i) {
        if (group[i] == '\\') {
            ++i;
        } else if (group[i] == '{') {
            ++depth;
        } else if (group[i] == '}') {
            --depth;
        } else if (group[i] == ',' && depth == 0) {
            parts.push_back(group.substr(from, i - from));
            from = i + 1;
        }
    }
    parts.push_back(group.substr(std::min(from, group.size())));
    return parts;
}

// false: malformed or too many.
bool expand(std::string_view pattern, std::vector<std::string>& out) {
    for (size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == '\\') {
            if (++i == pattern.size()) return false;
        } else if (pattern[i] == '[') {
            size_t at = i + 1;
            if (at < pattern.size() && (pattern[at] == '^' || pattern[at] == '!')) ++at;
            const size_t first = at;
            for (; at < pattern.size() && (pattern[at] != ']' || at == first); ++at) {
                if (pattern[at] == '\\') ++at;
            }
            if (at >= pattern.size() || pattern[first] == ']') return false;
            i = at;
        } else if (pattern[i] == '}') {
            return false;
        } else if (pattern[i] == '{') {
            const size_t end = closing_brace(pattern, i);
            if (end == std::string_view::npos) return false;
            for (std::string_view part : split_alternatives(pattern.substr(i + 1, end - i - 1))) {
                std::string one(pattern.substr(0, i));
                one += part;
                one += pattern.substr(end + 1);
                if (one.size() > kMaxGlobBytes || !expand(one, out)) return false;
            }
            return true;
        }
    }
    if (out.size() >= kMaxGlobAlternatives) return false;
    out.emplace_back(pattern);
    return true;
}

// Matches one brace-free pattern against a name.
class Matcher {
public:
    bool run(std::string_view pattern, std::string_view name, bool component_start = true) {
        while (true) {
            if (++steps_ > kMaxGlobSteps) return false;
            if (pattern.empty()) return name.empty();
            if (component_start && is_double_star(pattern)) return any_components(pattern, name);
            const char c = pattern[0];
            if (c == '*') return any_text(pattern, name);
            if (name.empty()) return c == '/' && pattern == "/**";
            component_start = c == '/';
            if (c == '[') {
                if (name[0] == '/' || !in_class(pattern, name[0])) return false;
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
        while (!pattern.empty() && pattern[0] == '*') pattern.remove_prefix(1);
        while (true) {
            if (run(pattern, name, false)) return true;
            if (name.empty() || name[0] == '/' || steps_ > kMaxGlobSteps) return false;
            name.remove_prefix(1);
        }
    }

    // Eats the class. parse() has seen that it is closed.
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
            if (pattern[0] == '-' && pattern[1] != ']') {
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
    Glob glob;
    if (pattern.size() > kMaxGlobBytes || !expand(pattern, glob.alternatives_)) return {};
    return glob;
}

bool Glob::matches(std::string_view name) const {
    return std::ranges::any_of(alternatives_, [&](const std::string& alternative) {
        return Matcher().run(alternative, name);
    });
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

}  // namespace weir::config
