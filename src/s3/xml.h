// s3/xml.h: a small pull reader for the answers of S3 and STS. Pure, fuzzed.
//
// Elements, text, CDATA, the five named and the numeric entities; comments and processing
// instructions are skipped, attributes are dropped. A document type, more than kMaxXmlDepth levels,
// and whatever isn't well formed, are broken. The text must outlive the reader.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::s3 {

inline constexpr size_t kMaxXmlDepth = 16;

class XmlReader {
public:
    enum class Event { open, close, end, broken };

    explicit XmlReader(std::string_view text) : rest_(text) {}

    // `end` once the root has been closed and nothing but blanks follows; after `broken` always
    // `broken`.
    Event next();
    // Of the element that was opened or closed last, without a namespace prefix.
    std::string_view name() const { return name_; }
    // On close: the characters of an element that has no children.
    const std::string& text() const { return text_; }
    // The element around name(); "" at the root.
    std::string_view parent() const;

private:
    Event fail();
    Event open_tag();
    Event close_tag();
    Event close(std::string_view name);
    bool skip_past(std::string_view mark);
    bool take_cdata();
    bool take_text();

    std::string_view rest_, name_;
    std::vector<std::string_view> open_;  // raw names
    std::string text_;
    bool started_ = false, broken_ = false, close_at_once_ = false, just_closed_ = false;
};

// Character data with its entities resolved; nullopt when one is unknown or stands for no
// character.
std::optional<std::string> xml_unescape(std::string_view);
// As text of an element.
std::string xml_escape(std::string_view);

}  // namespace weir::s3
