// config/value.h: a configuration file as a tree, before anything is known of its meaning, and
// zot's weak types.
//
// JSON and YAML become the same tree. Keys keep the case they were written in and are found without
// regard to it. The conversions are those of zot's loader (mapstructure, weakly typed): a number
// where a text is wanted, "true" for true, one value where a list is wanted; null is as if the key
// weren't there.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "config/config.h"

namespace weir::config {

struct Value {
    enum class Type : uint8_t { null, boolean, integer, real, text, list, map };

    Type type = Type::null;
    bool boolean = false;
    int64_t integer = 0;
    double real = 0;
    std::string text;
    std::vector<Value> items;       // of a list or a map
    std::vector<std::string> keys;  // of a map, one for each item
    uint32_t line = 0;              // where it stands in the file; 0: not known
    bool secret = false;            // it stands below a key that names a secret: never shown

    bool is(Type t) const { return type == t; }
    // nullptr when absent. The last one of that name.
    const Value* find(std::string_view key) const;
};

enum class Format : uint8_t { json, yaml };

struct ParseError {
    std::string what;
    uint32_t line = 0, column = 0;
};

// The whole text, within kMaxDepth and kMaxValues. A JSON file is JSON: no comments, no trailing
// commas.
std::expected<Value, ParseError> parse_json(std::string_view text);
// The first and only document. Anchors and merge keys (<<) are followed.
std::expected<Value, ParseError> parse_yaml(std::string_view text);

// By the file's extension: .json, .yaml, .yml; without one (or with a foreign one) JSON, then YAML.
// TOML and the other formats of zot's loader are refused with a hint.
std::expected<Value, ParseError> parse_file(std::string_view path, std::string_view text);

// ---- weak types; the error says what was expected
// ---------------------------------------------------------------------

template <class T>
using Weak = std::expected<T, std::string>;

Weak<std::string> weak_text(const Value&);
Weak<bool> weak_flag(const Value&);
Weak<int64_t> weak_integer(const Value&);
Weak<double> weak_number(const Value&);
Weak<Duration> weak_duration(const Value&);
Weak<uint64_t> weak_bytes(const Value&);
Weak<Size> weak_size(const Value&);

// Go's time.ParseDuration: "1h30m", "300ms", "-1.5h", "0". Days are not a unit.
Weak<Duration> parse_duration(std::string_view);
// "4096", "50GB" (10^9), "10GiB" (2^30); a lone letter is refused because it says neither.
Weak<uint64_t> parse_bytes(std::string_view);

// "1h30m", "64MiB", "512MiB", "80%": as a person would write them, and as the functions above read
// them.
std::string show(Duration);
std::string show_bytes(uint64_t);
std::string show(const Size&);

// Marks all that stands below keys such as "password" and "credentials" (base/redact.h). What is
// wrong with a file is pasted into mails and issues.
void mark_secrets(Value& root);

// "a map", "the text \"abc\"": for messages; of a secret only its type.
std::string describe(const Value&);

}  // namespace weir::config
