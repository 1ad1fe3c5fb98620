#include "base/redact.h"

#include <algorithm>

#include "base/text.h"

namespace weir {
namespace {

constexpr std::string_view kHidden = "***";
// Between words.
constexpr std::string_view kEdges = " \t\r\n\"'`<>(){}[],;";
// Before a login within a word.
constexpr std::string_view kInnerEdges = "/=&?|";

bool is_digest(std::string_view text) {
    return text.starts_with("sha256:") || text.starts_with("sha512:");
}

constexpr std::string_view kSecretParts[] = {
    "password", "passwd",    "passphrase", "secret",    "token", "credential", "auth",
    "apikey",   "accesskey", "privatekey", "signature", "jwt",   "session"};
constexpr std::string_view kSecretNames[] = {"pass", "pwd", "pw", "sig", "key", "pat", "login"};
constexpr std::string_view kPlaces[] = {"pagetoken", "nexttoken", "continuationtoken",
                                        "nextpagetoken"};

// The last "@" that can end a login; npos: none.
size_t end_of_login(std::string_view word) {
    size_t at = word.rfind('@');
    while (at != std::string_view::npos && is_digest(word.substr(at + 1)))
        at = at == 0 ? std::string_view::npos : word.rfind('@', at - 1);
    return at;
}

void append_word(std::string& out, std::string_view word) {
    const size_t at = end_of_login(word);
    if (at == std::string_view::npos) {
        out += word;
        return;
    }
    const std::string_view before = word.substr(0, at);
    const size_t scheme = before.find("://");
    const size_t colon = before.find(':');
    size_t begin = 0;
    if (scheme != std::string_view::npos) {
        begin = scheme + 3;
    } else if (colon != std::string_view::npos) {
        const size_t edge = before.find_last_of(kInnerEdges, colon);
        begin = edge == std::string_view::npos ? 0 : edge + 1;
    } else {
        begin = at;
    }
    out += before.substr(0, begin);
    if (begin < at) out += kHidden;
    out += word.substr(at);
}

}  // namespace

std::string without_logins(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const size_t edge = std::min(text.find_first_of(kEdges), text.size());
        append_word(out, text.substr(0, edge));
        out += text.substr(edge, 1);
        text.remove_prefix(std::min(edge + 1, text.size()));
    }
    return out;
}

std::string host_without_login(std::string_view host) {
    const size_t at = host.rfind('@');
    if (at == std::string_view::npos) return std::string(host);
    return std::string(kHidden).append(host.substr(at));
}

bool names_secret(std::string_view name) {
    std::string plain;
    for (const char c : ascii_lower(name))
        if (c != '-' && c != '_' && c != '.') plain += c;
    if (std::ranges::find(kPlaces, plain) != std::end(kPlaces)) return false;
    return std::ranges::find(kSecretNames, plain) != std::end(kSecretNames) ||
           std::ranges::any_of(kSecretParts, [&](std::string_view part) {
               return plain.find(part) != std::string::npos;
           });
}

}  // namespace weir
