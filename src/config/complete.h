// config/complete.h: what is filled in after a file is read, or instead of one; a part of loading.
#pragma once
#include <string>
#include <vector>

#include "config/load.h"
#include "config/shape.h"

namespace weir::config {

// Where Docker's and Podman's logins may be, in the order in which they are believed.
std::vector<std::string> docker_config_files(const Environment&);

// State directory, login files and weir's own names, where nothing was said.
void complete_from_environment(Config&, const Environment&);

// Errors for values that have the right type and still can't be meant (check.cc).
void check_values(const Config&, Reading&);

}  // namespace weir::config
