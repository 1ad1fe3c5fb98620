#include "s3/xml.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace weir::s3 {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";
constexpr size_t kMaxEntityBytes = 10;  // "#x10FFFF"

bool is_blank(char c) {
    return kBlanks.find(c) != std::string_view::npos;
}

bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':' || static_cast<unsigned char>(c) >= 0x80;
}

std::string_view name_at(std::string_view text) {
    const auto end = std::ranges::find_if_not(text, is_name_character);
    return text.substr(0, static_cast<size_t>(end - text.begin()));
}

std::string_view without_prefix(std::string_view name) {
    const auto colon = name.find(':');
    return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

void append_utf8(std::string& out, uint32_t code) {
    const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
        put(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            put(0xe0 | code >> 12);
        } else {
            put(0xf0 | code >> 18);
            put(0x80 | (code >> 12 & 0x3f));
        }
        put(0x80 | (code >> 6 & 0x3f));
    }
    put(0x80 | (code & 0x3f));
}

bool append_entity(std::string& out, std::string_view name) {
    static constexpr std::pair<std::string_view, char> kNamed[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (const auto& [known, character] : kNamed) {
        if (name != known) continue;
        out += character;
        return true;
    }
    if (!name.starts_with('#')) return false;
    name.remove_prefix(1);
    const int base = name.starts_with('x') ? 16 : 10;
    if (base == 16) name.remove_prefix(1);
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), code, base);
    if (error != std::errc{} || end != name.data() + name.size()) return false;
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    append_utf8(out, code);
    return true;
}

}  // namespace

std::optional<std::string> xml_unescape(std::string_view text) {
    std::string out;
    for (;;) {
        const auto at = text.find('&');
        out += text.substr(0, at);
        if (at == std::string_view::npos) return out;
        text.remove_prefix(at + 1);
        const auto end = text.substr(0, kMaxEntityBytes).find(';');
        if (end == std::string_view::npos || !append_entity(out, text.substr(0, end)))
            return std::nullopt;
        text.remove_prefix(end + 1);
    }
}

std::string xml_escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '&') {
            out += "&amp;";
        } else if (c == '<') {
            out += "&lt;";
        } else if (c == '>') {
            out += "&gt;";
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            out += fmt::format("&#{};", static_cast<int>(c));
        } else {
            out += c;
        }
    }
    return out;
}

std::string_view XmlReader::parent() const {
    // After a close the element itself is off the stack already.
    const size_t above =
        just_closed_ ? open_.size() : open_.size() - std::min<size_t>(1, open_.size());
    return above == 0 ? std::string_view{} : without_prefix(open_[above - 1]);
}

XmlReader::Event XmlReader::fail() {
    broken_ = true;
    rest_ = {};
    return Event::broken;
}

XmlReader::Event XmlReader::next() {
    if (broken_) return Event::broken;
    if (close_at_once_) {
        close_at_once_ = false;
        return close(open_.back());
    }
    if (just_closed_) text_.clear();
    for (;;) {
        if (!take_text()) return fail();
        if (rest_.empty()) return started_ && open_.empty() ? Event::end : fail();
        if (rest_.starts_with("<?")) {
            if (!skip_past("?>")) return fail();
        } else if (rest_.starts_with("<!--")) {
            if (!skip_past("-->")) return fail();
        } else if (rest_.starts_with("<![CDATA[")) {
            if (!take_cdata()) return fail();
        } else if (rest_.starts_with("</")) {
            return close_tag();
        } else {
            return open_tag();
        }
    }
}

// Up to the next '<'.
bool XmlReader::take_text() {
    const auto text = rest_.substr(0, rest_.find('<'));
    rest_.remove_prefix(text.size());
    if (open_.empty()) return std::ranges::all_of(text, is_blank);
    auto plain = xml_unescape(text);
    if (!plain) return false;
    text_ += *plain;
    return true;
}

bool XmlReader::take_cdata() {
    rest_.remove_prefix(9);
    const auto end = rest_.find("]]>");
    if (end == std::string_view::npos || open_.empty()) return false;
    text_ += rest_.substr(0, end);
    rest_.remove_prefix(end + 3);
    return true;
}

bool XmlReader::skip_past(std::string_view mark) {
    const auto end = rest_.find(mark, 2);
    if (end == std::string_view::npos) return false;
    rest_.remove_prefix(end + mark.size());
    return true;
}

XmlReader::Event XmlReader::open_tag() {
    rest_.remove_prefix(1);
    const auto name = name_at(rest_);
    if (name.empty() || open_.size() == kMaxXmlDepth || (started_ && open_.empty())) return fail();
    rest_.remove_prefix(name.size());
    char quote = 0;
    size_t end = 0;
    for (; end < rest_.size() && (quote != 0 || rest_[end] != '>'); ++end) {
        const char c = rest_[end];
        if (quote == 0 && c == '<') return fail();
        if (c == '"' || c == '\'') {
            if (quote == 0)
                quote = c;
            else if (quote == c)
                quote = 0;
        }
    }
    if (end == rest_.size()) return fail();
    close_at_once_ = end > 0 && rest_[end - 1] == '/';
    if (end > (close_at_once_ ? 1u : 0u) && !is_blank(rest_.front())) return fail();
    rest_.remove_prefix(end + 1);
    open_.push_back(name);
    started_ = true;
    just_closed_ = false;
    text_.clear();
    name_ = without_prefix(name);
    return Event::open;
}

XmlReader::Event XmlReader::close_tag() {
    rest_.remove_prefix(2);
    const auto name = name_at(rest_);
    rest_.remove_prefix(name.size());
    const auto end = rest_.find_first_not_of(kBlanks);
    if (open_.empty() || name != open_.back() || end == std::string_view::npos || rest_[end] != '>')
        return fail();
    rest_.remove_prefix(end + 1);
    return close(name);
}

XmlReader::Event XmlReader::close(std::string_view name) {
    if (just_closed_) text_.clear();  // of a parent: what stood after its last child
    open_.pop_back();
    name_ = without_prefix(name);
    just_closed_ = true;
    return Event::close;
}

}  // namespace weir::s3
