#include "client/http_client.h"

#include "base/text.h"

namespace weir::client {

std::string_view Fields::get(std::string_view name) const {
    for (const auto& [key, value] : list)
        if (iequals(key, name)) return value;
    return {};
}

bool Fields::has(std::string_view name) const {
    for (const auto& [key, value] : list)
        if (iequals(key, name)) return true;
    return false;
}

std::vector<std::string_view> Fields::all(std::string_view name) const {
    std::vector<std::string_view> values;
    for (const auto& [key, value] : list)
        if (iequals(key, name)) values.emplace_back(value);
    return values;
}

const char* end_name(End end) {
    switch (end) {
        case End::complete:
            return "complete";
        case End::stopped:
            return "stopped";
        case End::cancelled:
            return "cancelled";
        case End::unreachable:
            return "unreachable";
        case End::forbidden:
            return "forbidden";
        case End::timeout:
            return "timeout";
        case End::stalled:
            return "stalled";
        case End::cut:
            return "cut";
        case End::too_large:
            return "too_large";
        case End::protocol:
            return "protocol";
    }
    return "protocol";
}

}  // namespace weir::client
