#include "oci/error_body.h"

#include "base/log.h"

namespace weir::oci {

std::string error_body(std::string_view code, std::string_view message,
                       std::string_view detail_json) {
    std::string body = R"({"errors":[{"code":")";
    log::append_json_escaped(body, code);
    body += R"(","message":")";
    log::append_json_escaped(body, message);
    body += '"';
    if (!detail_json.empty()) {
        body += R"(,"detail":)";
        body += detail_json;
    }
    body += "}]}";
    return body;
}

}  // namespace weir::oci
