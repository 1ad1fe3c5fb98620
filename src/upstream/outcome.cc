#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/text.h"
#include "upstream/impl.h"

namespace weir::upstream {
namespace {

constexpr size_t kMaxErrorBytes = 8 * 1024;  // of an error's body
constexpr size_t kMaxErrorText = 200;

std::string printable(std::string_view text) {
    std::string out(text.substr(0, kMaxErrorText));
    std::ranges::replace_if(out, [](char c) { return c < 0x20 || c >= 0x7f; }, ' ');
    return out;
}

Outcome outcome_of_status(int status, bool same_origin, bool has_retry_after) {
    switch (status) {
        case 200:
        case 206:
            return Outcome::ok;
        case 401:
        case 403:
            return same_origin ? Outcome::refused : Outcome::failed;
        case 404:
            return Outcome::not_found;
        case 429:
            return Outcome::throttled;
        case 503:
            return has_retry_after ? Outcome::throttled : Outcome::failed;
        default:
            return Outcome::failed;
    }
}

// How much an outcome tells when nothing came.
int rank(Outcome outcome) {
    static constexpr std::array kOrder{Outcome::ok,          Outcome::not_found, Outcome::offline,
                                       Outcome::refused,     Outcome::forbidden, Outcome::too_large,
                                       Outcome::unreachable, Outcome::failed,    Outcome::timeout,
                                       Outcome::throttled};
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

Outcome outcome_of(const client::ReplyEnd& reply, bool same_origin, bool has_retry_after) {
    const int status = reply.head.status;
    const bool good = status == 200 || status == 206;
    // An error is known by its head, however its body ended.
    if (status != 0 && !good && reply.end != client::End::cancelled)
        return outcome_of_status(status, same_origin, has_retry_after);
    switch (reply.end) {
        case client::End::complete:
        case client::End::stopped:
            return outcome_of_status(status, same_origin, has_retry_after);
        case client::End::cancelled:
        case client::End::unreachable:
            return Outcome::unreachable;
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

bool is_transient(Outcome outcome) {
    return outcome == Outcome::throttled || outcome == Outcome::failed ||
           outcome == Outcome::unreachable || outcome == Outcome::timeout;
}

Breaker::Sign sign_of(Outcome outcome) {
    switch (outcome) {
        case Outcome::failed:
        case Outcome::unreachable:
        case Outcome::timeout:
            return Breaker::Sign::bad;
        case Outcome::forbidden:
        case Outcome::offline:
            return Breaker::Sign::none;
        default:
            return Breaker::Sign::good;
    }
}

void take(Answer& answer, const Asked& asked) {
    answer.outcome = asked.outcome;
    answer.detail = asked.detail;
    answer.retry_after = asked.retry_after;
    answer.mirror = asked.mirror;
    answer.with_login = asked.with_login;
}

bool outranks(Outcome a, Outcome b) {
    return rank(a) > rank(b);
}

std::string error_text(std::string_view body) {
    boost::system::error_code error;
    const auto value = boost::json::parse(body, error);
    const auto* object = error ? nullptr : value.if_object();
    const auto* errors = object ? object->if_contains("errors") : nullptr;
    const auto* list = errors ? errors->if_array() : nullptr;
    const auto* first = list && !list->empty() ? (*list)[0].if_object() : nullptr;
    if (!first) return {};
    const auto text = [&](const char* name) -> std::string {
        const auto* member = first->if_contains(name);
        return member && member->is_string() ? printable(member->get_string()) : "";
    };
    const std::string code = text("code"), message = text("message");
    return code.empty() || message.empty() ? code + message : code + ": " + message;
}

client::BodyAction AnswerSink::on_head(const client::ReplyHead& head) {
    good_ = head.status == 200 || head.status == 206;
    if (good_ && sink_) return sink_->on_head(head);
    return client::BodyAction::go_on;
}

client::BodyAction AnswerSink::on_data(std::span<const std::byte> data) {
    if (good_) return sink_ ? sink_->on_data(data) : client::BodyAction::go_on;
    text_ += as_text(data);
    return text_.size() > kMaxErrorBytes ? client::BodyAction::stop : client::BodyAction::go_on;
}

}  // namespace weir::upstream
