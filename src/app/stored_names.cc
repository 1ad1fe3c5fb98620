#include "app/stored_names.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"

namespace weir::app {

std::optional<StoredName> parse_blob_name(std::string_view algorithm, std::string_view name) {
    const size_t dot = name.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const auto digest = oci::Digest::parse(fmt::format("{}:{}", algorithm, name.substr(0, dot)));
    const auto generation = parse_u64(name.substr(dot + 1));
    if (!digest || !generation) return std::nullopt;
    return StoredName{*digest, *generation};
}

std::optional<StoredName> parse_staging_name(std::string_view name) {
    const size_t dash = name.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    return parse_blob_name(name.substr(0, dash), name.substr(dash + 1));
}

std::vector<std::string> list_or_nothing(Files& files, const std::string& directory) {
    try {
        auto names = files.list(directory);
        std::ranges::sort(names);
        return names;
    } catch (const Failure& failure) {
        log::warn("store", "not looked into: {}", failure.what());
        return {};
    }
}

void visit_blob_directories(
    Files& files, const std::string& root,
    const std::function<void(const std::string& algorithm, const std::string& directory,
                             double share)>& visit) {
    const std::string blobs = join_path(root, "blobs");
    std::vector<std::pair<std::string, std::string>> directories;
    for (const std::string& algorithm : list_or_nothing(files, blobs)) {
        if (algorithm != "sha256" && algorithm != "sha512") continue;
        const std::string inner = join_path(blobs, algorithm);
        for (const std::string& name : list_or_nothing(files, inner))
            if (name.size() == 2) directories.emplace_back(algorithm, join_path(inner, name));
    }
    for (size_t i = 0; i < directories.size(); ++i)
        visit(directories[i].first, directories[i].second,
              static_cast<double>(i) / static_cast<double>(directories.size()));
}

}  // namespace weir::app
