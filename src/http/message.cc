#include "http/message.h"

#include "base/check.h"
#include "base/text.h"

namespace weir::http {

std::string_view Request::field(std::string_view name) const {
    for (const auto& [have, value] : fields)
        if (have.size() == name.size() && iequals(have, name)) return value;
    return {};
}

bool Request::has(std::string_view name) const {
    for (const auto& [have, value] : fields)
        if (have.size() == name.size() && iequals(have, name)) return true;
    return false;
}

void Response::set(std::string_view name, std::string_view value) {
    check(name.find_first_of("\r\n") == name.npos && value.find_first_of("\r\n") == value.npos,
          "a header line holds no line end");
    fields.reserve(fields.size() + name.size() + value.size() + 4);
    fields.append(name).append(": ").append(value).append("\r\n");
}

void Response::set_body(std::shared_ptr<const std::string> text) {
    content_length = text ? text->size() : 0;
    body = std::move(text);
}

const char* reason_phrase(int status) {
    switch (status) {
        case 100:
            return "Continue";
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 206:
            return "Partial Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
        case 303:
            return "See Other";
        case 304:
            return "Not Modified";
        case 307:
            return "Temporary Redirect";
        case 308:
            return "Permanent Redirect";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 410:
            return "Gone";
        case 411:
            return "Length Required";
        case 412:
            return "Precondition Failed";
        case 413:
            return "Content Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 416:
            return "Range Not Satisfiable";
        case 417:
            return "Expectation Failed";
        case 421:
            return "Misdirected Request";
        case 422:
            return "Unprocessable Content";
        case 425:
            return "Too Early";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 505:
            return "HTTP Version Not Supported";
        case 507:
            return "Insufficient Storage";
        default:
            return "Unknown";
    }
}

}  // namespace weir::http
