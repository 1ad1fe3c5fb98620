// A bucket over a FakeHttp, and a clock that stands still until told.
#pragma once
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "async/scope.h"
#include "base/failure.h"
#include "base/text.h"
#include "s3/bucket.h"
#include "support/fake_http.h"
#include "support/run_task.h"
#include "support/text_file.h"

namespace weir::s3 {

using namespace std::chrono_literals;
using client::BodyAction;
using client::End;
using test::FakeAnswer;
using test::FakeHttp;
using test::kForever;

using Pairs = std::vector<std::pair<std::string, std::string>>;

inline FakeAnswer answer(int status, std::string body = {}, Pairs fields = {}) {
    FakeAnswer made;
    made.status = status;
    made.body = std::move(body);
    made.fields = std::move(fields);
    return made;
}
inline FakeAnswer error(int status, const std::string& code, Pairs fields = {},
                        const std::string& more = {}) {
    return answer(status,
                  "<Error><Code>" + code + "</Code><Message>Said so.</Message>" + more + "</Error>",
                  std::move(fields));
}
inline FakeAnswer broken(End end) {
    FakeAnswer made;
    made.status = 0;
    made.end = end;
    made.detail = "broken";
    return made;
}

// What a call would send.
inline std::string sent(const client::Call& call) {
    if (!call.upload) return call.body;
    std::string out(call.upload_bytes, '\0');
    size_t at = 0;
    while (at < out.size()) {
        const size_t got = call.upload->read(
            at, std::as_writable_bytes(std::span(out.data() + at, out.size() - at)));
        if (got == 0) break;
        at += got;
    }
    out.resize(at);
    return out;
}

struct Bytes : client::Sink {
    std::vector<int> statuses;
    std::string text;
    bool throws = false;
    BodyAction at_data = BodyAction::go_on;
    BodyAction on_head(const client::ReplyHead& head) override {
        statuses.push_back(head.status);
        return BodyAction::go_on;
    }
    BodyAction on_data(std::span<const std::byte> data) override {
        if (throws) throw std::runtime_error("the disk is full");
        text += as_text(data);
        return at_data;
    }
};

// Tasks on a loop whose time is moved to each timer when nothing else is ready.
class Time : public ::testing::Test {
protected:
    void settle(Duration limit = std::chrono::hours(1)) {
        const TimePoint end = clock.now() + limit;
        for (;;) {
            while (loop.run_ready()) {
            }
            const TimePoint next = loop.next_timer();
            if (scope.running() == 0 || next == kNever || next > end) return;
            clock.set(std::max(next, clock.now()));
        }
    }
    template <class A>
    std::shared_ptr<std::optional<A>> start(std::function<Task<A>()> make) {
        auto out = std::make_shared<std::optional<A>>();
        scope.spawn(loop, [out, make]() { return keep<A>(out, make); });
        return out;
    }
    template <class A>
    A run(std::function<Task<A>()> make) {
        const auto out = start<A>(std::move(make));
        settle();
        EXPECT_TRUE(out->has_value());
        return out->value_or(A{});
    }

    ManualClock clock;
    Loop loop{clock};
    Scope scope{"test"};
    FakeHttp http;
    InlinePool pool;

private:
    template <class A>
    static Task<> keep(std::shared_ptr<std::optional<A>> out, std::function<Task<A>()> make) {
        out->emplace(co_await make());
    }
};

class World : public Time {
protected:
    World() {
        options.bucket = "images";
        options.region = "eu-x";
        options.endpoint = "https://s3.lab:9000";
        options.path_style = true;
        credentials.configured = Credentials{"AKID", Secret("SECRET"), {}, Credentials::kNoExpiry};
    }
    ~World() override {
        settle();
        made.reset();
        chain.reset();
    }

    Bucket& bucket() {
        if (!made) {
            chain.emplace(credentials, http, pool, clock, scope);
            made.emplace(options, http, *chain, pool, clock, random);
        }
        return *made;
    }
    TimePoint in(Duration time) { return clock.now() + time; }

    // Each answer once, in this order; the last one for all that follow.
    void script(std::vector<FakeAnswer> answers) {
        http.handle([answers = std::move(answers), at = size_t{0}](const client::Call&) mutable {
            return answers[std::min(at++, answers.size() - 1)];
        });
    }

    HeadResult head(Duration within = 30s) {
        return run<HeadResult>([this, within]() { return bucket().head("k", in(within)); });
    }
    Result put(std::string text, std::string sum = {}, Duration within = 60s) {
        return run<Result>([this, text, sum, within]() {
            return bucket().put(
                "k", std::make_shared<TextFile>(text), text.size(), sum,
                [this](std::string id) { return note(std::move(id)); }, in(within));
        });
    }
    GetResult get(uint64_t first = 0, std::optional<uint64_t> last = {}, Duration within = 30s) {
        return run<GetResult>([this, first, last, within]() {
            return bucket().get(
                "k", first, last, sink, [this](auto given) { handle = std::move(given); },
                in(within));
        });
    }

    BucketOptions options;
    CredentialOptions credentials;
    SeededRandom random{7};
    std::optional<CredentialChain> chain;
    std::optional<Bucket> made;
    std::shared_ptr<Bytes> sink = std::make_shared<Bytes>();
    std::shared_ptr<client::TransferHandle> handle;
    std::string upload_id;
    Task<> note(std::string id) {
        upload_id = std::move(id);
        co_return;
    }
};

}  // namespace weir::s3
