// cache/lists.h: tags/list and referrers: asked upstream, remembered, and given from memory when
// the upstream is silent.
#pragma once
#include <string>

#include "async/semaphore.h"
#include "cache/manifests.h"

namespace weir::cache {

// Any loop.
class Lists {
public:
    Lists(const Options&, meta::Metadata&, Pool&, Clock&, Scope&, Manifests&);

    Task<ListView> tags(TargetPtr, std::string query);
    Task<ListView> referrers(TargetPtr, oci::Digest, std::string query);
    Task<std::vector<std::string>> catalog(std::string last, size_t limit);

private:
    struct Ask {
        TargetPtr target;
        std::string kind;  // "tags", or "referrers <digest>": the key in the database
        std::optional<oci::Digest> subject;
        std::string query;
    };
    Task<ListView> list(Ask ask);
    Task<ListView> ask_upstream(Ask ask);
    // The referrers of an upstream without the API: an index under the digest's tag.
    Task<ListView> referrers_by_tag(Ask ask);
    Task<ListView> local_tags(Ask ask);
    Task<ListView> keep(Ask ask, meta::ListRow row);

    const Options& options_;
    meta::Metadata& metadata_;
    Pool& pool_;
    Clock& clock_;
    Manifests& manifests_;
    Negatives quiet_;  // upstreams that gave no answer a moment ago, by list
    Flight<std::string, ListView> flights_;
};

}  // namespace weir::cache
