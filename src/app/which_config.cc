#include "app/which_config.h"

#include <cstdlib>
#include <filesystem>

#include "base/file.h"

namespace weir::app {

std::string which_config(const std::string& said, const std::string& directory) {
    if (!said.empty()) return said;
    if (const char* given = std::getenv(kConfigVariable); given != nullptr && *given != '\0')
        return given;
    for (const char* name : {"weir.yaml", "weir.yml", "weir.json"}) {
        const std::string path = join_path(directory, name);
        std::error_code ignored;
        if (std::filesystem::exists(path, ignored)) return path;
    }
    return {};
}

std::string config_name(const std::string& path) {
    return path.empty() ? "none (the defaults)" : path;
}

}  // namespace weir::app
