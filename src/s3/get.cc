#include <fmt/format.h>

#include "base/text.h"
#include "s3/impl.h"

namespace weir::s3 {
namespace {

using client::BodyAction;
using client::End;

// Checks that what comes is what was asked for, and keeps the receiver's exceptions from the
// transfer thread.
class GetSink : public client::Sink {
public:
    GetSink(std::shared_ptr<client::Sink> to, uint64_t first, std::optional<uint64_t> last)
        : to_(std::move(to)), ranged_(first > 0 || last), first_(first), last_(last) {}

    BodyAction on_head(const client::ReplyHead& head) override {
        if (head.status != (ranged_ ? 206 : 200) || (ranged_ && !is_what_was_asked_for(head))) {
            wrong = true;
            return BodyAction::stop;
        }
        return guarded([&] { return to_->on_head(head); });
    }
    BodyAction on_data(std::span<const std::byte> data) override {
        if (data.size() > left_) {
            wrong = true;
            return BodyAction::stop;
        }
        const BodyAction action = guarded([&] { return to_->on_data(data); });
        if (action != BodyAction::pause) left_ -= data.size();  // what a pause refuses comes again
        return action;
    }

    bool gathers() const override { return to_->gathers(); }

    bool wrong = false;    // not the range, or more of it
    bool stopped = false;  // by the receiver
    std::string why;

private:
    // "bytes 5-9/10": from where it was asked for, and no further.
    bool is_what_was_asked_for(const client::ReplyHead& head) {
        auto range = head.fields.get("Content-Range");
        if (!istarts_with(range, "bytes ")) return false;
        range = trim(range.substr(6));
        const auto dash = range.find('-');
        if (dash == std::string_view::npos) return false;
        const auto from = parse_u64(range.substr(0, dash));
        range.remove_prefix(dash + 1);
        const auto to = parse_u64(range.substr(0, range.find('/')));
        if (from != first_ || !to || *to < first_ || *to > last_.value_or(UINT64_MAX)) return false;
        left_ = *to - first_ + 1;
        return true;
    }
    template <class F>
    BodyAction guarded(F f) {
        try {
            const BodyAction action = f();
            stopped |= action == BodyAction::stop;
            return action;
        } catch (const std::exception& error) {
            why = error.what();
        } catch (...) {
            why = "an unknown exception";
        }
        stopped = true;
        return BodyAction::stop;
    }

    std::shared_ptr<client::Sink> to_;
    const bool ranged_;
    const uint64_t first_;
    const std::optional<uint64_t> last_;
    uint64_t left_ = UINT64_MAX;  // that may still come
};

}  // namespace

Task<GetResult> Bucket::get(std::string key, uint64_t first, std::optional<uint64_t> last,
                            std::shared_ptr<client::Sink> sink,
                            std::function<void(std::shared_ptr<client::TransferHandle>)> started,
                            TimePoint head_deadline) {
    const bool ranged = first > 0 || last.has_value();
    const auto checked = std::make_shared<GetSink>(std::move(sink), first, last);
    Ask ask;
    ask.verb = Verb::get;
    ask.key = impl_->service.key(key);
    if (ranged)
        ask.fields = {{"Range", last ? fmt::format("bytes={}-{}", first, *last)
                                     : fmt::format("bytes={}-", first)}};
    ask.sink = checked;
    ask.to_head = true;
    ask.leash = std::make_shared<client::Leash>();
    if (started) started(ask.leash);
    const auto leash = ask.leash;
    const Answer answer = co_await impl_->service.ask(std::move(ask), head_deadline);
    GetResult out{answer, answer.bytes, false, false};
    if (!answer.handed_on) co_return out;
    out.detail = answer.end == End::complete ? "" : answer.end_detail;
    out.stopped = checked->stopped || leash->cancelled();
    if (checked->wrong) {
        out.outcome = Outcome::bad;
        out.detail = fmt::format("get: status {} with range \"{}\" is not what was asked for",
                                 answer.head.status, answer.head.fields.get("Content-Range"));
    } else if (checked->stopped) {
        out.detail = checked->why;
    } else if (!out.stopped) {
        out.cut = answer.end != End::complete;
    }
    co_return out;
}

}  // namespace weir::s3
