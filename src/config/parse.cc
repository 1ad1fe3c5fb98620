// JSON by Boost.JSON's event parser, fed line by line so that every value knows its line; YAML by
// yaml-cpp.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <boost/json/basic_parser_impl.hpp>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>

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

// Builds the tree from the parser's events; throws ParseError at a limit. (YAML::LoadAll is not
// used: it never returns on some texts with a closing bracket too many.)
class YamlHandler : public YAML::EventHandler {
public:
    Value root;
    bool seen = false;

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (seen) throw ParseError{"more than one YAML document", line_of(mark), 0};
        seen = true;
    }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        leaf(Value(), mark, anchor);
    }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& text) override {
        // Neither quoted nor tagged: its type follows from its look.
        const bool plain = tag == "?" || tag.empty();
        leaf(scalar(text, plain), mark, anchor, plain && text == "<<");
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        auto known = anchors_.find(anchor);
        if (known == anchors_.end())
            throw ParseError{"an alias within its own anchor", line_of(mark), 0};
        if (open_.size() + height(known->second.value) > kMaxDepth) {
            throw ParseError{fmt::format("nested deeper than {}", kMaxDepth), line_of(mark), 0};
        }
        Value copy = known->second.value;
        count(known->second.values, mark);
        add(std::move(copy), mark);
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(Value::Type::list, mark, anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(Value::Type::map, mark, anchor);
    }
    void OnMapEnd() override { close(); }

private:
    static size_t height(const Value& value) {
        size_t highest = 0;
        for (const Value& item : value.items) highest = std::max(highest, height(item));
        return highest + 1;
    }

    // A list or map that is being read.
    struct Open {
        Value value;
        YAML::anchor_t anchor = 0;
        size_t first = 0;         // values counted before it
        bool key_next = true;     // of a map
        bool merge_next = false;  // the key was <<
        std::vector<Value> merges;
    };
    struct Anchored {
        Value value;
        size_t values = 0;
    };

    static uint32_t line_of(const YAML::Mark& mark) { return static_cast<uint32_t>(mark.line + 1); }

    void count(size_t values, const YAML::Mark& mark) {
        count_ += values;
        if (count_ > kMaxValues)
            throw ParseError{fmt::format("more than {} values", kMaxValues), line_of(mark), 0};
    }
    void leaf(Value value, const YAML::Mark& mark, YAML::anchor_t anchor, bool merge_key = false) {
        count(1, mark);
        value.line = line_of(mark);
        if (anchor) anchors_[anchor] = {value, 1};
        add(std::move(value), mark, merge_key);
    }
    void open(Value::Type type, const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (open_.size() > kMaxDepth) {
            throw ParseError{fmt::format("nested deeper than {}", kMaxDepth), line_of(mark), 0};
        }
        Open& made = open_.emplace_back();
        made.first = count_;
        made.anchor = anchor;
        made.value.type = type;
        made.value.line = line_of(mark);
        count(1, mark);
    }
    void close() {
        Open done = std::move(open_.back());
        open_.pop_back();
        for (const Value& merged : done.merges) merge(done.value, merged);
        if (done.anchor) anchors_[done.anchor] = {done.value, count_ - done.first};
        YAML::Mark mark;
        mark.line = static_cast<int>(done.value.line) - 1;
        add(std::move(done.value), mark);
    }
    void add(Value value, const YAML::Mark& mark, bool merge_key = false) {
        if (open_.empty()) {
            root = std::move(value);
            return;
        }
        Open& parent = open_.back();
        if (parent.value.is(Value::Type::list)) {
            parent.value.items.push_back(std::move(value));
        } else if (parent.key_next) {
            auto name = weak_text(value);
            if (!name) throw ParseError{"a key must be a text", line_of(mark), 0};
            // As it is written: a key "true" or "5000" is a text.
            parent.merge_next = merge_key;
            parent.key_next = false;
            parent.value.keys.push_back(value.text.empty() ? *name : value.text);
        } else {
            parent.key_next = true;
            if (!parent.merge_next) {
                parent.value.items.push_back(std::move(value));
                return;
            }
            parent.value.keys.pop_back();
            if (value.is(Value::Type::list)) {
                for (Value& each : value.items) parent.merges.push_back(std::move(each));
            } else {
                parent.merges.push_back(std::move(value));
            }
        }
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
    std::vector<Open> open_;
    std::map<YAML::anchor_t, Anchored> anchors_;
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
        std::istringstream stream{std::string(text)};
        YAML::Parser parser(stream);
        YamlHandler handler;
        if (!parser.HandleNextDocument(handler))
            return std::unexpected(ParseError{"the file is empty", 1, 1});
        parser.HandleNextDocument(handler);
        return std::move(handler.root);
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
