// oci/challenge.h: the WWW-Authenticate header (RFC 9110 section 11.6.1): one or more challenges in
// one or more headers.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::oci {

inline constexpr size_t kMaxChallenges = 16;

struct Challenge {
    std::string scheme;                                           // lower case
    std::vector<std::pair<std::string, std::string>> parameters;  // names lower case
    std::string token68;                                          // "Negotiate abc=="
    // Empty when absent.
    std::string_view parameter(std::string_view name) const;
};

// Several schemes in one header, quoted commas, token68 forms. What can't be parsed is left out;
// never throws.
std::vector<Challenge> parse_challenges(std::string_view header);

}  // namespace weir::oci
