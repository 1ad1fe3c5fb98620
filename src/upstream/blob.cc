// The bytes of a blob, whole or a range, from one mirror to one sink.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>

#include "base/text.h"
#include "upstream/content_range.h"
#include "upstream/curfew.h"
#include "upstream/impl.h"
#include "upstream/over_mirrors.h"

namespace weir::upstream {

std::optional<ContentRange> ContentRange::parse(std::string_view text) {
    text = trim(text);
    if (!istarts_with(text, "bytes ")) return std::nullopt;
    text = trim(text.substr(6));
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    ContentRange range;
    const auto whole = text.substr(slash + 1);
    if (whole != "*") {
        range.whole = parse_u64(whole);
        if (!range.whole) return std::nullopt;
    }
    text = text.substr(0, slash);
    if (text == "*") {
        range.satisfied = false;
        return range.whole ? std::optional(range) : std::nullopt;
    }
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto first = parse_u64(text.substr(0, dash)), last = parse_u64(text.substr(dash + 1));
    if (!first || !last || *last < *first || (range.whole && *range.whole <= *last))
        return std::nullopt;
    range.first = *first;
    range.last = *last;
    return range;
}

namespace {

// Between a transfer and a blob's receiver: checks which bytes come, and keeps the receiver's
// exceptions out of libcurl. What it saw may be read when the transfer has ended; head_seen() at
// any time.
class BlobAdapter : public client::Sink {
public:
    BlobAdapter(BlobRange range, std::shared_ptr<BlobSink> sink, metrics::Counter& bytes,
                std::shared_ptr<const std::atomic<bool>> with_login)
        : range_(range),
          sink_(std::move(sink)),
          counter_(bytes),
          with_login_(std::move(with_login)) {}

    client::BodyAction on_head(const client::ReplyHead& head) override {
        head_seen_ = true;
        const auto blob_head = head.status == 206 ? partial(head) : whole(head);
        if (!blob_head) return client::BodyAction::stop;
        accepted_ = true;
        return guarded([&] { return sink_->on_head(*blob_head); });
    }
    client::BodyAction on_data(std::span<const std::byte> data) override {
        if (expected_ && bytes_ + data.size() > *expected_) {
            wrong_ = "more bytes came than were announced";
            return client::BodyAction::stop;
        }
        const auto action = guarded([&] { return sink_->on_data(data); });
        if (action == client::BodyAction::pause) return action;  // they come again
        bytes_ += data.size();
        counter_.Increment(static_cast<double>(data.size()));
        return action;
    }

    bool head_seen() const { return head_seen_; }
    bool accepted() const { return accepted_; }
    uint64_t bytes() const { return bytes_; }
    // What is wrong with the answer; empty when nothing is.
    const std::string& wrong() const { return wrong_; }
    // What the receiver threw.
    const std::string& thrown() const { return thrown_; }
    // Every byte that was asked for is here.
    bool is_whole() const { return !short_ && (!expected_ || bytes_ == *expected_); }

private:
    std::optional<BlobHead> whole(const client::ReplyHead& head) {
        expected_ = head.content_length;
        return BlobHead{0, head.content_length, *with_login_};
    }

    std::optional<BlobHead> partial(const client::ReplyHead& head) {
        const auto given = ContentRange::parse(head.fields.get("Content-Range"));
        if (!given || !given->satisfied) {
            wrong_ = "a part without a sensible Content-Range";
            return std::nullopt;
        }
        const uint64_t length = given->last - given->first + 1;
        if (range_.suffix > 0 ? !is_the_end(*given) : !is_the_part(*given)) {
            wrong_ =
                fmt::format("bytes {}-{} came, others were asked for", given->first, given->last);
        } else if (head.content_length && *head.content_length != length) {
            wrong_ = "Content-Length and Content-Range differ";
        }
        if (!wrong_.empty()) return std::nullopt;
        expected_ = length;
        const bool to_the_end = given->whole && given->last + 1 == *given->whole;
        short_ = !to_the_end && (range_.suffix > 0 || range_.last != given->last);
        return BlobHead{given->first, given->whole, *with_login_};
    }

    bool is_the_part(const ContentRange& given) const {
        return given.first == range_.first && (!range_.last || given.last <= *range_.last);
    }
    // The last `suffix` bytes, or all where there are fewer.
    bool is_the_end(const ContentRange& given) const {
        if (!given.whole) return false;
        return given.first == *given.whole - std::min(range_.suffix, *given.whole);
    }

    template <class F>
    client::BodyAction guarded(F f) {
        try {
            return f();
        } catch (const std::exception& error) {
            thrown_ = error.what();
        } catch (...) {
            thrown_ = "an unknown exception";
        }
        return client::BodyAction::stop;
    }

    const BlobRange range_;
    const std::shared_ptr<BlobSink> sink_;
    metrics::Counter& counter_;
    const std::shared_ptr<const std::atomic<bool>> with_login_;
    std::atomic<bool> head_seen_{false};
    bool accepted_ = false;
    bool short_ = false;  // the mirror gives less than was asked for
    std::optional<uint64_t> expected_;
    uint64_t bytes_ = 0;
    std::string wrong_, thrown_;
};

TransferEnd end_of(client::End end, const BlobAdapter& adapter, const client::Leash& leash) {
    switch (end) {
        case client::End::complete:
            return adapter.is_whole() ? TransferEnd::complete : TransferEnd::cut;
        case client::End::stopped:
            return TransferEnd::stopped;
        case client::End::cancelled:
            return leash.cancelled() ? TransferEnd::stopped : TransferEnd::cut;
        case client::End::stalled:
        case client::End::timeout:
            return TransferEnd::stalled;
        default:
            return TransferEnd::cut;
    }
}

BlobAnswer answer_of(const Asked& asked, const BlobAdapter& adapter, bool asked_for_part,
                     const client::Leash& leash) {
    BlobAnswer answer;
    take(answer, asked);
    answer.bytes = adapter.bytes();
    if (asked.status == 416) {
        const auto given = ContentRange::parse(asked.reply.head.fields.get("Content-Range"));
        if (given && !given->satisfied) answer.beyond = given->whole;
        // Without a size it speaks of the range, not of the blob.
        if (answer.beyond) {
            answer.outcome = Outcome::ok;
        } else if (asked_for_part) {
            answer.outcome = Outcome::failed;
        }
        return answer;
    }
    if (!adapter.wrong().empty()) {
        answer.outcome = Outcome::failed;
        answer.detail = fmt::format("{}: {}", asked.host, adapter.wrong());
        if (adapter.accepted()) answer.end = TransferEnd::cut;
    } else if (adapter.accepted()) {
        answer.outcome = Outcome::ok;
        answer.end = end_of(asked.reply.end, adapter, leash);
        answer.detail = adapter.thrown().empty() ? asked.reply.detail : adapter.thrown();
        if (answer.end == TransferEnd::cut && answer.detail.empty())
            answer.detail = fmt::format("{} bytes came, then no more", answer.bytes);
    } else if (leash.cancelled() && asked.reply.end == client::End::cancelled) {
        answer.outcome = Outcome::ok;
        answer.end = TransferEnd::stopped;
        answer.detail = "cancelled";
    }
    return answer;
}

Sign sign_of_blob(const BlobAnswer& answer, const client::Leash& leash) {
    // A range that can't be satisfied is nothing that is wrong with the mirror, and neither is what
    // the host does that it sent us to.
    if (answer.status == 416 || answer.elsewhere) return Sign::good;
    if (answer.outcome != Outcome::ok) return sign_of(answer.outcome, answer.status);
    if (answer.end == TransferEnd::stopped) return leash.cancelled() ? Sign::none : Sign::good;
    // It answers, and what is left can be asked for: a large blob that is cut again and again must
    // not keep the mirror's other blobs away.
    if (answer.end == TransferEnd::cut && answer.bytes > 0) return Sign::none;
    return answer.end == TransferEnd::complete ? Sign::good : Sign::bad;
}

}  // namespace

Task<BlobAnswer> Upstream::Impl::blob(
    std::shared_ptr<Site> site, std::string repository, oci::Digest digest, BlobRange range,
    std::shared_ptr<BlobSink> sink,
    std::function<void(std::shared_ptr<client::TransferHandle>)> started, TimePoint head_deadline) {
    BlobAnswer answer;
    answer.mirror = site->url.authority();
    if (options.offline) {
        answer.outcome = Outcome::offline;
        answer.detail = options.name + " is switched off";
        co_return answer;
    }
    const auto leash = std::make_shared<client::Leash>();
    const bool gather = sink->gathers();
    Request request;
    const auto adapter =
        std::make_shared<BlobAdapter>(range, std::move(sink), metrics.bytes, request.with_login);
    request.path = fmt::format("{}/blobs/{}", repository, digest.text());
    if (range.suffix > 0)
        request.fields.emplace_back("Range", fmt::format("bytes=-{}", range.suffix));
    else if (range.last)
        request.fields.emplace_back("Range", fmt::format("bytes={}-{}", range.first, *range.last));
    else if (range.first > 0)
        request.fields.emplace_back("Range", fmt::format("bytes={}-", range.first));
    const bool has_range = !request.fields.empty();
    request.repository = std::move(repository);
    request.purpose = Purpose::blob;
    request.bulk = true;
    request.gather = gather;
    if (started) started(leash);

    const Place place = co_await this->place(Purpose::blob, head_deadline);
    if (!place.permit.holds()) {
        answer.outcome = Outcome::throttled;
        answer.detail = place.refusal;
        co_return answer;
    }
    const Subject subject{Purpose::blob, request.repository};
    Health::Ticket ticket;
    if (auto refusal =
            site->host->health.enter(Purpose::blob, subject.repository, clock.now(), ticket)) {
        answer.outcome = refusal->outcome;
        answer.detail = fmt::format("{}: {}", answer.mirror, refusal->detail);
        if (refusal->outcome == Outcome::throttled) answer.retry_after = refusal->retry_after;
        co_return answer;
    }
    count_open();
    Sign sign = Sign::none;
    try {
        const Curfew curfew(leash, head_deadline, [adapter] { return !adapter->head_seen(); });
        const Asked asked = co_await ask(site, std::move(request), adapter, leash, head_deadline);
        answer = answer_of(asked, *adapter, has_range, *leash);
        sign = sign_of_blob(answer, *leash);
    } catch (const Failure& failure) {  // a limit of weir, not of the mirror
        answer.outcome = Outcome::throttled;
        answer.detail = failure.what();
    }
    settle(*site, subject, ticket, sign, answer);
    co_return answer;
}

}  // namespace weir::upstream
