#include "s3/service.h"

#include <fmt/format.h>

#include <algorithm>

#include "async/signal.h"
#include "base/failure.h"
#include "base/log.h"
#include "base/text.h"
#include "s3/deadline.h"
#include "s3/sums.h"

namespace weir::s3 {
namespace {

using namespace std::chrono_literals;
using client::BodyAction;
using client::End;

constexpr size_t kMaxErrorBytes = 64 * 1024;
constexpr size_t kMaxMessageBytes = 200;
// S3 takes times that are off by 15 minutes. A HEAD's refusal doesn't say why; a Date so far off
// does.
constexpr std::chrono::microseconds kNotableSkew = 10min;

// A good answer goes to the asker's sink, if it has one; everything else is kept as text, within
// bounds.
class AnswerSink : public client::Sink {
public:
    explicit AnswerSink(std::shared_ptr<client::Sink> to) : to_(std::move(to)) {}

    BodyAction on_head(const client::ReplyHead& head) override {
        good_ = head.status >= 200 && head.status < 300;
        if (!good_ || !to_) return BodyAction::go_on;
        handed_on = true;
        return to_->on_head(head);
    }
    BodyAction on_data(std::span<const std::byte> data) override {
        if (handed_on) return hand_on(data);
        const size_t room = (good_ ? kMaxAnswerBytes : kMaxErrorBytes) - text.size();
        text += as_text(data.first(std::min(data.size(), room)));
        return data.size() > room ? BodyAction::stop : BodyAction::go_on;
    }

    std::atomic<bool> handed_on{false};
    uint64_t bytes = 0;
    std::string text;

private:
    BodyAction hand_on(std::span<const std::byte> data) {
        const BodyAction action = to_->on_data(data);
        if (action == BodyAction::go_on) {  // what a pause refuses comes again
            bytes += data.size();
            Metrics::get().received.Increment(static_cast<double>(data.size()));
        }
        return action;
    }

    std::shared_ptr<client::Sink> to_;
    bool good_ = false;
};

std::string describe(const client::ReplyEnd& reply, const std::optional<ErrorAnswer>& error) {
    const int status = reply.head.status;
    if (error)
        return fmt::format("{} {}: {}", status, error->code,
                           error->message.substr(0, kMaxMessageBytes));
    if (status != 0 && (status < 200 || status >= 300)) return fmt::format("status {}", status);
    return reply.detail.empty() ? client::end_name(reply.end)
                                : fmt::format("{}: {}", client::end_name(reply.end), reply.detail);
}

// Between two tries; the leash can end it.
class Pause : public client::TransferHandle {
public:
    explicit Pause(const Signal& over) : over_(over) {}
    void resume() override {}
    void cancel() override { over_.fire(); }

private:
    Firing over_;
};

Task<> pause_for(Duration time, client::Leash& leash) {
    Signal over;
    leash.attach(std::make_shared<Pause>(over));
    co_await over.wait(Loop::current().now() + time);
}

Answer failed(Outcome outcome, std::string why) {
    Answer answer;
    answer.outcome = outcome;
    answer.detail = std::move(why);
    answer.end = End::cancelled;
    return answer;
}

}  // namespace

// What one ask has used up, and what the last try said.
struct Service::Try {
    std::shared_ptr<client::Leash> leash;
    std::shared_ptr<const Credentials> credentials;
    std::optional<ErrorAnswer> error;
    Judgement judged;
    bool renewed = false, moved = false, clocked = false;
};

Service::Service(BucketOptions given, client::HttpClient& http, CredentialChain& chain, Clock& wall,
                 Random& random)
    : options(std::move(given)), clock(wall), http_(http), chain_(chain), random_(random) {
    adopt_region(options.region.empty() ? "us-east-1" : options.region);
}

std::shared_ptr<const Service::Place> Service::place() const {
    std::lock_guard lock(mutex_);
    return place_;
}

WallTime Service::time() const {
    return clock.wall() + std::chrono::microseconds(skew_us_.load());
}

Task<Answer> Service::ask(Ask asked, TimePoint deadline) {
    Try state;
    state.leash = asked.leash ? asked.leash : std::make_shared<client::Leash>();
    const Leashes::Held held(leashes_, state.leash);
    if (asked.payload_hash.empty()) asked.payload_hash = sha256_hex(asked.body);
    for (uint32_t tries = 0;;) {
        if (state.leash->cancelled()) co_return failed(Outcome::unavailable, "cancelled");
        if (clock.now() >= deadline)
            co_return failed(Outcome::unavailable, "the time for it has passed");
        Answer answer = co_await attempt(asked, state, deadline);
        if (!answer.detail.empty())
            answer.detail =
                fmt::format("{} {}: {}", verb_name(asked.verb), asked.key, answer.detail);
        const Next next = state.judged.next;
        if (answer.handed_on || next == Next::settled || state.leash->cancelled() ||
            state.leash->expired())
            co_return answer;
        if (next != Next::again) {
            if (!adopt(state, answer)) co_return answer;
            continue;
        }
        const Duration pause = pause_after(tries, answer.head, random_);
        if (++tries >= options.max_attempts || clock.now() + pause >= deadline) co_return answer;
        log::debug("s3", "{}; once more in {} ms", answer.detail, pause / 1ms);
        co_await pause_for(pause, *state.leash);
    }
}

Task<Answer> Service::attempt(const Ask& asked, Try& state, TimePoint deadline) {
    state.judged = {};
    client::ReplyEnd reply;
    const auto sink = std::make_shared<AnswerSink>(asked.sink);
    try {
        state.credentials = co_await chain_.current(deadline);
        client::Call call = call_for(asked, *state.credentials, *place());
        call.started = [leash = state.leash](auto handle) { leash->attach(std::move(handle)); };
        const UntilDeadline watch(state.leash, deadline, [sink, to_head = asked.to_head] {
            return !to_head || !sink->handed_on;
        });
        reply = co_await http_.send(std::move(call), sink);
    } catch (const Failure& failure) {
        const bool refused = failure.kind() == Kind::unauthorized;
        if (failure.kind() == Kind::overloaded) state.judged.next = Next::again;
        co_return failed(refused ? Outcome::refused : Outcome::unavailable, failure.what());
    }
    Answer answer;
    answer.handed_on = sink->handed_on;
    answer.bytes = sink->bytes;
    answer.body = std::move(sink->text);
    take(asked, state, std::move(reply), answer);
    co_return answer;
}

// Judges and counts.
void Service::take(const Ask& asked, Try& state, client::ReplyEnd reply, Answer& answer) const {
    if (!answer.handed_on) {
        state.error = read_error(answer.body);
        state.judged = judge(reply, state.error);
        answer.outcome = state.judged.outcome;
        if (state.error) answer.code = state.error->code;
        if (answer.outcome != Outcome::ok)
            answer.detail =
                state.leash->expired() ? "no answer in time" : describe(reply, state.error);
    }
    Metrics& metrics = Metrics::get();
    metrics.requests(asked.verb, answer.outcome).Increment();
    if (reply.head.status != 0)
        metrics.seconds_to_head(asked.verb)
            .Observe(std::chrono::duration<double>(reply.time_to_head).count());
    if (answer.outcome == Outcome::ok && asked.upload)
        metrics.sent.Increment(static_cast<double>(asked.upload_bytes));
    answer.end = reply.end;
    answer.end_detail = std::move(reply.detail);
    answer.head = std::move(reply.head);
    // A HEAD's refusal has no body that says why.
    if (asked.method == "HEAD" && state.judged.next == Next::settled) {
        if (answer.head.status == 400 && !state.credentials->session_token.empty())
            state.judged.next = Next::renew;
        if (answer.head.status == 403) state.judged.next = Next::skew;
    }
}

client::Call Service::call_for(const Ask& asked, const Credentials& credentials,
                               const Place& where) const {
    SigningRequest request;
    request.method = asked.method;
    request.host = where.endpoint.host;
    request.path = where.endpoint.base + asked.key;
    if (asked.key.empty() && request.path.size() > 1) request.path.pop_back();  // the bucket
    request.query = asked.query;
    request.fields = asked.fields;
    request.payload_hash = asked.payload_hash;
    Signed made = sign(request, credentials, where.region, "s3", time());
    client::Call call;
    call.party = "s3";
    call.method = asked.method;
    call.url = where.endpoint.origin + made.path_and_query;
    call.fields = std::move(made.fields);
    call.authorization = std::move(made.authorization);
    if (!asked.content_type.empty()) call.fields.emplace_back("Content-Type", asked.content_type);
    call.body = asked.body;
    call.upload = asked.upload;
    call.upload_bytes = asked.upload_bytes;
    call.bulk = asked.sink || asked.upload;
    call.gather = asked.sink && asked.sink->gathers();
    call.timeouts = options.timeouts;
    call.timeouts.response = std::max(call.timeouts.response, asked.least_response);
    call.tls = options.tls;
    call.guard.enabled = false;
    return call;
}

void Service::stop() {
    leashes_.end();
    chain_.stop();
}

// Each of the three once an ask. false: there is nothing new to try with.
bool Service::adopt(Try& state, const Answer& answer) {
    switch (state.judged.next) {
        case Next::renew:
            if (std::exchange(state.renewed, true)) return false;
            chain_.expired(*state.credentials);
            return true;
        case Next::skew:
            return !std::exchange(state.clocked, true) && adopt_time(answer);
        case Next::region:
            return !std::exchange(state.moved, true) &&
                   adopt_region(region_hint(answer.head, state.error));
        default:
            return false;
    }
}

bool Service::adopt_time(const Answer& answer) {
    const auto theirs = read_http_time(answer.head.fields.get("Date"));
    if (!theirs) return false;
    const auto ahead = *theirs - time();
    if (answer.code.empty() && std::chrono::abs(ahead) < kNotableSkew) return false;
    skew_us_ = (*theirs - clock.wall()).count();
    log::warn("s3", "this machine's clock and S3's differ by {} s; S3's is taken for its requests",
              skew_us_.load() / 1'000'000);
    return true;
}

bool Service::adopt_region(const std::string& region) {
    auto fresh = std::make_shared<const Place>(region, endpoint_of(options, region));
    std::lock_guard lock(mutex_);
    if (place_ && place_->region == region) return false;
    if (place_)
        log::warn("s3", "bucket {} is in region {}, not {}: taken from S3's answer", options.bucket,
                  region, place_->region);
    place_ = std::move(fresh);
    return true;
}

Task<std::optional<std::string>> Service::presigned(std::string key, std::chrono::seconds valid,
                                                    TimePoint deadline) {
    try {
        const auto credentials = co_await chain_.current(deadline);
        const auto where = place();
        SigningRequest request;
        request.method = "GET";
        request.host = where->endpoint.host;
        request.path = where->endpoint.base + key;
        co_return where->endpoint.origin +
            presign(request, *credentials, where->region, time(), valid);
    } catch (const Failure& failure) {
        log::warn("s3", "no presigned address: {}", failure.what());
    }
    co_return std::nullopt;
}

}  // namespace weir::s3
