// oci/error_body.h: distribution-spec 1.1, "Error Codes": {"errors":[{"code","message","detail"}]}
#pragma once
#include <string>
#include <string_view>

namespace weir::oci {
// `detail_json` is raw JSON or empty. `message` is escaped.
std::string error_body(std::string_view code, std::string_view message,
                       std::string_view detail_json = {});
}  // namespace weir::oci
