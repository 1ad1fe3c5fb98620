// Range: whatever a client asks for, what it gets lies within the blob.
#include "base/failure.h"
#include "fuzz/input.h"
#include "http/range.h"

using weir::check;
using namespace weir::http;

namespace {

void verify(const std::vector<RangeSpec>& specs, uint64_t size) {
    const auto ranges = resolve(specs, size);
    check(ranges.size() <= specs.size(), "never more ranges than asked for");
    uint64_t left = size;
    for (const auto& range : ranges) {
        check(range.length > 0, "a range has bytes");
        check(range.first < size && range.length <= size - range.first,
              "a range lies within the whole");
        check(range.length <= left, "together never more than the whole");
        left -= range.length;
        check(content_range(range, size).starts_with("bytes "), "a range can be written");
    }
    if (size == 0) check(ranges.empty(), "nothing has no ranges");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto text = weir::fuzz::text_of(data, size);
    std::optional<std::vector<RangeSpec>> specs;
    try {
        specs = parse_range(text);
    } catch (const weir::Failure& failure) {
        check(failure.kind() == weir::Kind::request_invalid,
              "too many ranges are the client's fault");
        return 0;
    }
    if (!specs) return 0;
    check(!specs->empty() && specs->size() <= kMaxRanges, "ranges are bounded");
    for (const auto& spec : *specs) {
        check(spec.first || spec.last, "a range has an end");
        if (spec.first && spec.last) check(*spec.first <= *spec.last, "a range goes forward");
    }
    for (uint64_t whole : {uint64_t{0}, uint64_t{1}, uint64_t{100}, uint64_t{4096}, uint64_t{size},
                           UINT64_MAX - 1, UINT64_MAX})
        verify(*specs, whole);
    return 0;
}
