#include "cache/remote_origin.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "upstream/content_range.h"

namespace weir::cache {
namespace {

using client::BodyAction;
using upstream::Outcome;
using upstream::TransferEnd;

// Turns S3's answer head into a blob's.
class HeadSink : public client::Sink {
public:
    explicit HeadSink(std::shared_ptr<upstream::BlobSink> blob) : blob_(std::move(blob)) {}

    BodyAction on_head(const client::ReplyHead& head) override {
        upstream::BlobHead out;
        if (head.status == 206) {
            const auto range = upstream::ContentRange::parse(head.fields.get("content-range"));
            if (!range || !range->satisfied) return BodyAction::stop;
            out.first = range->first;
            out.whole_size = range->whole;
        } else {
            out.whole_size = head.content_length;
        }
        return blob_->on_head(out);
    }
    BodyAction on_data(std::span<const std::byte> data) override {
        bytes += data.size();
        return blob_->on_data(data);
    }
    bool gathers() const override { return blob_->gathers(); }
    uint64_t bytes = 0;

private:
    std::shared_ptr<upstream::BlobSink> blob_;
};

class RemoteOrigin : public Origin {
public:
    RemoteOrigin(store::Remote& remote, meta::Upkeep& upkeep, Pool& pool, std::string repository)
        : remote_(remote),
          upkeep_(upkeep),
          pool_(pool),
          key_(remote.name()),
          repository_(std::move(repository)) {}

    const std::string& key() const override { return key_; }
    const std::string& proves() const override { return repository_; }
    const FetchPolicy& policy() const override { return policy_; }
    const std::string& upstream_name() const override { return key_; }
    bool usable() const override { return remote_.usable(); }
    // Wrong bytes in the durable tier: it is not asked for them again; scrub repairs the object.
    void report_bad() override {
        log::error("cache", "{} holds wrong bytes; `weir scrub` finds and repairs them", key_);
    }

    Task<upstream::BlobAnswer> read(
        oci::Digest digest, upstream::BlobRange range, std::shared_ptr<upstream::BlobSink> sink,
        std::function<void(std::shared_ptr<client::TransferHandle>)> started,
        TimePoint head_deadline) override {
        auto heads = std::make_shared<HeadSink>(std::move(sink));
        const auto got = co_await remote_.get(digest, range.first, range.last, heads,
                                              std::move(started), head_deadline);
        upstream::BlobAnswer answer;
        answer.bytes = heads->bytes;
        answer.mirror = key_;
        answer.with_login = true;  // how it came there it does not tell
        answer.detail = got.detail;
        switch (got.end) {
            case store::RemoteEnd::ok:
                answer.end = TransferEnd::complete;
                break;
            case store::RemoteEnd::stopped:
                answer.end = TransferEnd::stopped;
                break;
            case store::RemoteEnd::cut:
                answer.end = TransferEnd::cut;
                break;
            case store::RemoteEnd::absent:
                answer.outcome = Outcome::not_found;
                co_await pool_.run([this, digest] { upkeep_.lost_in_s3(digest); });
                break;
            // Credentials of weir's own: no answer, not the client's 401.
            case store::RemoteEnd::refused:
            case store::RemoteEnd::unavailable:
                answer.outcome = Outcome::unreachable;
                break;
        }
        co_return answer;
    }

private:
    store::Remote& remote_;
    meta::Upkeep& upkeep_;
    Pool& pool_;
    const std::string key_;
    const std::string repository_;
    const FetchPolicy policy_;
};

}  // namespace

std::shared_ptr<Origin> make_remote_origin(store::Remote& remote, meta::Upkeep& upkeep, Pool& pool,
                                           std::string repository) {
    return std::make_shared<RemoteOrigin>(remote, upkeep, pool, std::move(repository));
}

}  // namespace weir::cache
