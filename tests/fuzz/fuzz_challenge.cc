// WWW-Authenticate: what was understood, written anew, is understood the same.
#include "base/text.h"
#include "fuzz/input.h"
#include "oci/challenge.h"

using weir::check;
using namespace weir::oci;

namespace {

std::string written(const std::vector<Challenge>& challenges) {
    std::string out;
    for (const auto& challenge : challenges) {
        if (!out.empty()) out += ", ";
        out += challenge.scheme;
        if (!challenge.token68.empty()) out += ' ' + challenge.token68;
        bool first = challenge.token68.empty();
        for (const auto& [name, value] : challenge.parameters) {
            out += (first ? " " : ", ") + name + "=\"";
            for (char c : value) {
                if (c == '"' || c == '\\') out += '\\';
                out += c;
            }
            out += '"';
            first = false;
        }
    }
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto challenges = parse_challenges(weir::fuzz::text_of(data, size));
    check(challenges.size() <= kMaxChallenges, "challenges are bounded");
    for (const auto& challenge : challenges) {
        check(!challenge.scheme.empty(), "a challenge has a scheme");
        check(challenge.scheme == weir::ascii_lower(challenge.scheme), "schemes are lower case");
        for (const auto& [name, value] : challenge.parameters) {
            check(!name.empty() && name == weir::ascii_lower(name), "names are lower case");
            check(challenge.parameter(name).data() != nullptr, "a parameter is found");
        }
    }
    const auto again = parse_challenges(written(challenges));
    check(again.size() == challenges.size(), "as many challenges again");
    for (size_t i = 0; i < again.size(); ++i) {
        check(again[i].scheme == challenges[i].scheme, "the same scheme again");
        check(again[i].token68 == challenges[i].token68, "the same token68 again");
        check(again[i].parameters == challenges[i].parameters, "the same parameters again");
    }
    return 0;
}
