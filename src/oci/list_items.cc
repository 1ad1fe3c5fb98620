#include "oci/list_items.h"

#include <boost/json/basic_parser_impl.hpp>
#include <limits>

#include "oci/json.h"

namespace weir::oci {
namespace {

namespace json = boost::json;

// Takes the document apart and keeps nothing of it: whether it is JSON.
struct Checker {
    using Error = boost::system::error_code;
    static constexpr size_t max_object_size = std::numeric_limits<size_t>::max();
    static constexpr size_t max_array_size = std::numeric_limits<size_t>::max();
    static constexpr size_t max_key_size = std::numeric_limits<size_t>::max();
    static constexpr size_t max_string_size = std::numeric_limits<size_t>::max();
    bool on_document_begin(Error&) { return true; }
    bool on_document_end(Error&) { return true; }
    bool on_array_begin(Error&) { return true; }
    bool on_array_end(size_t, Error&) { return true; }
    bool on_object_begin(Error&) { return true; }
    bool on_object_end(size_t, Error&) { return true; }
    bool on_string_part(json::string_view, size_t, Error&) { return true; }
    bool on_string(json::string_view, size_t, Error&) { return true; }
    bool on_key_part(json::string_view, size_t, Error&) { return true; }
    bool on_key(json::string_view, size_t, Error&) { return true; }
    bool on_number_part(json::string_view, Error&) { return true; }
    bool on_int64(int64_t, json::string_view, Error&) { return true; }
    bool on_uint64(uint64_t, json::string_view, Error&) { return true; }
    bool on_double(double, json::string_view, Error&) { return true; }
    bool on_bool(bool, Error&) { return true; }
    bool on_null(Error&) { return true; }
    bool on_comment_part(json::string_view, Error&) { return true; }
    bool on_comment(json::string_view, Error&) { return true; }
};

std::string problem_of(std::string_view document) {
    json::parse_options options;
    options.max_depth = kMaxJsonDepth;
    options.allow_invalid_utf8 = true;
    json::basic_parser<Checker> parser(options);
    boost::system::error_code error;
    const size_t read = parser.write_some(false, document.data(), document.size(), error);
    if (error) return "not JSON: " + error.message();
    return read == document.size() ? "" : "not JSON: something follows it";
}

// Over JSON that was checked; what was not only ends it early.
class Walk {
public:
    explicit Walk(std::string_view text, size_t at = 0) : text_(text), at_(at) {}
    size_t at() const { return at_; }

    // Past blanks and `c`, if that is what comes.
    bool take(char c) {
        blanks();
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    // The text of the value that comes.
    std::string_view value() {
        blanks();
        const size_t first = at_;
        if (at_ < text_.size()) pass_value();
        return text_.substr(first, at_ - first);
    }

private:
    void blanks() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' ||
                                      text_[at_] == '\n' || text_[at_] == '\r'))
            ++at_;
    }
    void pass_string() {
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
            if (text_[at_] == '\\') ++at_;
        at_ = std::min(at_ + 1, text_.size());
    }
    void pass_value() {
        if (text_[at_] == '"') return pass_string();
        if (text_[at_] != '{' && text_[at_] != '[') {
            while (at_ < text_.size() &&
                   std::string_view(",]} \t\r\n").find(text_[at_]) == std::string_view::npos)
                ++at_;
            return;
        }
        size_t depth = 0;
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '"') {
                pass_string();
                continue;
            }
            ++at_;
            if (c == '{' || c == '[') ++depth;
            if ((c == '}' || c == ']') && --depth == 0) return;
        }
    }

    std::string_view text_;
    size_t at_;
};

bool is_key(std::string_view raw, std::string_view key) {
    return raw.size() == key.size() + 2 && raw.substr(1, key.size()) == key;
}

// Calls `member` with the key's and the value's text and the value's place, until it says false.
template <class F>
bool each_member(std::string_view object, F member) {
    Walk walk(object);
    if (!walk.take('{')) return false;
    while (!walk.take('}')) {
        const auto key = walk.value();
        if (key.empty() || !walk.take(':')) return true;
        const auto value = walk.value();
        if (value.empty() || !member(key, value)) return true;
        if (!walk.take(',')) return true;
    }
    return true;
}

}  // namespace

std::expected<ListItems, std::string> list_items(std::string_view document, std::string_view key) {
    if (document.size() > std::numeric_limits<uint32_t>::max())
        return std::unexpected("a document of more than 4 GiB");
    if (auto problem = problem_of(document); !problem.empty())
        return std::unexpected(std::move(problem));
    ListItems found;
    std::string_view list;
    const bool object = each_member(document, [&](std::string_view name, std::string_view value) {
        if (is_key(name, "name")) found.named = true;
        if (is_key(name, key)) list = value;
        return true;
    });
    if (!object) return std::unexpected("not a JSON object");
    found.present = !list.empty();
    if (list.empty() || list == "null") return found;
    if (list.front() != '[') return std::unexpected("\"" + std::string(key) + "\" is not a list");
    const auto base = static_cast<size_t>(list.data() - document.data());
    Walk walk(list);
    walk.take('[');
    while (!walk.take(']')) {
        const auto item = walk.value();
        if (item.empty()) break;
        found.items.push_back({static_cast<uint32_t>(base + (walk.at() - item.size())),
                               static_cast<uint32_t>(item.size())});
        if (!walk.take(',')) break;
    }
    return found;
}

std::vector<uint32_t> item_starts(std::string_view joined) {
    std::vector<uint32_t> starts;
    Walk walk(joined);
    while (walk.at() < joined.size()) {
        const auto item = walk.value();
        if (item.empty()) break;
        starts.push_back(static_cast<uint32_t>(walk.at() - item.size()));
        if (!walk.take(',')) break;
    }
    return starts;
}

std::string_view raw_member(std::string_view object, std::string_view key) {
    std::string_view found;
    each_member(object, [&](std::string_view name, std::string_view value) {
        if (is_key(name, key)) found = value;
        return true;
    });
    return found;
}

std::string string_of(std::string_view raw) {
    if (raw.size() < 2 || raw.front() != '"') return {};
    if (raw.find('\\') == std::string_view::npos) return std::string(raw.substr(1, raw.size() - 2));
    const auto value = parse_json(raw);
    return value && value->is_string() ? std::string(std::string_view(value->get_string()))
                                       : std::string();
}

}  // namespace weir::oci
