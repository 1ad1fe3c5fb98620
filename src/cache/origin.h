// cache/origin.h: anything a Fetch can read a blob from. Today: one mirror of one upstream, through
// one repository.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cache/types.h"
#include "upstream/upstream.h"

namespace weir::cache {

// Any loop. Immutable but for what lies behind it.
class Origin {
public:
    virtual ~Origin() = default;
    // Tells origins apart within a Fetch, and names them in logs: "docker.io/0 library/debian".
    virtual const std::string& key() const = 0;
    // The local repository under which the bytes may be served when this origin gave them.
    virtual const std::string& proves() const = 0;
    virtual const FetchPolicy& policy() const = 0;
    virtual const std::string& upstream_name() const = 0;
    // The registry that it asks; empty: one of our own.
    virtual std::string registry() const { return {}; }
    // false: try the others first.
    virtual bool usable() const = 0;
    // false: it is known to refuse Range, so that each request brings the blob from its start.
    virtual bool gives_parts() const { return true; }
    virtual Task<upstream::BlobAnswer> read(
        oci::Digest digest, upstream::BlobRange range, std::shared_ptr<upstream::BlobSink> sink,
        std::function<void(std::shared_ptr<client::TransferHandle>)> started,
        TimePoint head_deadline) = 0;
    virtual void report_bad() = 0;
};
using Origins = std::vector<std::shared_ptr<Origin>>;

// Every mirror of every candidate, in order.
Origins origins_of(const Target&);
// The registries that are asked, as one text: fetches of different groups share nothing.
std::string group_of(const Origins&);

// The digest is that of no byte at all: only such a blob has the size 0.
bool names_nothing(const oci::Digest&);

// What a round over all origins that brought nothing amounts to: the answer that says most. `what`
// names the object. All not_found gives `absent`; otherwise "no answer" wins over "no".
class Verdict {
public:
    void add(const upstream::Answer&);
    bool empty() const { return answers_ == 0; }
    // Every answer was a plain "not found".
    bool all_not_found() const { return answers_ > 0 && answers_ == not_found_; }
    // Asking again at once could help: nobody said no.
    bool worth_a_retry() const { return transient_ > 0; }
    // One was silent or said "later": it may yet give what it was asked for. The others have said
    // no, each in its way.
    bool may_yet_come() const { return pending_ > 0; }
    Failure failure(Kind absent, const std::string& what) const;

private:
    int answers_ = 0, not_found_ = 0, transient_ = 0, pending_ = 0;
    upstream::Answer worst_;
};

}  // namespace weir::cache
