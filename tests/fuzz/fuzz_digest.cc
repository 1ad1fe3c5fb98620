// A digest has one spelling: what is parsed is written the same, and what is written is parsed.
#include <algorithm>
#include <span>

#include "fuzz/input.h"
#include "oci/digest.h"

using weir::check;
using weir::oci::Digest;

namespace {

bool by_the_book(std::string_view text) {
    const size_t digits = text.starts_with("sha256:") ? 64 : text.starts_with("sha512:") ? 128 : 0;
    if (digits == 0 || text.size() != 7 + digits) return false;
    return text.find_first_not_of("0123456789abcdef", 7) == std::string_view::npos;
}

void round_trip(const Digest& digest) {
    const auto again = Digest::parse(digest.text());
    check(again && *again == digest, "what is written is parsed");
    check(again->hash() == digest.hash(), "equal digests hash alike");
    check(Digest::from_sum(digest.algorithm(), digest.sum()) == digest, "the sum is the digest");
    check(digest.text() == std::string(digest.algorithm_name()) + ":" + digest.hex(),
          "text is algorithm and hex");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto text = weir::fuzz::text_of(data, size);
    const auto digest = Digest::parse(text);
    check(digest.has_value() == by_the_book(text),
          "what the grammar says is parsed, and nothing else");
    if (digest) {
        check(digest->text() == text, "one spelling");
        round_trip(*digest);
    }
    const auto bytes = std::as_bytes(std::span(data, size));
    if (size >= 32) round_trip(Digest::from_sum(Digest::Algorithm::sha256, bytes.first(32)));
    if (size >= 64) round_trip(Digest::from_sum(Digest::Algorithm::sha512, bytes.first(64)));
    return 0;
}
