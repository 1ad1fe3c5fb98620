// app/which_config.h: which configuration a verb works with; the same for all of them.
#pragma once
#include <string>

namespace weir::app {

inline constexpr const char* kConfigVariable = "WEIR_CONFIG";
inline constexpr const char* kConfigDirectory = "/etc/weir";

// What was said (-c FILE, or an argument), else WEIR_CONFIG, else weir.yaml, weir.yml or weir.json
// in `directory` if there is one, else "": the defaults.
std::string which_config(const std::string& said, const std::string& directory = kConfigDirectory);

// For people: "/etc/weir/weir.yaml", or "none (the defaults)".
std::string config_name(const std::string& path);

}  // namespace weir::app
