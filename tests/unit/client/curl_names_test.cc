// libcurl never asks for a name itself: its resolver's threads are joined on the transfer thread.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "client/curl_client.h"
#include "support/fixed_names.h"
#include "support/real_loop.h"
#include "support/wire_server.h"

namespace {
std::atomic<int> g_names_asked{0};
}

// In libc's place, for this whole program.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** result) {
    using Real = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<Real>(dlsym(RTLD_NEXT, "getaddrinfo"));
    ++g_names_asked;
    return real(name, service, hints, result);
}

namespace weir::client {
namespace {

using namespace std::chrono_literals;
using test::http_answer;
using test::RealLoop;
using test::WireServer;

WireServer::Script greeting() {
    return WireServer::answers([](const std::string&) { return http_answer(200, "hello"); });
}

// Says nothing about "silent.example" until the end.
class SilentNames : public test::FixedNames {
public:
    using FixedNames::FixedNames;
    void look_up(std::string name, Done done) override {
        if (name != "silent.example") return FixedNames::look_up(std::move(name), std::move(done));
        std::lock_guard lock(mutex_);
        open_.push_back(std::move(done));
    }
    void stop() override {
        std::lock_guard lock(mutex_);
        for (const auto& done : open_) done({});
        open_.clear();
    }

private:
    std::mutex mutex_;
    std::vector<Done> open_;
};

class CurlNames : public ::testing::Test {
protected:
    static CurlOptions options() {
        CurlOptions made;
        made.names = [] {
            return std::make_unique<SilentNames>(test::FixedNames::Table{
                {"one.example", {"127.0.0.1"}},
                {"dot.example.", {"127.0.0.1"}},
                {"both.example", {"::1", "127.0.0.1"}},
                {"dead.example", {"127.0.0.9", "127.0.0.1"}},
                {"proxy.example", {"127.0.0.1"}},
            });
        };
        return made;
    }
    ReplyEnd get(const std::string& host, const std::string& proxy = "none", int port = 0) {
        Call call;
        call.url = fmt::format("http://{}:{}/", host, port == 0 ? server.port() : port);
        call.proxy = proxy;
        call.guard.allow_loopback = true;
        return send(call);
    }
    ReplyEnd send(const Call& call) {
        return real.run([this, call]() { return client.send(call, nullptr); });
    }
    void SetUp() override { g_names_asked = 0; }
    void TearDown() override { EXPECT_EQ(g_names_asked, 0) << "libcurl asked for a name"; }

    RealLoop real;
    WireServer server{greeting()};
    CurlClient client{options()};
};

TEST_F(CurlNames, every_kind_of_host_is_dialled_without_libcurl_asking_for_it) {
    for (const std::string host :
         {"one.example", "ONE.example", "dot.example.", "both.example", "dead.example", "localhost",
          "a.localhost", "localhost.", "127.0.0.1", "127.1", "2130706433", "0x7f000001"}) {
        const auto reply = get(host);
        EXPECT_EQ(reply.head.status, 200) << host << ": " << reply.detail;
    }
    EXPECT_EQ(get("[::1]").end, End::unreachable);
}

TEST_F(CurlNames, a_name_that_there_is_not_says_so) {
    const auto reply = get("none.example");
    EXPECT_EQ(reply.end, End::unreachable);
    EXPECT_EQ(reply.detail, "none.example: there is no such name");
}

TEST_F(CurlNames, behind_a_proxy_only_the_proxys_name_is_asked_for) {
    const std::string proxy = fmt::format("http://me:secret@proxy.example:{}", server.port());
    EXPECT_EQ(get("silent.example", proxy, 80).head.status, 200);
    EXPECT_EQ(get("silent.example", fmt::format("proxy.example:{}", server.port()), 80).head.status,
              200);
}

TEST_F(CurlNames, a_proxy_that_is_none_says_so) {
    EXPECT_EQ(get("one.example", "http://proxy.example:port").end, End::unreachable);
}

TEST_F(CurlNames, a_name_that_nobody_answers_for_ends_at_the_connect_timeout) {
    Call call;
    call.url = "http://silent.example/";
    call.proxy = "none";
    call.timeouts.connect = 50ms;
    const auto reply = send(call);
    EXPECT_EQ(reply.end, End::unreachable);
    EXPECT_EQ(reply.detail, "silent.example is not resolved within 50 ms");
}

TEST_F(CurlNames, a_call_that_waits_for_its_name_can_be_cancelled) {
    Call call;
    call.url = "http://silent.example/";
    call.proxy = "none";
    call.timeouts.connect = 60s;
    call.started = [](const std::shared_ptr<TransferHandle>& handle) { handle->cancel(); };
    EXPECT_EQ(send(call).end, End::cancelled);
}

TEST_F(CurlNames, names_that_nobody_answers_for_do_not_delay_another_call) {
    Call silent;
    silent.url = "http://silent.example/";
    silent.proxy = "none";
    silent.timeouts.connect = 60s;
    const auto waiting = std::make_shared<std::vector<std::shared_ptr<TransferHandle>>>();
    silent.started = [waiting](auto handle) { waiting->push_back(std::move(handle)); };
    Scope scope("silent");
    for (int i = 0; i < 20; ++i)
        scope.spawn(real.loop(),
                    [this, silent]() -> Task<> { co_await client.send(silent, nullptr); });
    EXPECT_EQ(get("one.example").head.status, 200);
    for (const auto& handle : *waiting) handle->cancel();
    real.run([&scope]() { return scope.join(); });
    EXPECT_EQ(waiting->size(), 20u);
}

TEST_F(CurlNames, what_libcurl_was_told_of_a_name_is_told_anew_by_each_call) {
    for (int i = 0; i < 3; ++i)
        for (const std::string host : {"one.example", "both.example", "dead.example"})
            EXPECT_EQ(get(host).head.status, 200) << host;
}

TEST(CurlDeadNames, shutdown_does_not_wait_for_a_name) {
    RealLoop real;
    CurlOptions options;
    options.names = [] { return std::make_unique<SilentNames>(test::FixedNames::Table{}); };
    CurlClient client{options};
    Call call;
    call.url = "http://silent.example/";
    call.proxy = "none";
    call.timeouts.connect = 60s;
    std::thread ending;
    call.started = [&](const auto&) { ending = std::thread([&client] { client.shutdown(); }); };
    EXPECT_EQ(real.run([&client, call]() { return client.send(call, nullptr); }).end,
              End::cancelled);
    ending.join();
}

}  // namespace
}  // namespace weir::client
