// The promises of client/curl_client.h about running transfers: pause, stop, cancel, shutdown, many
// at once.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "client/curl_client.h"
#include "support/real_loop.h"
#include "support/wire_server.h"

namespace weir::client {
namespace {

using namespace std::chrono_literals;
using test::http_answer;
using test::Peer;
using test::RealLoop;
using test::WireServer;

Call call_to(const WireServer& server, bool bulk = true) {
    Call call;
    call.url = server.url() + "/";
    call.proxy = "none";
    call.guard.allow_loopback = true;
    call.bulk = bulk;
    return call;
}

// Does what the test says at each step.
struct ScriptedSink : Sink {
    std::function<BodyAction(const ReplyHead&)> head = [](const ReplyHead&) {
        return BodyAction::go_on;
    };
    std::function<BodyAction(std::span<const std::byte>)> data = [](auto) {
        return BodyAction::go_on;
    };
    std::atomic<uint64_t> bytes{0};  // taken
    std::string text;
    BodyAction on_head(const ReplyHead& h) override { return head(h); }
    BodyAction on_data(std::span<const std::byte> d) override {
        const BodyAction action = data(d);
        if (action != BodyAction::pause) {
            bytes += d.size();
            text += as_text(d);
        }
        return action;
    }
};

class Event {
public:
    void set() {
        std::lock_guard lock(mutex_);
        set_ = true;
        changed_.notify_all();
    }
    bool wait() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, 20s, [&] { return set_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool set_ = false;
};

class CurlFlow : public ::testing::Test {
protected:
    std::future<ReplyEnd> start(Call call, std::shared_ptr<Sink> to) {
        call.started = [this](std::shared_ptr<TransferHandle> given) { handle = std::move(given); };
        auto future = real.start([this, call, to]() { return client.send(call, to); });
        return future;
    }

    RealLoop real;
    CurlClient client{CurlOptions{}};
    std::shared_ptr<ScriptedSink> sink = std::make_shared<ScriptedSink>();
    std::shared_ptr<TransferHandle> handle;
};

TEST_F(CurlFlow, gathered_pieces_are_large_and_every_byte_comes_in_order) {
    std::string body;
    for (int i = 0; body.size() < (4 << 20); ++i) body += std::to_string(i);
    WireServer server(WireServer::answers([&](auto&) { return http_answer(200, body); }));
    uint64_t pieces = 0;
    sink->data = [&](auto piece) {
        EXPECT_LE(piece.size(), kGatherBytes);
        ++pieces;
        return BodyAction::go_on;
    };
    Call call = call_to(server);
    call.gather = true;
    EXPECT_EQ(RealLoop::value_of(start(call, sink)).end, End::complete);
    EXPECT_TRUE(sink->text == body);
    EXPECT_LT(pieces, body.size() / (16 * 1024)) << "no piece was larger than libcurl's own";
}

TEST_F(CurlFlow, what_was_gathered_is_handed_over_when_nothing_follows) {
    Event seen;
    WireServer server([&](Peer& peer) {
        peer.read_head();
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        EXPECT_TRUE(seen.wait()) << "the rest comes only when the first half was seen";
        peer.write("after");
        peer.wait_closed();
    });
    sink->data = [&](auto) {
        seen.set();
        return BodyAction::go_on;
    };
    Call call = call_to(server);
    call.gather = true;
    EXPECT_EQ(RealLoop::value_of(start(call, sink)).end, End::complete);
    EXPECT_EQ(sink->text, "firstafter");
}

TEST_F(CurlFlow, what_came_before_a_cut_is_handed_over) {
    WireServer server([&](Peer& peer) {
        peer.read_head();
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    Call call = call_to(server);
    call.gather = true;
    EXPECT_EQ(RealLoop::value_of(start(call, sink)).end, End::cut);
    EXPECT_EQ(sink->text, "half");
}

TEST_F(CurlFlow, a_sink_that_stops_is_given_nothing_more_though_it_gathers) {
    const std::string body(4 << 20, 'b');
    WireServer server([&](Peer& peer) {
        peer.read_head();
        peer.write(http_answer(200, body));
        peer.wait_closed();
    });
    int calls = 0;
    sink->data = [&](auto) { return ++calls == 2 ? BodyAction::stop : BodyAction::go_on; };
    Call call = call_to(server);
    call.gather = true;
    EXPECT_EQ(RealLoop::value_of(start(call, sink)).end, End::stopped);
    EXPECT_EQ(calls, 2);
}

TEST_F(CurlFlow, a_paused_transfer_brings_nothing_is_no_stall_and_goes_on_when_resumed) {
    const std::string body(8 << 20, 'b');
    std::atomic<bool> all_written{false};
    WireServer server([&](Peer& peer) {
        peer.read_head();
        peer.write(http_answer(200, body));
        all_written = true;
        peer.wait_closed();
    });
    Event paused;
    bool first = true;
    sink->data = [&](auto) {
        if (!std::exchange(first, false)) return BodyAction::go_on;
        paused.set();
        return BodyAction::pause;
    };
    Call call = call_to(server);
    call.timeouts.stall = 1s;
    auto future = start(call, sink);
    ASSERT_TRUE(paused.wait());
    const uint64_t at_pause = sink->bytes;
    EXPECT_EQ(future.wait_for(1500ms), std::future_status::timeout) << "longer than the stall time";
    EXPECT_EQ(sink->bytes, at_pause);
    handle->resume();
    EXPECT_EQ(RealLoop::value_of(std::move(future)).end, End::complete);
    EXPECT_EQ(sink->bytes, body.size());
}

TEST_F(CurlFlow, bytes_that_a_pause_refuses_come_again_and_in_order) {
    std::string body;
    for (int i = 0; body.size() < (4u << 20); ++i) body += std::to_string(i) + ",";
    WireServer server(
        WireServer::answers([&](const std::string&) { return http_answer(200, body); }));
    int pieces = 0;
    std::vector<std::thread> others;
    sink->data = [&](auto) {
        if (++pieces % 5 != 0) return BodyAction::go_on;
        others.emplace_back([this] { handle->resume(); });
        return BodyAction::pause;
    };
    auto future = start(call_to(server), sink);
    const auto reply = RealLoop::value_of(std::move(future));
    for (auto& other : others) other.join();
    EXPECT_EQ(reply.end, End::complete);
    EXPECT_EQ(reply.body_bytes, body.size());
    EXPECT_TRUE(sink->text == body);
}

TEST_F(CurlFlow, a_pause_at_the_head_holds_the_whole_body_back) {
    WireServer server(
        WireServer::answers([](const std::string&) { return http_answer(200, "body"); }));
    Event paused;
    sink->head = [&](const ReplyHead&) {
        paused.set();
        return BodyAction::pause;
    };
    auto future = start(call_to(server), sink);
    ASSERT_TRUE(paused.wait());
    EXPECT_EQ(future.wait_for(50ms), std::future_status::timeout);
    EXPECT_EQ(sink->bytes, 0u);
    handle->resume();
    EXPECT_EQ(RealLoop::value_of(std::move(future)).end, End::complete);
    EXPECT_EQ(sink->bytes, 4u);
}

TEST_F(CurlFlow, a_sink_that_gathers_may_pause_at_its_head) {
    WireServer server(WireServer::answers(
        [](const std::string&) { return http_answer(200, std::string(1 << 20, 'x')); }));
    Event paused;
    sink->head = [&](const ReplyHead&) {
        paused.set();
        return BodyAction::pause;
    };
    Call call = call_to(server);
    call.gather = true;
    auto future = start(call, sink);
    ASSERT_TRUE(paused.wait());
    EXPECT_EQ(future.wait_for(50ms), std::future_status::timeout);
    EXPECT_EQ(sink->bytes, 0u);
    handle->resume();
    EXPECT_EQ(RealLoop::value_of(std::move(future)).end, End::complete);
    EXPECT_EQ(sink->bytes, 1u << 20);
}

TEST_F(CurlFlow, a_resume_that_overtakes_its_pause_is_not_lost) {
    WireServer server(WireServer::answers(
        [](const std::string&) { return http_answer(200, std::string(1 << 20, 'x')); }));
    bool refuse = false;
    sink->data = [&](auto) {
        refuse = !refuse;
        if (!refuse) return BodyAction::go_on;
        handle->resume();
        return BodyAction::pause;
    };
    auto future = start(call_to(server), sink);
    EXPECT_EQ(RealLoop::value_of(std::move(future)).end, End::complete);
    EXPECT_EQ(sink->bytes, 1u << 20);
}

TEST_F(CurlFlow, a_paused_transfer_can_be_cancelled) {
    WireServer server(WireServer::answers(
        [](const std::string&) { return http_answer(200, std::string(1 << 20, 'x')); }));
    Event paused;
    sink->data = [&](auto) {
        paused.set();
        return BodyAction::pause;
    };
    auto future = start(call_to(server), sink);
    ASSERT_TRUE(paused.wait());
    handle->cancel();
    EXPECT_EQ(RealLoop::value_of(std::move(future)).end, End::cancelled);
}

TEST_F(CurlFlow, a_sink_that_says_stop_gets_no_more) {
    WireServer server(WireServer::answers(
        [](const std::string&) { return http_answer(200, std::string(1 << 20, 'x')); }));
    sink->data = [](auto) { return BodyAction::stop; };
    auto reply = RealLoop::value_of(start(call_to(server), sink));
    EXPECT_EQ(reply.end, End::stopped);
    EXPECT_LE(sink->bytes, 128u * 1024);
    sink->bytes = 0;
    sink->head = [](const ReplyHead&) { return BodyAction::stop; };
    reply = RealLoop::value_of(start(call_to(server), sink));
    EXPECT_EQ(reply.end, End::stopped);
    EXPECT_EQ(reply.head.status, 200);
    EXPECT_EQ(sink->bytes, 0u);
}

TEST_F(CurlFlow, what_a_sink_throws_stops_the_transfer_and_is_told) {
    WireServer server(
        WireServer::answers([](const std::string&) { return http_answer(200, "body"); }));
    sink->data = [](auto) -> BodyAction { throw std::runtime_error("the disk is full"); };
    const auto reply = RealLoop::value_of(start(call_to(server), sink));
    EXPECT_EQ(reply.end, End::stopped);
    EXPECT_EQ(reply.detail, "the disk is full");
}

TEST_F(CurlFlow, a_cancel_ends_a_transfer_before_and_after_its_head) {
    Event asked;
    WireServer silent([&](Peer& peer) {
        peer.read_head();
        asked.set();
        peer.wait_closed();
    });
    auto future = start(call_to(silent), sink);
    ASSERT_TRUE(asked.wait());
    handle->cancel();
    EXPECT_EQ(RealLoop::value_of(std::move(future)).end, End::cancelled);

    WireServer half([](Peer& peer) {
        peer.read_head();
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        peer.wait_closed();
    });
    Event came;
    sink->data = [&](auto) {
        came.set();
        return BodyAction::go_on;
    };
    future = start(call_to(half), sink);
    ASSERT_TRUE(came.wait());
    handle->cancel();
    const auto reply = RealLoop::value_of(std::move(future));
    EXPECT_EQ(reply.end, End::cancelled);
    EXPECT_EQ(reply.body_bytes, 3u);
    handle->cancel();  // after the end: harmless
    handle->resume();
}

TEST_F(CurlFlow, a_cancel_from_within_started_means_that_nothing_is_sent) {
    WireServer server(WireServer::answers([](const std::string&) { return http_answer(200, ""); }));
    Call call = call_to(server);
    call.started = [](std::shared_ptr<TransferHandle> given) { given->cancel(); };
    const auto reply = real.run([&]() { return client.send(call, sink); });
    EXPECT_EQ(reply.end, End::cancelled);
    EXPECT_EQ(server.accepted(), 0);
}

TEST_F(CurlFlow, the_sink_is_released_before_the_caller_resumes) {
    WireServer server(
        WireServer::answers([](const std::string&) { return http_answer(200, "x"); }));
    std::weak_ptr<Sink> weak = sink;
    auto mine = std::exchange(sink, nullptr);
    const bool gone = real.run([this, &server, &weak, given = std::move(mine)]() mutable {
        return [](CurlClient& c, Call call, std::shared_ptr<Sink> s,
                  std::weak_ptr<Sink>& w) -> Task<bool> {
            co_await c.send(std::move(call), std::move(s));
            co_return w.expired();
        }(client, call_to(server), std::move(given), weak);
    });
    EXPECT_TRUE(gone);
}

TEST_F(CurlFlow, a_shutdown_ends_everything_as_cancelled_and_so_do_later_calls) {
    std::atomic<int> asked{0};
    WireServer server([&](Peer& peer) {
        peer.read_head();
        ++asked;
        peer.wait_closed();
    });
    auto bulk = start(call_to(server, true), nullptr);
    auto small = start(call_to(server, false), nullptr);
    while (asked < 2) std::this_thread::yield();
    client.shutdown();
    EXPECT_EQ(RealLoop::value_of(std::move(bulk)).end, End::cancelled);
    EXPECT_EQ(RealLoop::value_of(std::move(small)).end, End::cancelled);
    EXPECT_EQ(RealLoop::value_of(start(call_to(server), nullptr)).end, End::cancelled);
    handle->cancel();
    client.shutdown();
}

TEST_F(CurlFlow, hundreds_of_transfers_paused_resumed_and_cancelled_at_random_all_end_right) {
    constexpr int kCount = 200;
    const std::string body(200'000, 'z');
    WireServer server(
        WireServer::answers([&](const std::string&) { return http_answer(200, body); }));
    CurlOptions options;
    options.bulk_threads = 2;
    CurlClient many(options);
    struct Job {
        std::shared_ptr<TransferHandle> handle;
        std::shared_ptr<ScriptedSink> sink = std::make_shared<ScriptedSink>();
        bool refuse = false;
        std::future<ReplyEnd> end;
    };
    std::vector<std::unique_ptr<Job>> jobs;
    for (int i = 0; i < kCount; ++i) {
        auto& job = *jobs.emplace_back(std::make_unique<Job>());
        job.sink->data = [&job, i](auto) {
            if (i % 4 == 3 && job.sink->bytes > 100'000) job.handle->cancel();
            job.refuse = !job.refuse;
            if (i % 2 == 0 || !job.refuse) return BodyAction::go_on;
            job.handle->resume();
            return BodyAction::pause;
        };
        Call call = call_to(server);
        call.started = [&job](std::shared_ptr<TransferHandle> given) {
            job.handle = std::move(given);
        };
        job.end = real.start([&many, call, to = job.sink]() { return many.send(call, to); });
    }
    for (int i = 0; i < kCount; ++i) {
        const auto reply = RealLoop::value_of(std::move(jobs[i]->end));
        const bool cancelled = i % 4 == 3 && reply.end == End::cancelled;
        if (!cancelled) {
            EXPECT_EQ(reply.end, End::complete) << i << " " << reply.detail;
            EXPECT_EQ(jobs[i]->sink->bytes, body.size());
        }
    }
    many.shutdown();
}

}  // namespace
}  // namespace weir::client
