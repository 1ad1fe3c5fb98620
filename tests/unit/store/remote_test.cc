// The contract of Remote: S3 over a real server, over the simulated one, and the fake of the verbs.
#include "async/pool.h"
#include "client/curl_client.h"
#include "s3/bucket.h"
#include "sim/depot.h"
#include "sim/machine.h"
#include "store/s3_remote.h"
#include "support/fake_remote.h"
#include "support/real_loop.h"
#include "support/run_task.h"
#include "support/versitygw.h"
#include "unit/store/remote_contract.h"

namespace weir::store {
namespace {

using namespace std::chrono_literals;

s3::BucketOptions bucket_at(const std::string& url) {
    s3::BucketOptions options;
    options.bucket = "images";
    options.region = test::Versitygw::kRegion;
    options.endpoint = url;
    options.path_style = true;
    options.max_attempts = 1;
    return options;
}

s3::CredentialOptions credentials() {
    s3::CredentialOptions options;
    options.configured = s3::Credentials{test::Versitygw::kAccessKey,
                                         Secret(test::Versitygw::kSecretKey),
                                         {},
                                         s3::Credentials::kNoExpiry};
    return options;
}

class RealBackend : public RemoteBackend {
public:
    ~RealBackend() override {
        remote_.reset();
        bucket_.reset();
        chain_.reset();
        loop_.run([this]() { return scope_.join(); });
    }
    Remote& remote() override { return *remote_; }
    void run(std::function<Task<>()> task) override { loop_.run(std::move(task)); }
    TimePoint now() override { return system_clock().now(); }
    void silence(bool on) override { on ? server_.stop() : server_.start(); }

private:
    test::Versitygw server_{{"images"}};
    SeededRandom random_{7};
    ThreadPool pool_{"pool", 1};
    test::RealLoop loop_;
    Scope scope_{"s3"};
    client::CurlClient http_{client::CurlOptions{}};
    std::optional<s3::CredentialChain> chain_{std::in_place, credentials(),  http_,
                                              pool_,         system_clock(), scope_};
    std::optional<s3::Bucket> bucket_{std::in_place, bucket_at(server_.url()), http_,  *chain_,
                                      pool_,         system_clock(),           random_};
    std::unique_ptr<Remote> remote_ = make_s3_remote(*bucket_, system_clock());
};

class SimulatedBackend : public RemoteBackend {
public:
    ~SimulatedBackend() override {
        chain_.reset();
        run([this]() { return scope_.join(); });
    }
    Remote& remote() override { return *remote_; }
    void run(std::function<Task<>()> task) override {
        bool done = false;
        tasks_.spawn(loops_[0], [&]() -> Task<> {
            co_await task();
            done = true;
        });
        EXPECT_TRUE(sim::run_until(loops_, clock_, [&] { return done; }));
        loops_[0].run_ready();
    }
    TimePoint now() override { return clock_.now(); }
    void silence(bool on) override { depot_.mood = on ? sim::Mood::hangs : sim::Mood::well; }

private:
    ManualClock clock_;
    LoopGroup loops_{1, clock_};
    sim::Depot depot_{loops_[0]};
    sim::HttpClient http_{loops_[0], depot_};
    InlinePool pool_;
    SeededRandom random_{7};
    Scope scope_{"s3"}, tasks_{"tasks"};
    std::optional<s3::CredentialChain> chain_{std::in_place, credentials(), http_,
                                              pool_,         clock_,        scope_};
    s3::Bucket bucket_{bucket_at(sim::Depot::kUrl), http_, *chain_, pool_, clock_, random_};
    std::unique_ptr<Remote> remote_ = make_s3_remote(bucket_, clock_);
};

class FakeBackend : public RemoteBackend {
public:
    Remote& remote() override { return remote_; }
    void run(std::function<Task<>()> task) override { run_task(std::move(task)); }
    TimePoint now() override { return system_clock().now(); }
    void silence(bool on) override { remote_.silent = on; }

private:
    test::FakeRemote remote_;
};

INSTANTIATE_TEST_SUITE_P(
    Remote, RemoteContract,
    testing::Values(RemoteImplementation{"s3", [] { return std::make_unique<RealBackend>(); }},
                    RemoteImplementation{"simulated",
                                         [] { return std::make_unique<SimulatedBackend>(); }},
                    RemoteImplementation{"fake", [] { return std::make_unique<FakeBackend>(); }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace weir::store
