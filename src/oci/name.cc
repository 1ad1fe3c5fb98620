#include "oci/name.h"

#include <algorithm>

namespace weir::oci {
namespace {

constexpr size_t kMaxTagAlgorithm = 32;
constexpr size_t kMaxTagEncoded = 64;

constexpr bool lower_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
constexpr bool tag_first(char c) {
    return lower_alphanumeric(c) || (c >= 'A' && c <= 'Z') || c == '_';
}
constexpr bool lower_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

// What may stand between two runs of letters and digits: "." "_" "__" or any number of "-".
bool valid_separator(std::string_view text) {
    return text == "." || text == "_" || text == "__" ||
           std::all_of(text.begin(), text.end(), [](char c) { return c == '-'; });
}

bool valid_component(std::string_view text) {
    if (text.empty() || !lower_alphanumeric(text.front()) || !lower_alphanumeric(text.back()))
        return false;
    for (size_t i = 0; i < text.size();) {
        if (lower_alphanumeric(text[i])) {
            ++i;
            continue;
        }
        size_t end = i;
        while (!lower_alphanumeric(text[end])) ++end;  // ends: the last one is alphanumeric
        if (!valid_separator(text.substr(i, end - i))) return false;
        i = end;
    }
    return true;
}

}  // namespace

bool valid_name(std::string_view name) {
    if (name.empty() || name.size() > kMaxNameBytes) return false;
    for (;;) {
        const size_t slash = name.find('/');
        if (!valid_component(name.substr(0, slash))) return false;
        if (slash == std::string_view::npos) return true;
        name.remove_prefix(slash + 1);
    }
}

bool valid_tag(std::string_view tag) {
    if (tag.empty() || tag.size() > kMaxTagBytes || !tag_first(tag.front())) return false;
    return std::all_of(tag.begin(), tag.end(),
                       [](char c) { return tag_first(c) || c == '.' || c == '-'; });
}

bool is_signature_tag(std::string_view tag) {
    if (!tag.starts_with("sha256-") && !tag.starts_with("sha512-")) return false;
    tag.remove_prefix(7);
    if (tag.size() < kMaxTagEncoded) return false;
    const std::string_view hex = tag.substr(0, kMaxTagEncoded);
    if (!std::all_of(hex.begin(), hex.end(), lower_hex)) return false;
    const std::string_view suffix = tag.substr(kMaxTagEncoded);
    return suffix.empty() || suffix == ".sig" || suffix == ".att" || suffix == ".sbom";
}

std::optional<Reference> Reference::parse(std::string_view text) {
    if (text.find(':') != std::string_view::npos) {
        if (auto digest = Digest::parse(text)) return Reference(*digest);
        return std::nullopt;
    }
    if (!valid_tag(text)) return std::nullopt;
    return Reference(std::string(text));
}

std::string referrers_tag(const Digest& digest) {
    std::string tag(digest.algorithm_name().substr(0, kMaxTagAlgorithm));
    tag += '-';
    tag += digest.hex().substr(0, kMaxTagEncoded);
    return tag;
}

}  // namespace weir::oci
