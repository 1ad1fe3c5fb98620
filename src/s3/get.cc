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
    GetSink(std::shared_ptr<client::Sink> to, bool ranged, uint64_t first)
        : to_(std::move(to)), ranged_(ranged), first_(first) {}

    BodyAction on_head(const client::ReplyHead& head) override {
        if (head.status != (ranged_ ? 206 : 200) || (ranged_ && !begins_right(head))) {
            wrong = true;
            return BodyAction::stop;
        }
        return guarded([&] { return to_->on_head(head); });
    }
    BodyAction on_data(std::span<const std::byte> data) override {
        return guarded([&] { return to_->on_data(data); });
    }

    bool wrong = false;    // not the range
    bool stopped = false;  // by the receiver
    std::string why;

private:
    // "bytes 5-9/10"
    bool begins_right(const client::ReplyHead& head) const {
        auto range = head.fields.get("Content-Range");
        if (!istarts_with(range, "bytes ")) return false;
        range = trim(range.substr(6));
        return parse_u64(range.substr(0, range.find('-'))) == first_;
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
};

}  // namespace

Task<GetResult> Bucket::get(std::string key, uint64_t first, std::optional<uint64_t> last,
                            std::shared_ptr<client::Sink> sink,
                            std::function<void(std::shared_ptr<client::TransferHandle>)> started,
                            TimePoint head_deadline) {
    const bool ranged = first > 0 || last.has_value();
    const auto checked = std::make_shared<GetSink>(std::move(sink), ranged, first);
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
