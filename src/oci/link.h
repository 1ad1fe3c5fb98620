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
// {"name":..., "tags":[...]} -> tags; nullopt when it isn't that. Bounded by `max_tags`.
std::optional<std::vector<std::string>> parse_tag_list(std::string_view body, size_t max_tags);
std::string tag_list_body(std::string_view name, const std::vector<std::string>& tags);
std::string catalog_body(const std::vector<std::string>& repositories);
// An empty index, as a referrers answer; and the referrers of `index` filtered by artifact type.
std::string empty_index();
std::string filter_referrers(std::string_view index, std::string_view artifact_type);
}  // namespace weir::oci
