#include "oci/challenge.h"

#include <algorithm>

#include "base/text.h"

namespace weir::oci {
namespace {

constexpr size_t kMaxParameters = 32;

constexpr bool alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
// RFC 9110 section 5.6.2
constexpr bool token_char(char c) {
    return alphanumeric(c) || std::string_view("!#$%&'*+-.^_`|~").contains(c);
}
// RFC 9110 section 11.2, without the trailing "="
constexpr bool token68_char(char c) {
    return alphanumeric(c) || std::string_view("-._~+/").contains(c);
}

class Reader {
public:
    explicit Reader(std::string_view text) : rest_(text) {}

    bool at_end() const { return rest_.empty(); }
    char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
    // Whether there was any.
    bool skip_blanks() {
        const size_t before = rest_.size();
        while (peek() == ' ' || peek() == '\t') rest_.remove_prefix(1);
        return rest_.size() != before;
    }
    bool take(char c) {
        if (rest_.empty() || rest_.front() != c) return false;
        rest_.remove_prefix(1);
        return true;
    }
    std::string_view token() { return take_while(token_char); }

    // quoted-string, unescaped; nullopt when it doesn't end.
    std::optional<std::string> quoted() {
        std::string out;
        rest_.remove_prefix(1);
        while (!rest_.empty()) {
            char c = rest_.front();
            rest_.remove_prefix(1);
            if (c == '"') return out;
            if (c == '\\') {
                if (rest_.empty()) break;
                c = rest_.front();
                rest_.remove_prefix(1);
            }
            out.push_back(c);
        }
        return std::nullopt;
    }

    // Some servers don't quote their realm's URL, so an unquoted value is more than a token.
    std::optional<std::string> unquoted() {
        const std::string_view value =
            take_while([](char c) { return c != ',' && c != ' ' && c != '\t'; });
        if (value.empty() || value.contains('"')) return std::nullopt;
        return std::string(value);
    }

    // Only if all up to the next comma or the end is one token68; otherwise nothing is taken.
    std::string_view token68() {
        const std::string_view start = rest_;
        const size_t body = take_while(token68_char).size();
        const size_t padding = take_while([](char c) { return c == '='; }).size();
        const size_t length = body + padding;
        skip_blanks();
        if (body > 0 && (at_end() || peek() == ',')) return start.substr(0, length);
        rest_ = start;
        return {};
    }

    // Over what can't be read, up to the next comma outside quotes.
    void skip_element() {
        while (!rest_.empty() && rest_.front() != ',') {
            if (rest_.front() == '"') {
                if (!quoted()) return;
            } else {
                rest_.remove_prefix(1);
            }
        }
    }

private:
    template <class Accepts>
    std::string_view take_while(Accepts accepts) {
        size_t length = 0;
        while (length < rest_.size() && accepts(rest_[length])) ++length;
        const std::string_view taken = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return taken;
    }

    std::string_view rest_;
};

// After "name" and "=": the value, kept if there is a challenge that it belongs to.
void read_parameter(Reader& reader, std::string_view name, Challenge* challenge) {
    reader.skip_blanks();
    auto value = reader.peek() == '"' ? reader.quoted() : reader.unquoted();
    if (!value) {
        reader.skip_element();
        return;
    }
    if (challenge != nullptr && challenge->parameters.size() < kMaxParameters)
        challenge->parameters.emplace_back(ascii_lower(name), *std::move(value));
    // A forgotten comma before the next parameter is forgiven; anything that sticks to the value
    // isn't.
    if (!reader.skip_blanks() && reader.peek() != ',') reader.skip_element();
}

}  // namespace

std::string_view Challenge::parameter(std::string_view name) const {
    for (const auto& [key, value] : parameters)
        if (iequals(key, name)) return value;
    return {};
}

std::vector<Challenge> parse_challenges(std::string_view header) {
    std::vector<Challenge> challenges;
    Reader reader(header);
    for (;;) {
        while (reader.skip_blanks() || reader.take(',')) {
        }
        if (reader.at_end()) return challenges;
        const std::string_view word = reader.token();
        const bool blank = reader.skip_blanks();
        if (word.empty()) {
            reader.skip_element();
        } else if (reader.take('=')) {
            read_parameter(reader, word, challenges.empty() ? nullptr : &challenges.back());
        } else if (!reader.at_end() && reader.peek() != ',' && !blank) {
            reader.skip_element();  // no token, such as "Bea(rer"
        } else {
            if (challenges.size() == kMaxChallenges) return challenges;
            challenges.push_back({.scheme = ascii_lower(word), .parameters = {}, .token68 = {}});
            challenges.back().token68 = reader.token68();
        }
    }
}

}  // namespace weir::oci
