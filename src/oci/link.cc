#include "oci/link.h"

#include "base/log.h"
#include "base/text.h"
#include "oci/manifest.h"

namespace weir::oci {
namespace {

// The end of one link's parameters: the next comma outside quotes.
size_t end_of_parameters(std::string_view text) {
    bool quoted = false;
    for (size_t i = 0; i < text.size(); ++i) {
        if (quoted && text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            quoted = !quoted;
        } else if (text[i] == ',' && !quoted) {
            return i;
        }
    }
    return text.size();
}

// The same for one parameter within: the next semicolon outside quotes.
std::string_view take_parameter(std::string_view& text) {
    bool quoted = false;
    size_t end = 0;
    for (; end < text.size() && (quoted || text[end] != ';'); ++end) {
        if (quoted && text[end] == '\\' && end + 1 < text.size()) {
            ++end;
        } else if (text[end] == '"') {
            quoted = !quoted;
        }
    }
    const std::string_view parameter = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return trim(parameter);
}

// RFC 8288 section 3.3: only the first "rel" counts; it may name several relations.
bool is_next(std::string_view parameters) {
    while (!parameters.empty()) {
        const std::string_view parameter = take_parameter(parameters);
        const size_t equals = parameter.find('=');
        if (equals == std::string_view::npos) continue;
        if (!iequals(trim(parameter.substr(0, equals)), "rel")) continue;
        std::string_view value = trim(parameter.substr(equals + 1));
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
            value = value.substr(1, value.size() - 2);
        for (std::string_view relation : split(value, ' '))
            if (iequals(relation, "next")) return true;
        return false;
    }
    return false;
}

void append_text(std::string& out, std::string_view text) {
    out += '"';
    log::append_json_escaped(out, text);
    out += '"';
}

void append_list(std::string& out, const std::vector<std::string>& items) {
    out += '[';
    for (size_t i = 0; i < items.size(); ++i) {
        if (i != 0) out += ',';
        append_text(out, items[i]);
    }
    out += ']';
}

}  // namespace

std::optional<std::string> next_link(std::string_view header) {
    for (;;) {
        const size_t open = header.find('<');
        if (open == std::string_view::npos) return std::nullopt;
        const size_t close = header.find('>', open);
        if (close == std::string_view::npos) return std::nullopt;
        const std::string_view target = header.substr(open + 1, close - open - 1);
        header.remove_prefix(close + 1);
        const size_t end = end_of_parameters(header);
        if (is_next(header.substr(0, end))) return std::string(trim(target));
        header.remove_prefix(end);
    }
}

std::string link_query(std::string_view target) {
    target = target.substr(0, target.find('#'));
    const size_t question = target.find('?');
    if (question == std::string_view::npos) return {};
    return std::string(target.substr(question + 1));
}

std::optional<std::string> query_parameter(std::string_view query, std::string_view name) {
    for (std::string_view pair : split(query, '&')) {
        const size_t equals = pair.find('=');
        if (percent_decode(pair.substr(0, equals)) != name) continue;
        if (equals == std::string_view::npos) return std::string();
        return percent_decode(pair.substr(equals + 1));
    }
    return std::nullopt;
}

std::string tag_list_body(std::string_view name, const std::vector<std::string>& tags) {
    std::string body = R"({"name":)";
    append_text(body, name);
    body += R"(,"tags":)";
    append_list(body, tags);
    body += '}';
    return body;
}

std::string catalog_body(const std::vector<std::string>& repositories) {
    std::string body = R"({"repositories":)";
    append_list(body, repositories);
    body += '}';
    return body;
}

std::string index_head() {
    std::string head = R"({"schemaVersion":2,"mediaType":)";
    append_text(head, kOciIndex);
    head += R"(,"manifests":[)";
    return head;
}

std::string empty_index() {
    return index_head() + "]}";
}

}  // namespace weir::oci
