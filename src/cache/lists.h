// cache/lists.h: tags/list and referrers: asked upstream, remembered, and given from memory when
// the upstream is silent.
//
// A list is asked for and kept as a whole, whatever page or part of it a client wants: n, last and
// artifactType are answered here, other parameters mean nothing. An upstream that gives pages is
// followed through them for a moment (kGatherTime); where it goes on beyond what that brought, its
// own words for the rest are the client's next page, which is remembered in memory only.
//
// How long a list is believed: tags for listTtl; referrers, found or not, for the seconds of a
// missing signature, because whoever signs looks at once. Ages are of the monotonic clock; across a
// restart of the calendar, and one that lies in the future is unknown, so not fresh.
//
// Only what exists is kept in the database: that somebody asked for what nobody has leaves no row.
#pragma once
#include <string>

#include "async/semaphore.h"
#include "cache/answers.h"
#include "cache/list_text.h"
#include "cache/lookup.h"
#include "cache/memory.h"

namespace weir::cache {

// Any loop.
class Lists {
public:
    Lists(const Options&, const MemoryShares&, meta::Metadata&, store::Space&, Pool&, Clock&,
          Scope&, Answers&);

    // Failure{request_invalid} when n is not a number.
    Task<ListView> tags(TargetPtr, std::string query);
    Task<ListView> referrers(TargetPtr, oci::Digest, std::string query);
    Task<std::vector<std::string>> catalog(std::string last, size_t limit);

    uint64_t memory_bytes() const { return memory_.weight(); }
    uint64_t quiet_bytes() const { return quiet_.weight(); }

private:
    using ListPtr = std::shared_ptr<const ListText>;
    struct Ask {
        TargetPtr target;
        std::string kind;  // "tags", or "referrers <digest>": the key in the database
        std::optional<oci::Digest> subject;
        std::string rest;  // the upstream's own query for what follows; "": from the beginning
        std::string key() const;
        Duration ttl() const;
    };
    struct Got {
        ListPtr list;
        From from = From::miss;
        bool stale = false;
    };
    // What one upstream says.
    struct Said {
        ListPtr list;  // null: `answer` says why
        upstream::Answer answer;
    };
    Task<Got> get(Ask ask);
    Task<ListPtr> stored(Ask ask);
    Task<ListPtr> ask_upstream(Ask ask);
    Task<Said> gather(Ask ask, const Candidate& candidate, TimePoint deadline);
    // The referrers of an upstream without the API: an index under the digest's tag.
    Task<Said> referrers_by_tag(Ask ask, const Candidate& candidate, TimePoint deadline);
    Task<ListPtr> local_tags(Ask ask);
    // `upstream`: whose word it is; "": nobody's.
    Task<ListPtr> finish(Ask ask, std::shared_ptr<ListText> list, std::string upstream);
    void remember(const Ask&, const ListPtr&);

    const Options& options_;
    meta::Metadata& metadata_;
    store::Space& space_;
    Pool& pool_;
    Clock& clock_;
    Answers& answers_;
    Lru<std::string, ListPtr> memory_;
    Negatives quiet_;  // upstreams that gave no answer a moment ago, by list
    Flight<std::string, ListPtr> flights_;
    Flight<std::string, ListPtr> loads_;
};

}  // namespace weir::cache
