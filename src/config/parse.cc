// JSON by Boost.JSON's event parser, fed line by line so that every value knows its line; YAML by
// yaml-cpp.
#include <yaml-cpp/yaml.h>

#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "config/value.h"

namespace weir::config {
namespace {

namespace json = boost::json;

// Builds the tree from the parser's events.
class Handler {
public:
    static constexpr size_t max_object_size = kMaxValues;
    static constexpr size_t max_array_size = kMaxValues;
    static constexpr size_t max_key_size = 64 * 1024;
    static constexpr size_t max_string_size = kMaxFileBytes;

    uint32_t line = 1;
    Value root;
    std::string refused;  // why, when a limit of ours ended it

    bool on_document_begin(json::error_code&) { return true; }
    bool on_document_end(json::error_code&) { return true; }
    bool on_object_begin(json::error_code& error) { return open(Value::Type::map, error); }
    bool on_object_end(size_t, json::error_code&) { return close(); }
    bool on_array_begin(json::error_code& error) { return open(Value::Type::list, error); }
    bool on_array_end(size_t, json::error_code&) { return close(); }
    bool on_key_part(json::string_view part, size_t, json::error_code&) { return append(part); }
    bool on_key(json::string_view part, size_t, json::error_code&) {
        append(part);
        open_.back()->keys.push_back(std::exchange(text_, {}));
        return true;
    }
    bool on_string_part(json::string_view part, size_t, json::error_code&) { return append(part); }
    bool on_string(json::string_view part, size_t, json::error_code& error) {
        append(part);
        Value value;
        value.type = Value::Type::text;
        value.text = std::exchange(text_, {});
        return add(std::move(value), error) != nullptr;
    }
    bool on_number_part(json::string_view, json::error_code&) { return true; }
    bool on_int64(int64_t number, json::string_view, json::error_code& error) {
        Value value;
        value.type = Value::Type::integer;
        value.integer = number;
        return add(std::move(value), error) != nullptr;
    }
    bool on_uint64(uint64_t number, json::string_view, json::error_code& error) {
        return on_double(static_cast<double>(number), {}, error);
    }
    bool on_double(double number, json::string_view, json::error_code& error) {
        Value value;
        value.type = Value::Type::real;
        value.real = number;
        return add(std::move(value), error) != nullptr;
    }
    bool on_bool(bool flag, json::error_code& error) {
        Value value;
        value.type = Value::Type::boolean;
        value.boolean = flag;
        return add(std::move(value), error) != nullptr;
    }
    bool on_null(json::error_code& error) { return add(Value(), error) != nullptr; }
    bool on_comment_part(json::string_view, json::error_code&) { return true; }
    bool on_comment(json::string_view, json::error_code&) { return true; }

private:
    bool append(json::string_view part) {
        text_.append(part.data(), part.size());
        return true;
    }
    Value* add(Value value, json::error_code& error) {
        if (++count_ > kMaxValues) {
            refused = fmt::format("more than {} values", kMaxValues);
            error = json::make_error_code(json::error::exception);
            return nullptr;
        }
        value.line = line;
        if (open_.empty()) {
            root = std::move(value);
            return &root;
        }
        // A parent's items may move when one is added, but an open child is always its parent's
        // last.
        return &open_.back()->items.emplace_back(std::move(value));
    }
    bool open(Value::Type type, json::error_code& error) {
        Value value;
        value.type = type;
        Value* placed = add(std::move(value), error);
        if (placed) open_.push_back(placed);
        return placed != nullptr;
    }
    bool close() {
        open_.pop_back();
        return true;
    }

    std::vector<Value*> open_;
    std::string text_;
    size_t count_ = 0;
};

std::string json_hint(std::string_view rest, json::error_code error) {
    rest = trim(rest);
    if (rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#')) {
        return "JSON has no comments; remove it, or write the file in YAML";
    }
    if (error == json::error::extra_data) return "text after the end of the JSON value";
    if (error == json::error::incomplete) return "the file ends within the JSON value";
    if (error == json::error::too_deep) return fmt::format("nested deeper than {}", kMaxDepth);
    if (rest.starts_with(']') || rest.starts_with('}')) {
        return "not JSON: unexpected closing bracket (a comma too many?)";
    }
    return fmt::format("not JSON: {}", error.message());
}

// ---- YAML
// -------------------------------------------------------------------------------------------------------------

// Neither quoted nor tagged, so its type follows from its look.
bool is_plain(const YAML::Node& node) {
    return node.Tag() == "?" || node.Tag().empty();
}

// The core schema of YAML 1.2, as Go's yaml.v3 reads a value of no known type: yes, no, on, off
// stay texts.
Value scalar(const std::string& text, bool plain) {
    Value value;
    value.type = Value::Type::text;
    value.text = text;
    if (!plain) return value;
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
        return Value();
    for (std::string_view flag : {"true", "True", "TRUE", "false", "False", "FALSE"}) {
        if (text != flag) continue;
        value.type = Value::Type::boolean;
        value.boolean = ascii_lower(text[0]) == 't';
        return value;
    }
    const bool numeric =
        text.find_first_of("0123456789") <= 2 &&
        text.find_first_not_of("0123456789abcdefABCDEFxo+-._") == std::string::npos;
    if (!numeric) return value;
    std::string digits;
    for (char c : text) {
        if (c != '_') digits += c;
    }
    std::string_view body = digits;
    if (body.starts_with('+')) body.remove_prefix(1);
    int base = 10;
    if (body.starts_with("0x") || body.starts_with("0o")) {
        base = body[1] == 'x' ? 16 : 8;
        body.remove_prefix(2);
    }
    const char* end = body.data() + body.size();
    int64_t integer = 0;
    if (auto [at, error] = std::from_chars(body.data(), end, integer, base);
        at == end && error == std::errc()) {
        value.type = Value::Type::integer;
        value.integer = integer;
    } else if (double real = 0; base == 10) {
        auto [stop, wrong] = std::from_chars(body.data(), end, real);
        if (stop == end && wrong == std::errc() && std::isfinite(real)) {
            value.type = Value::Type::real;
            value.real = real;
        }
    }
    return value;
}

class YamlReader {
public:
    Value convert(const YAML::Node& node, size_t depth) {
        const auto line = static_cast<uint32_t>(node.Mark().line + 1);
        if (depth > kMaxDepth)
            throw ParseError{fmt::format("nested deeper than {}", kMaxDepth), line, 0};
        if (++count_ > kMaxValues)
            throw ParseError{fmt::format("more than {} values", kMaxValues), line, 0};
        Value value;
        if (node.IsScalar()) {
            value = scalar(node.Scalar(), is_plain(node));
        } else if (node.IsSequence()) {
            value.type = Value::Type::list;
            for (const auto& item : node) value.items.push_back(convert(item, depth + 1));
        } else if (node.IsMap()) {
            value.type = Value::Type::map;
            for (const auto& entry : node) add(value, entry.first, entry.second, depth);
            for (const auto& merged : std::exchange(merges_, {})) merge(value, merged);
        }
        value.line = line;
        return value;
    }

private:
    void add(Value& map, const YAML::Node& key, const YAML::Node& item, size_t depth) {
        const auto line = static_cast<uint32_t>(key.Mark().line + 1);
        if (!key.IsScalar()) throw ParseError{"a key must be a text", line, 0};
        // An item has merges of its own, which end with it.
        auto outer = std::exchange(merges_, {});
        Value value = convert(item, depth + 1);
        merges_ = std::move(outer);
        if (key.Scalar() == "<<" && is_plain(key)) {
            if (value.is(Value::Type::list)) {
                for (auto& each : value.items) merges_.push_back(std::move(each));
            } else {
                merges_.push_back(std::move(value));
            }
            return;
        }
        value.line = line;
        map.keys.push_back(key.Scalar());
        map.items.push_back(std::move(value));
    }

    // What the map itself says comes first.
    static void merge(Value& into, const Value& from) {
        if (!from.is(Value::Type::map)) throw ParseError{"<< merges maps only", from.line, 0};
        for (size_t i = 0; i < from.keys.size(); ++i) {
            if (into.find(from.keys[i])) continue;
            into.keys.push_back(from.keys[i]);
            into.items.push_back(from.items[i]);
        }
    }

    size_t count_ = 0;
    std::vector<Value> merges_;
};

}  // namespace

std::expected<Value, ParseError> parse_json(std::string_view text) {
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
    json::parse_options options;
    options.max_depth = kMaxDepth;
    json::basic_parser<Handler> parser(options);
    Handler& handler = parser.handler();
    json::error_code error;
    for (std::string_view rest = text; !rest.empty();) {
        const size_t end = std::min(rest.find('\n'), rest.size() - 1) + 1;
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end);
        size_t used = 0;
        if (!parser.done())
            used = parser.write_some(!rest.empty(), line.data(), line.size(), error);
        const size_t extra = line.find_first_not_of(" \t\r\n", used);
        if (!error && extra != std::string_view::npos) {
            used = extra;
            error = json::make_error_code(json::error::extra_data);
        }
        if (error) {
            std::string what =
                handler.refused.empty() ? json_hint(line.substr(used), error) : handler.refused;
            return std::unexpected(
                ParseError{std::move(what), handler.line, static_cast<uint32_t>(used + 1)});
        }
        ++handler.line;
    }
    if (!parser.done()) return std::unexpected(ParseError{"the file is empty", 1, 1});
    return std::move(handler.root);
}

std::expected<Value, ParseError> parse_yaml(std::string_view text) {
    try {
        const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
        if (documents.empty()) return std::unexpected(ParseError{"the file is empty", 1, 1});
        if (documents.size() > 1) {
            const auto line = static_cast<uint32_t>(documents[1].Mark().line + 1);
            return std::unexpected(ParseError{"more than one YAML document", line, 1});
        }
        return YamlReader().convert(documents[0], 0);
    } catch (const YAML::Exception& error) {
        return std::unexpected(ParseError{fmt::format("not YAML: {}", error.msg),
                                          static_cast<uint32_t>(error.mark.line + 1),
                                          static_cast<uint32_t>(error.mark.column + 1)});
    } catch (const ParseError& error) {
        return std::unexpected(error);
    }
}

std::expected<Value, ParseError> parse_file(std::string_view path, std::string_view text) {
    const std::string_view name = path.substr(path.find_last_of('/') + 1);
    const size_t dot = name.find_last_of('.');
    const std::string extension =
        dot == std::string_view::npos ? "" : ascii_lower(name.substr(dot + 1));
    if (extension == "json") return parse_json(text);
    if (extension == "yaml" || extension == "yml") return parse_yaml(text);
    for (std::string_view foreign :
         {"toml", "hcl", "tfvars", "ini", "properties", "props", "prop", "dotenv", "env"}) {
        if (extension == foreign) {
            return std::unexpected(ParseError{
                fmt::format("{} is not read; write the same keys as JSON or YAML (.json, .yaml)",
                            foreign),
                0, 0});
        }
    }
    auto as_json = parse_json(text);
    const size_t first = text.find_first_not_of(" \t\r\n");
    if (as_json || (first != std::string_view::npos && text[first] == '{')) return as_json;
    return parse_yaml(text);
}

}  // namespace weir::config
