#include "s3/shared_file.h"

#include "base/text.h"

namespace weir::s3 {
namespace {

std::string_view stripped(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    return trim(line);
}

bool is_comment(std::string_view line) {
    return line.empty() || line.front() == '#' || line.front() == ';';
}

// "[name]" or, as the config file writes it, "[profile name]".
std::string_view section_of(std::string_view line) {
    const auto end = line.find(']');
    if (end == std::string_view::npos) return {};
    auto name = trim(line.substr(1, end - 1));
    if (name.starts_with("profile ")) name = trim(name.substr(8));
    return name;
}

}  // namespace

std::optional<Credentials> read_shared_file(std::string_view text, std::string_view profile) {
    Credentials out;
    bool inside = false;
    for (const auto raw : split(text, '\n')) {
        const auto line = stripped(raw);
        if (is_comment(line)) continue;
        if (line.front() == '[') {
            inside = section_of(line) == profile;
            continue;
        }
        const auto equals = line.find('=');
        if (!inside || equals == std::string_view::npos) continue;
        const auto name = trim(line.substr(0, equals));
        const std::string value(trim(line.substr(equals + 1)));
        if (iequals(name, "aws_access_key_id")) out.access_key = value;
        if (iequals(name, "aws_secret_access_key")) out.secret_key = Secret(value);
        if (iequals(name, "aws_session_token")) out.session_token = Secret(value);
    }
    if (out.access_key.empty() || out.secret_key.empty()) return std::nullopt;
    return out;
}

}  // namespace weir::s3
