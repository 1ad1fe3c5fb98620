// registry/answers.h: from what the cache gave to what the client gets. Nothing here waits.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cache/cache.h"
#include "http/message.h"
#include "http/range.h"

namespace weir::registry {

http::Response ping_answer();

// `fields` of fields.h. 304 when the client has it already; a Range is ignored, as for anything
// that isn't a blob.
http::Response manifest_answer(const http::Request&, const cache::ManifestView&,
                               std::shared_ptr<const std::string> fields);

// The ranges that a GET asks for; empty: the whole blob (no Range, a broken one, or an If-Range
// that doesn't hold).
std::vector<http::RangeSpec> asked_ranges(const http::Request&, std::string_view digest);

// 200, 206 (one range, or multipart), 304 or 416. A HEAD's view needs no readable.
http::Response blob_answer(const http::Request&, const cache::BlobView&,
                           std::shared_ptr<const std::string> fields,
                           const std::vector<http::RangeSpec>& asked);

// Several ranges that together ask for more than the blob: it is then sent whole.
bool asks_for_more_than_all(const std::vector<http::RangeSpec>& asked, uint64_t size);

// Of `query` what may go upstream, and into the database: all but "ns", which is between the client
// and us, and what is a secret by its name (access_token), which is between the client and nobody.
std::string query_for_upstream(std::string_view query);
// "<path?query&ns=...>; rel=\"next\"": `next_query` is the upstream's word, `path` ours.
std::string next_link_value(std::string_view path, std::string_view next_query,
                            std::string_view ns);

}  // namespace weir::registry
