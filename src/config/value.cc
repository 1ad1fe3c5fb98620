#include "config/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/redact.h"
#include "base/text.h"

namespace weir::config {
namespace {

constexpr size_t kMaxShownBytes = 40;

template <class... Args>
std::unexpected<std::string> wrong(fmt::format_string<Args...> text, Args&&... args) {
    return std::unexpected(fmt::format(text, std::forward<Args>(args)...));
}

// Go's strconv.ParseInt with base 0: a sign, 0x, 0o, 0b and underscores.
std::optional<int64_t> parse_go_integer(std::string_view text) {
    bool negative = false;
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
        negative = text[0] == '-';
        text.remove_prefix(1);
    }
    int base = 10;
    if (text.size() > 1 && text[0] == '0') {
        switch (ascii_lower(text[1])) {
            case 'x':
                base = 16;
                break;
            case 'o':
                base = 8;
                break;
            case 'b':
                base = 2;
                break;
            default:
                base = 8;
                break;
        }
        text.remove_prefix(ascii_lower(text[1]) >= 'a' ? 2 : 1);
    }
    std::string digits;
    for (char c : text) {
        if (c != '_') digits += c;
    }
    uint64_t value = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return {};
    const auto limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
    if (value > limit) return {};
    return negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

std::optional<double> parse_real(std::string_view text) {
    double value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
    if (!std::isfinite(value)) return {};
    return value;
}

struct DurationUnit {
    std::string_view name;
    double nanoseconds;
};
constexpr DurationUnit kDurationUnits[] = {
    {"ns", 1},   {"us", 1e3}, {"\u00b5s", 1e3}, {"\u03bcs", 1e3},
    {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},      {"h", 3600e9},
};

struct SizeUnit {
    std::string_view name;
    uint64_t bytes;
};
constexpr SizeUnit kSizeUnits[] = {
    {"", 1},
    {"b", 1},
    {"kb", 1000},
    {"mb", 1000'000},
    {"gb", 1000'000'000},
    {"tb", 1000'000'000'000},
    {"kib", kKiB},
    {"mib", kMiB},
    {"gib", kGiB},
    {"tib", 1024 * kGiB},
};

}  // namespace

const Value* Value::find(std::string_view key) const {
    for (size_t i = keys.size(); i-- > 0;) {
        if (iequals(keys[i], key)) return &items[i];
    }
    return nullptr;
}

void mark_secrets(Value& root) {
    for (size_t i = 0; i < root.items.size(); ++i) {
        Value& item = root.items[i];
        item.secret = root.secret || (i < root.keys.size() && names_secret(root.keys[i]));
        mark_secrets(item);
    }
}

std::string describe(const Value& value) {
    if (value.secret && value.is(Value::Type::text)) return "a text";
    if (value.secret && (value.is(Value::Type::integer) || value.is(Value::Type::real)))
        return "a number";
    switch (value.type) {
        case Value::Type::null:
            return "nothing";
        case Value::Type::boolean:
            return value.boolean ? "true" : "false";
        case Value::Type::integer:
            return fmt::format("the number {}", value.integer);
        case Value::Type::real:
            return fmt::format("the number {}", value.real);
        case Value::Type::text: {
            std::string shown;
            log::append_json_escaped(shown, std::string_view(value.text).substr(0, kMaxShownBytes));
            return fmt::format("the text \"{}{}\"", shown,
                               value.text.size() > kMaxShownBytes ? "..." : "");
        }
        case Value::Type::list:
            return "a list";
        case Value::Type::map:
            return "a map";
    }
    return "nothing";
}

Weak<std::string> weak_text(const Value& value) {
    switch (value.type) {
        case Value::Type::text:
            return value.text;
        case Value::Type::integer:
            return fmt::format("{}", value.integer);
        case Value::Type::real:
            return fmt::format("{}", value.real);
        case Value::Type::boolean:
            return value.boolean ? "1" : "0";  // as mapstructure does
        default:
            return wrong("expected a text, got {}", describe(value));
    }
}

Weak<bool> weak_flag(const Value& value) {
    switch (value.type) {
        case Value::Type::boolean:
            return value.boolean;
        case Value::Type::integer:
            return value.integer != 0;
        case Value::Type::real:
            return value.real != 0;
        case Value::Type::text:
            break;
        default:
            return wrong("expected true or false, got {}", describe(value));
    }
    // Go's strconv.ParseBool, and an empty text as false.
    for (std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
        if (value.text == yes) return true;
    }
    for (std::string_view no : {"", "0", "f", "F", "FALSE", "false", "False"}) {
        if (value.text == no) return false;
    }
    return wrong("expected true or false, got {}", describe(value));
}

Weak<int64_t> weak_integer(const Value& value) {
    switch (value.type) {
        case Value::Type::integer:
            return value.integer;
        case Value::Type::boolean:
            return value.boolean ? 1 : 0;
        case Value::Type::real:
            if (std::trunc(value.real) == value.real && std::fabs(value.real) < 9e15) {
                return static_cast<int64_t>(value.real);
            }
            break;
        case Value::Type::text:
            if (value.text.empty()) return 0;
            if (auto number = parse_go_integer(value.text)) return *number;
            break;
        default:
            break;
    }
    return wrong("expected a whole number, got {}", describe(value));
}

Weak<double> weak_number(const Value& value) {
    switch (value.type) {
        case Value::Type::integer:
            return static_cast<double>(value.integer);
        case Value::Type::real:
            return value.real;
        case Value::Type::boolean:
            return value.boolean ? 1.0 : 0.0;
        case Value::Type::text:
            if (value.text.empty()) return 0;
            if (auto number = parse_real(value.text)) return *number;
            break;
        default:
            break;
    }
    return wrong("expected a number, got {}", describe(value));
}

Weak<Duration> weak_duration(const Value& value) {
    if (value.is(Value::Type::text)) {
        auto duration = parse_duration(value.text);
        if (duration || !value.secret) return duration;
        return wrong("expected a duration, got {}", describe(value));
    }
    auto nanoseconds =
        value.is(Value::Type::boolean) ? std::unexpected(std::string()) : weak_integer(value);
    if (nanoseconds) return Duration(*nanoseconds);
    return wrong("expected a duration like \"30s\" or \"1h30m\", got {}", describe(value));
}

Weak<uint64_t> weak_bytes(const Value& value) {
    if (value.is(Value::Type::text)) {
        auto bytes = parse_bytes(value.text);
        if (bytes || !value.secret) return bytes;
        return wrong("expected a size, got {}", describe(value));
    }
    auto bytes =
        value.is(Value::Type::boolean) ? std::unexpected(std::string()) : weak_integer(value);
    if (bytes && *bytes >= 0) return static_cast<uint64_t>(*bytes);
    return wrong("expected a size like \"64MiB\" or a number of bytes, got {}", describe(value));
}

Weak<Size> weak_size(const Value& value) {
    if (value.is(Value::Type::text)) {
        std::string_view text = trim(value.text);
        if (text.ends_with('%')) {
            auto percent = parse_real(trim(text.substr(0, text.size() - 1)));
            if (percent && *percent >= 0 && *percent <= 100) return Size{0, *percent};
            return wrong("expected a share from 0% to 100%, got {}", describe(value));
        }
    }
    auto bytes = weak_bytes(value);
    if (!bytes) return std::unexpected(std::move(bytes.error()));
    return Size{*bytes, {}};
}

Weak<Duration> parse_duration(std::string_view text) {
    const auto bad = [&](std::string_view why) {
        return wrong("\"{}\" is not a duration{}; write it like \"30s\", \"5m\" or \"1h30m\"",
                     text.substr(0, kMaxShownBytes), why);
    };
    std::string_view rest = text;
    bool negative = false;
    if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
        negative = rest[0] == '-';
        rest.remove_prefix(1);
    }
    if (rest == "0") return Duration(0);
    if (rest.empty()) return bad("");

    double total = 0;
    while (!rest.empty()) {
        const size_t digits = std::min(rest.find_first_not_of("0123456789."), rest.size());
        const std::string_view number = rest.substr(0, digits);
        if (number.empty() || number == "." || std::ranges::count(number, '.') > 1) return bad("");
        rest.remove_prefix(digits);
        const std::string_view unit =
            rest.substr(0, std::min(rest.find_first_of("0123456789."), rest.size()));
        rest.remove_prefix(unit.size());
        if (unit.empty()) return bad(" (the unit is missing)");
        auto known = std::ranges::find(kDurationUnits, unit, &DurationUnit::name);
        if (known == std::end(kDurationUnits)) {
            return bad(unit == "d" ? " (days are not a unit: 2d is \"48h\")"
                                   : " (units are ns, us, ms, s, m, h)");
        }
        // "1." and ".5" are Go's too.
        std::string padded = "0" + std::string(number) + (number.ends_with('.') ? "0" : "");
        total += parse_real(padded).value_or(0) * known->nanoseconds;
        if (total > 9.2e18) return bad(" (too long)");
    }
    return Duration(static_cast<int64_t>(negative ? -total : total));
}

Weak<uint64_t> parse_bytes(std::string_view text) {
    const std::string_view all = trim(text);
    const size_t digits = std::min(all.find_first_not_of("0123456789."), all.size());
    const std::string unit = ascii_lower(trim(all.substr(digits)));
    auto number = parse_real(all.substr(0, digits));
    auto known = std::ranges::find(kSizeUnits, std::string_view(unit), &SizeUnit::name);
    if (!number || known == std::end(kSizeUnits)) {
        return wrong(
            "\"{}\" is not a size; write it like \"50GB\" (10^9), \"10GiB\" (2^30) or in bytes",
            text.substr(0, kMaxShownBytes));
    }
    const double bytes = *number * static_cast<double>(known->bytes);
    if (bytes > 9e18) return wrong("\"{}\" is too large a size", text.substr(0, kMaxShownBytes));
    return static_cast<uint64_t>(bytes);
}

std::string show(Duration duration) {
    using namespace std::chrono_literals;
    if (duration == 0ns) return "0s";
    if (duration < 0ns) return "-" + show(-duration);
    if (duration < 1s) {
        if (duration % 1ms == 0ns) return fmt::format("{}ms", duration / 1ms);
        return fmt::format("{}ns", duration.count());
    }
    std::string out;
    if (auto hours = duration / 1h) out += fmt::format("{}h", hours);
    if (auto minutes = duration % 1h / 1min) out += fmt::format("{}m", minutes);
    if (auto rest = duration % 1min; rest != 0ns) {
        out += fmt::format("{}s", static_cast<double>(rest.count()) / 1e9);
    }
    return out;
}

std::string show_bytes(uint64_t bytes) {
    for (const auto& [unit, name] :
         {std::pair{1024 * kGiB, "TiB"}, {kGiB, "GiB"}, {kMiB, "MiB"}, {kKiB, "KiB"}}) {
        if (bytes >= unit && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, name);
    }
    return fmt::format("{}", bytes);
}

std::string show(const Size& size) {
    return size.percent ? fmt::format("{}%", *size.percent) : show_bytes(size.bytes);
}

}  // namespace weir::config
