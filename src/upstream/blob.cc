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

bool refuses_range(int status, bool same_origin) {
    switch (status) {
        case 0:  // no answer
        case 200:
        case 206:
        case 401:
        case 404:
        case 407:
        case 408:
        case 421:
        case 425:
        case 429:
        case 502:
        case 503:
        case 504:
            return false;
        case 403:
            return !same_origin;  // some stores sign their addresses for the whole alone
        default:
            return true;
    }
}

std::optional<uint64_t> size_told(const client::ReplyHead& head) {
    const auto given = ContentRange::parse(head.fields.get("Content-Range"));
    return given && !given->satisfied ? given->whole : std::nullopt;
}

namespace {

// Between a transfer and a blob's receiver: checks which bytes come, and keeps the receiver's
// exceptions out of libcurl. What it saw may be read when the transfer has ended; head_seen() at
// any time.
class BlobAdapter : public client::Sink {
public:
    // `on_all`: when the whole begins.
    BlobAdapter(BlobRange range, std::shared_ptr<BlobSink> sink, metrics::Counter& bytes,
                std::shared_ptr<const std::atomic<bool>> with_login,
                std::function<void(uint64_t length)> on_all)
        : range_(range),
          sink_(std::move(sink)),
          counter_(bytes),
          with_login_(std::move(with_login)),
          on_all_(std::move(on_all)) {}

    client::BodyAction on_head(const client::ReplyHead& head) override {
        head_seen_ = true;
        const bool part = head.status == 206 || is_unmarked_part(head);
        const auto blob_head = part ? partial(head) : whole(head);
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
    // The answer to a request with Range is neither the part nor the whole.
    bool refused_range() const { return ranged() && !accepted_ && !wrong_.empty(); }
    bool gave_part() const { return gave_part_; }
    // What is wrong with the answer; empty when nothing is.
    const std::string& wrong() const { return wrong_; }
    // What the receiver threw.
    const std::string& thrown() const { return thrown_; }
    // Every byte that was asked for is here.
    bool is_whole() const { return !short_ && (!expected_ || bytes_ == *expected_); }

private:
    bool ranged() const { return range_.first > 0 || range_.last || range_.suffix > 0; }

    // 200 and a Content-Range: it is the part all the same if that is what was asked for.
    bool is_unmarked_part(const client::ReplyHead& head) const {
        if (!ranged() || head.content_length == range_.size) return false;
        const auto given = ContentRange::parse(head.fields.get("Content-Range"));
        return given && given->satisfied && is_the_part(*given) &&
               head.content_length == given->last - given->first + 1;
    }

    std::optional<BlobHead> whole(const client::ReplyHead& head) {
        if (ranged() && range_.size && head.content_length.value_or(*range_.size) != *range_.size) {
            wrong_ = fmt::format("{} bytes came in place of a part of {}", *head.content_length,
                                 *range_.size);
            return std::nullopt;
        }
        on_all_(head.content_length.value_or(UINT64_MAX));
        expected_ = head.content_length;
        return BlobHead{0, head.content_length, *with_login_, true};
    }

    std::optional<BlobHead> partial(const client::ReplyHead& head) {
        const auto given = ContentRange::parse(head.fields.get("Content-Range"));
        if (!given || !given->satisfied) {
            wrong_ = "a part without a sensible Content-Range";
            return std::nullopt;
        }
        if (istarts_with(head.fields.get("Content-Type"), "multipart/")) {
            wrong_ = "several parts, where one was asked for";
            return std::nullopt;
        }
        const uint64_t length = given->last - given->first + 1;
        if (range_.size && given->whole && *given->whole != *range_.size) {
            wrong_ = fmt::format("a part of {} bytes, not of {}", *given->whole, *range_.size);
        } else if (range_.suffix > 0 ? !is_the_end(*given) : !is_the_part(*given)) {
            wrong_ =
                fmt::format("bytes {}-{} came, others were asked for", given->first, given->last);
        } else if (head.content_length && *head.content_length != length) {
            wrong_ = "Content-Length and Content-Range differ";
        }
        if (!wrong_.empty()) return std::nullopt;
        gave_part_ = ranged();
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
    const std::function<void(uint64_t)> on_all_;
    std::atomic<bool> head_seen_{false};
    bool accepted_ = false;
    bool gave_part_ = false;
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
        answer.beyond = size_told(asked.reply.head);
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

std::optional<std::string> range_field(const BlobRange& range) {
    if (range.suffix > 0) return fmt::format("bytes=-{}", range.suffix);
    if (range.last) return fmt::format("bytes={}-{}", range.first, *range.last);
    if (range.first > 0) return fmt::format("bytes={}-", range.first);
    return std::nullopt;
}

// How to ask after this answer; nullopt: not again. `about_range`: it spoke of the Range, not of a
// host that may be well in a moment.
std::optional<BlobRange> after_no(const BlobRange& range, const Asked& asked,
                                  const BlobAnswer& answer, const BlobAdapter& adapter,
                                  bool& about_range) {
    if (!range_field(range)) return std::nullopt;
    // Of a blob that has begun, "no such thing" and "not for you" can only mean the Range.
    const bool not_this = range.size && (asked.status == 403 || asked.status == 404);
    const bool no =
        refuses_range(asked.status, !answer.elsewhere) || adapter.refused_range() || not_this;
    const bool nothing = answer.bytes == 0 && (answer.outcome == Outcome::failed ||
                                               answer.outcome == Outcome::unreachable);
    about_range = no;
    if (!no && !(range.plain && nothing)) return std::nullopt;
    if (asked.status == 416 && !range.size && range.suffix == 0) {
        const auto size = size_told(asked.reply.head);
        // Every blob but one has a byte: that it has none is no reason to believe.
        if (size && *size > 0 && range.first >= *size) return std::nullopt;
        if (size && *size > 0 && !range.last) {
            BlobRange closed = range;
            closed.last = *size - 1;
            return closed;
        }
    }
    return BlobRange{};
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
    Request request;
    request.path = fmt::format("{}/blobs/{}", repository, digest.text());
    request.repository = std::move(repository);
    request.purpose = Purpose::blob;
    request.bulk = true;
    request.gather = sink->gathers();
    if (started) started(leash);

    // A sink that does not gather may pause for as long as its client sleeps.
    const Place place = co_await this->place(sink->gathers() ? "blobs" : "relays", head_deadline);
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
        std::shared_ptr<BlobAdapter> adapter;
        const Curfew curfew(leash, head_deadline, [&] { return !adapter->head_seen(); });
        // The whole in place of a part shows that the mirror gives none.
        bool learns = range_field(range).has_value();
        const auto on_all = [this, site, &learns, first = range.first](uint64_t length) {
            if (learns && length > first && !site->parts.refused(clock.now()))
                site->parts.refuse(clock.now());
        };
        if (site->parts.refused(clock.now())) range = {};
        if (site->parts.given(clock.now())) range.plain = false;
        for (;;) {
            adapter = std::make_shared<BlobAdapter>(range, sink, metrics.bytes, request.with_login,
                                                    on_all);
            Request one = request;
            if (auto field = range_field(range)) one.fields.emplace_back("Range", *field);
            const Asked asked = co_await ask(site, std::move(one), adapter, leash, head_deadline);
            answer = answer_of(asked, *adapter, range_field(range).has_value(), *leash);
            sign = sign_of_blob(answer, *leash);
            if (leash->cancelled() || leash->expired()) break;
            const auto next = after_no(range, asked, answer, *adapter, learns);
            if (!next) break;
            log::info("upstream", "{}: {} is asked for {} after \"{}\"", options.name,
                      answer.mirror, range_field(*next).value_or("the whole"), answer.detail);
            range = *next;
        }
        if (answer.outcome == Outcome::ok && answer.bytes > 0 && adapter->gave_part())
            site->parts.give(clock.now());
    } catch (const Failure& failure) {  // a limit of weir, not of the mirror
        answer.outcome = Outcome::throttled;
        answer.detail = failure.what();
    }
    settle(*site, subject, ticket, sign, answer);
    co_return answer;
}

}  // namespace weir::upstream
