// oci/link.h: the Link header of a paged list (RFC 8288), and what weir rewrites of it.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::oci {
// The target of rel="next", relative or absolute as the upstream wrote it; nullopt when there is
// none.
std::optional<std::string> next_link(std::string_view header);
// The raw query of a target ("" when it has none): "https://h/v2/x/tags/list?n=2&last=b" ->
// "n=2&last=b"
std::string link_query(std::string_view target);
// Value of one query parameter, percent-decoded; nullopt when absent or broken.
std::optional<std::string> query_parameter(std::string_view query, std::string_view name);
std::string tag_list_body(std::string_view name, const std::vector<std::string>& tags);
std::string catalog_body(const std::vector<std::string>& repositories);
// An index up to its first child; what ends it is "]}". And one without children, as a referrers
// answer.
std::string index_head();
std::string empty_index();
}  // namespace weir::oci
