#include <algorithm>
#include <array>

#include "base/text.h"
#include "oci/json.h"
#include "upstream/impl.h"
#include "upstream/judgement.h"

namespace weir::upstream {
namespace {

constexpr size_t kMaxErrorBytes = 8 * 1024;  // of an error's body
constexpr size_t kMaxErrorText = 200;

std::string printable(std::string_view text) {
    std::string out(text.substr(0, kMaxErrorText));
    std::ranges::replace_if(out, [](char c) { return c < 0x20 || c >= 0x7f; }, ' ');
    return out;
}

// 408 Request Timeout, 421 Misdirected Request, 425 Too Early.
bool is_about_the_host(int status) {
    return status == 408 || status == 421 || status == 425 || status >= 500;
}

Outcome outcome_of_status(int status, const Setting& setting) {
    switch (status) {
        case 200:
        case 206:
            return Outcome::ok;
        case 404:
            return Outcome::not_found;
        case 400:
        case 401:
        case 403:
            if (!setting.at_mirror && !setting.challenges) return Outcome::failed;
            return status == 400 ? Outcome::rejected : Outcome::refused;
        case 407:
            return Outcome::unreachable;
        case 429:
            return Outcome::throttled;
        case 503:
            return setting.has_retry_after ? Outcome::throttled : Outcome::failed;
        default:
            return status < 400 || is_about_the_host(status) ? Outcome::failed : Outcome::rejected;
    }
}

// How much an outcome tells when nothing came; higher wins.
int rank(Outcome outcome) {
    static constexpr std::array kOrder{Outcome::ok,        Outcome::not_found,   Outcome::offline,
                                       Outcome::refused,   Outcome::rejected,    Outcome::forbidden,
                                       Outcome::too_large, Outcome::unreachable, Outcome::failed,
                                       Outcome::timeout,   Outcome::throttled};
    static_assert(kOrder.size() == kOutcomes);
    return static_cast<int>(std::ranges::find(kOrder, outcome) - kOrder.begin());
}

}  // namespace

const char* outcome_name(Outcome outcome) {
    switch (outcome) {
        case Outcome::ok:
            return "ok";
        case Outcome::not_found:
            return "not_found";
        case Outcome::refused:
            return "refused";
        case Outcome::rejected:
            return "rejected";
        case Outcome::throttled:
            return "throttled";
        case Outcome::failed:
            return "failed";
        case Outcome::unreachable:
            return "unreachable";
        case Outcome::timeout:
            return "timeout";
        case Outcome::forbidden:
            return "forbidden";
        case Outcome::offline:
            return "offline";
        case Outcome::too_large:
            return "too_large";
    }
    return "failed";
}

Outcome outcome_of(const client::ReplyEnd& reply, const Setting& setting) {
    const int status = reply.head.status;
    const bool good = status == 200 || status == 206;
    // An error is known by its head, however its body ended.
    if (status != 0 && !good && reply.end != client::End::cancelled)
        return outcome_of_status(status, setting);
    switch (reply.end) {
        case client::End::complete:
        case client::End::stopped:
            return outcome_of_status(status, setting);
        case client::End::cancelled:
            return Outcome::unreachable;
        case client::End::unreachable:
            return reply.connected ? Outcome::failed : Outcome::unreachable;
        case client::End::forbidden:
            return Outcome::forbidden;
        case client::End::timeout:
        case client::End::stalled:
            return Outcome::timeout;
        case client::End::too_large:
            return Outcome::too_large;
        case client::End::cut:
        case client::End::protocol:
            return Outcome::failed;
    }
    return Outcome::failed;
}

Sign sign_of(Outcome outcome, int status) {
    switch (outcome) {
        case Outcome::ok:
        case Outcome::not_found:
        case Outcome::refused:
        case Outcome::rejected:
        case Outcome::too_large:
            return Sign::good;
        case Outcome::failed:
            return Sign::bad;
        case Outcome::timeout:
            return status == 0 ? Sign::silent : Sign::bad;
        case Outcome::unreachable:
            return status == 0 ? Sign::dead : Sign::none;
        case Outcome::throttled:
        case Outcome::forbidden:
        case Outcome::offline:
            return Sign::none;
    }
    return Sign::none;
}

Sign sign_of(const client::ReplyEnd& reply, Outcome outcome) {
    const int status = reply.head.status;
    if (status == 407) return Sign::none;
    // The address was signed for a while, and that is over.
    if (status == 400 || status == 401 || status == 403) return Sign::good;
    if (reply.end == client::End::cancelled) return Sign::none;
    return sign_of(outcome, status);
}

bool is_transient(Outcome outcome) {
    return outcome == Outcome::throttled || outcome == Outcome::failed ||
           outcome == Outcome::unreachable || outcome == Outcome::timeout;
}

void take(Answer& answer, const Asked& asked) {
    answer.outcome = asked.outcome;
    answer.detail = asked.detail;
    answer.retry_after = asked.retry_after;
    answer.mirror = asked.mirror;
    answer.status = asked.status;
    answer.elsewhere = asked.elsewhere;
    answer.with_login = asked.with_login;
}

bool outranks(Outcome a, Outcome b) {
    return rank(a) > rank(b);
}

std::string error_text(std::string_view body) {
    const auto value = oci::parse_json(body.substr(0, kMaxErrorBytes));
    if (!value || !value->is_object()) return {};
    const auto* errors = oci::member(value->get_object(), "errors");
    const auto* list = errors ? errors->if_array() : nullptr;
    const auto* first = list && !list->empty() ? (*list)[0].if_object() : nullptr;
    if (!first) return {};
    const std::string code = printable(oci::text_member(*first, "code"));
    const std::string message = printable(oci::text_member(*first, "message"));
    return code.empty() || message.empty() ? code + message : code + ": " + message;
}

client::BodyAction AnswerSink::on_head(const client::ReplyHead& head) {
    good_ = head.status == 200 || head.status == 206;
    text_.clear();  // of a refusal before
    if (good_ && sink_) return sink_->on_head(head);
    return client::BodyAction::go_on;
}

client::BodyAction AnswerSink::on_data(std::span<const std::byte> data) {
    if (good_) return sink_ ? sink_->on_data(data) : client::BodyAction::go_on;
    text_ += as_text(data);
    return text_.size() > kMaxErrorBytes ? client::BodyAction::stop : client::BodyAction::go_on;
}

}  // namespace weir::upstream
